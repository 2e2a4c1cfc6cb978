"""HDF5 files as cox keeps them: opened without running their code, written to survive a kill."""

from __future__ import annotations

import errno
import functools
import importlib
import os
import pickle
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pandas as pd

from ..runtime.errors import InputError, one_line
from . import safe_pickle

__all__ = [
    "COX_DATA_KEY",
    "STORE_BASENAME",
    "HeldError",
    "StoreFile",
    "append_row",
    "check_space",
    "create_table",
    "guarded",
    "open_store",
    "rewrite",
    "size_of",
    "summary",
]

STORE_BASENAME = "store.h5"
# The attribute in which cox keeps a table's schema and name.
COX_DATA_KEY = "COX_DATA"
# What stands for a missing text. pandas' own, "nan", would make a text "nan" go missing.
MISSING_TEXT = "\x1a"
# Room that a new table leaves in its text columns, in bytes.
TEXT_WIDTH = 64
# What HDF5 may write beside the rows themselves, in bytes: chunks of up to 1 MiB and their index.
OVERHEAD = 2**21
# HDF5's words for a file that another process has locked.
_HELD = "unable to lock file"

_guard: ContextVar[bool] = ContextVar("robust_reps_ext_hdf5_guard", default=False)


class HeldError(InputError):
    """The store is open in another process, which writes to it."""


@contextmanager
def guarded() -> Iterator[None]:
    """Read HDF5 attributes as plain values inside the block: no pickle in them runs code.

    PyTables unpickles the attributes of a node when it is first touched. While the block runs,
    and in this thread or task only, it gets `safe_pickle` to do so, unless stores are trusted.
    Files that others open are read as ever.
    """
    for name in ("attributeset", "atom"):
        module = importlib.import_module(f"tables.{name}")
        if isinstance(getattr(module, "pickle", None), _Pickle):
            continue
        if not hasattr(module, "pickle"):
            raise InputError(
                f"this version of tables has no tables.{name}.pickle to guard, so that opening a "
                "store could run its code: install another version, or set "
                "ROBUST_REPS_EXT_DISABLE=1"
            )
        module.pickle = _Pickle()  # type: ignore[attr-defined]
    token = _guard.set(True)
    try:
        yield
    finally:
        _guard.reset(token)


class _Pickle:
    """Stands in for the module `pickle` inside PyTables; another one only where guarded."""

    def loads(self, data: bytes, **options: Any) -> Any:
        if not _guard.get() or safe_pickle.trusted():
            return pickle.loads(data, **options)
        try:
            return safe_pickle.loads(data)
        except safe_pickle.NeedsCodeError as refusal:
            warnings.warn(f"an attribute of a store is left unread: {refusal}", stacklevel=2)
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(pickle, name)


class StoreFile(pd.HDFStore):
    """A `pandas.HDFStore` each of whose own calls is `guarded`."""


def _guard_call(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def wrapper(*args: Any, **options: Any) -> Any:
        with guarded():
            return call(*args, **options)

    return wrapper


for _name in (
    *("append", "copy", "get", "get_node", "get_storer", "groups", "info", "keys", "open", "put"),
    *("remove", "select", "select_as_coordinates", "select_column"),
):
    setattr(StoreFile, _name, _guard_call(getattr(pd.HDFStore, _name)))


def open_store(path: str, mode: str) -> StoreFile:
    """Open the HDF5 file of a store; `mode` is ``"r"``, ``"a"`` or ``"w"``.

    Raises
    ------
    InputError
        If it is missing, damaged, no HDF5 file, or held by another process.
    """
    try:
        return StoreFile(path, mode=mode)
    except FileNotFoundError:
        raise InputError.also(FileNotFoundError)(
            f"there is no store {path}: check the directory and experiment"
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise InputError.also(type(error))(f"store {path} cannot be opened: {reason}") from error
    except ValueError as error:
        raise InputError(
            f"store {path} is open in this process already: close it first ({error})"
        ) from error
    except RuntimeError as error:  # tables.HDF5ExtError
        kind = HeldError if _HELD in str(error) else InputError
        raise kind.also(type(error))(f"store {path} {_reason(str(error))}") from error


def _reason(trace: str) -> str:
    if _HELD in trace:
        if os.strerror(errno.EAGAIN) in trace:
            return (
                "is held by another process: wait until it has finished, or let it call "
                "Store.snapshot_copy() and open that with Store.read_from_running()"
            )
        return "cannot be locked on this file system: set HDF5_USE_FILE_LOCKING=FALSE"
    if "truncated file" in trace:
        return "is truncated: the process that wrote it was stopped; remove the experiment"
    return "is no HDF5 file, or a damaged one: remove the experiment"


def summary(error: Exception) -> str:
    """The last line of what `error` says: HDF5 puts it after a back trace."""
    lines = str(error).strip().splitlines()
    return one_line(lines[-1]) if lines else type(error).__name__


def append_row(file: StoreFile, name: str, row: pd.DataFrame, attributes: dict[str, Any]) -> None:
    """Append `row` to table `name` and have it on the disk when this returns.

    The table is made where there is none, with `attributes`. A row that does not fit, because a
    text is longer than its column or because another version of pandas laid the table out, has
    the table written anew.

    Raises
    ------
    InputError
        If the disk does not take it. The rows before stay as they are.
    """
    try:
        check_space(file, size_of(row))
        if name not in file:
            create_table(file, name, row, attributes)
        else:
            row.index += file.get_storer(name).nrows
            try:
                file.append(name, row, format="table")
            except (TypeError, ValueError):
                old = file.get(name)
                if set(old.columns) != set(row.columns):
                    raise
                rewrite(
                    file, name, pd.concat([old.astype(row.dtypes), row[old.columns]]), attributes
                )
        file.flush(fsync=True)
    except (OSError, RuntimeError) as error:
        raise InputError(f"store {file.filename} cannot be written: {summary(error)}") from error


def check_space(file: StoreFile, size: int = 0) -> None:
    """Make sure that the disk takes `size` bytes more, before HDF5 finds out.

    A write that fails inside HDF5 leaves a file that cannot be opened again.

    Raises
    ------
    InputError
        If there is no space.
    """
    size += OVERHEAD
    descriptor = file._handle.fileno()
    end = os.fstat(descriptor).st_size
    try:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(descriptor, max(end, file._handle.get_filesize()), size)
            finally:
                os.ftruncate(descriptor, end)
            return
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise InputError(_no_space(file, size, str(error.strerror))) from error
    if shutil.disk_usage(os.path.dirname(os.path.abspath(file.filename))).free < size:
        raise InputError(_no_space(file, size, os.strerror(errno.ENOSPC)))


def _no_space(file: StoreFile, size: int, reason: str) -> str:
    return (
        f"store {file.filename} cannot be written: {reason}; free {-(-size // 2**20)} MiB or give "
        "another directory"
    )


def size_of(table: pd.DataFrame) -> int:
    """Bytes that `table` takes on the disk, where every text is as wide as the longest."""
    texts = [table[name] for name in table if table[name].dtype.kind == "O"]
    lengths = [column.dropna().str.encode("utf-8").str.len().max() for column in texts]
    longest = max([TEXT_WIDTH, *(int(length) for length in lengths if pd.notna(length))])
    return len(table) * (8 + 8 * table.shape[1] + longest * len(texts))


def rewrite(file: StoreFile, name: str, table: pd.DataFrame, attributes: dict[str, Any]) -> None:
    """Put `table` in the place of the table `name`, with room for its longest texts."""
    check_space(file, size_of(table))
    spare = f"{name}__rewritten"
    if spare in file:
        file.remove(spare)
    create_table(file, spare, table, {})
    file.remove(name)
    file.get_node(spare)._f_rename(name.strip("/").rpartition("/")[2])
    _set_attributes(file, name, attributes)


def create_table(
    file: StoreFile, name: str, table: pd.DataFrame, attributes: dict[str, Any]
) -> None:
    """Write `table` under a `name` that is free, with room in its text columns."""
    file.append(
        name,
        table,
        format="table",
        nan_rep=MISSING_TEXT,
        min_itemsize={"values": TEXT_WIDTH},
    )
    _set_attributes(file, name, attributes)


def _set_attributes(file: StoreFile, name: str, attributes: dict[str, Any]) -> None:
    with guarded():
        kept = file.get_storer(name).attrs
        for key, value in attributes.items():
            kept[key] = value
        if "pandas_version" not in kept:
            # The version of the format: since pandas 3.1 it is not written, but pandas 2 needs it.
            kept.pandas_version = "0.15.2"
