"""The cox stores of experiments as made from their records: brought up to date, and checked."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..runtime.errors import InputError
from ..runtime.files import remove_unfinished, sha256
from .cox_file import rows_in, write_store_file
from .hdf5 import STORE_BASENAME, HeldError
from .records import FOLDER, Record, read_records

__all__ = ["bring_up_to_date", "faults", "tables_of"]

_LOCK = ".store.lock"


def bring_up_to_date(path: Path, *, wait: bool = True) -> float:
    """Make the cox store of the experiment in `path` hold what its records say.

    A store that cannot be read is kept beside as ``store.h5.damaged``, or ``-2``, ``-3``, ...

    Parameters
    ----------
    path
        The experiment's directory.
    wait
        Wait while another process does it; otherwise leave it to that one.

    Returns
    -------
    float
        Seconds that it took.

    Raises
    ------
    InputError
        If a record is damaged, or the store cannot be written. The records stay.
    """
    began = time.monotonic()
    try:
        with FileLock(path / _LOCK, timeout=-1 if wait else 0):
            tables = tables_of(read_records(path))
            store = path / STORE_BASENAME
            remove_unfinished(store)
            if store.exists() and _damage(store):
                store.rename(_aside(store))
            if store.exists() and _holds(store, tables):
                return time.monotonic() - began
            try:
                write_store_file(store, tables, others=store.exists())
            except InputError as error:
                raise InputError(
                    f"{error}; what is finished is kept in {path / FOLDER}: mend the cause, then "
                    f"robust-reps store rebuild {path.parent}"
                ) from error
    except Timeout:
        pass
    except InputError:  # what writes the store says it itself
        raise
    except OSError as error:
        raise InputError(f"cannot write to {path}: {error.strerror or error}") from error
    return time.monotonic() - began


def faults(path: Path, *, files: bool = True) -> list[str]:
    """What is wrong with the experiment in `path`, one line each; nothing if all is well.

    Parameters
    ----------
    path
        The experiment's directory.
    files
        Also compare the digests of the files that the records name.

    Returns
    -------
    list of str
    """
    try:
        records = read_records(path)
    except InputError as error:
        return [str(error)]
    found = []
    for one in records:
        for name, digest in one.files.items():
            if not (path / name).is_file():
                found.append(f"{path / name} is missing: record {one.name} names it")
            elif files and sha256(path / name) != digest:
                found.append(f"{path / name} is damaged: its digest is not that of its record")
    store, tables = path / STORE_BASENAME, tables_of(records)
    if not store.exists():
        found.append(f"{store} is missing: robust-reps store rebuild makes it from the records")
    elif reason := _damage(store):
        found.append(f"{reason}: robust-reps store rebuild makes it from the records")
    elif not _holds(store, tables):
        there = {name: n for name, n in rows_in(store).items() if name in tables}
        found.append(
            f"{store} has {sum(there.values())} rows, the records "
            f"{sum(map(len, tables.values()))}: robust-reps store rebuild brings it up to date"
        )
    return found


def tables_of(records: list[Record]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table, in the order of the records."""
    tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in records:
        tables[one.table] += one.rows
    return dict(tables)


def _holds(store: Path, tables: dict[str, list[dict[str, Any]]]) -> bool:
    """Whether the store has as many rows as the records, or more: some may be older than they."""
    there = rows_in(store)
    return all(there.get(name, 0) >= len(rows) for name, rows in tables.items())


def _damage(store: Path) -> str:
    """Why the store cannot be read, "" if it can."""
    try:
        rows_in(store)
    except HeldError:
        raise
    except InputError as error:
        return str(error)
    return ""


def _aside(store: Path) -> Path:
    names = (f"{store.name}.damaged{'' if k == 1 else f'-{k}'}" for k in range(1, 1000))
    return next(path for name in names if not (path := store.with_name(name)).exists())
