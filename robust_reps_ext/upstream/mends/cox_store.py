"""Mends for `cox.store`: stores that open safely, keep what they are given and survive a kill."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tensorboardX import SummaryWriter

from ...results.hdf5 import STORE_BASENAME, check_space, open_store
from ...runtime.errors import InputError
from ...runtime.files import writing
from ..mend import Mend
from .cox_tables import DurableRows, FaithfulRows, GuardedTable

if TYPE_CHECKING:
    from cox.store import Store as UpstreamStore
else:
    UpstreamStore = object

__all__ = ["MENDS"]


class OpenedStore(UpstreamStore):
    """Opens a store without running its code; says in one line why it cannot."""

    def __init__(
        self,
        storage_folder: str | os.PathLike[str],
        exp_id: str | None = None,
        new: bool = False,
        mode: str = "a",
    ) -> None:
        exp_id = exp_id or str(uuid4())
        directory = Path(storage_folder, exp_id)
        if new and directory.exists():
            raise InputError(f"experiment {directory} has been run already: give it another name")
        if mode == "r" and not (directory / STORE_BASENAME).is_file():
            raise InputError(f"there is no store {directory / STORE_BASENAME} to read")
        made = _make_directory(directory)
        if made is not None:
            print(f"Logging in: {directory.absolute()}")
        try:
            self._open(directory, exp_id, mode)
        except OSError as error:
            _remove(made)
            raise InputError(
                f"cannot write in {directory}: {error.strerror or error}; give another directory"
            ) from error
        except InputError:
            _remove(made)
            raise

    def _open(self, directory: Path, exp_id: str, mode: str) -> None:
        from cox.store import SAVE_DIR, TABLE_OBJECT_DIR, TENSORBOARD_DIR, Table

        self.store = open_store(str(directory / STORE_BASENAME), mode)
        try:
            self.exp_id = exp_id
            self.path = str(directory.absolute())
            self.save_dir = str(directory / SAVE_DIR)
            self.tb_dir = str(directory / TENSORBOARD_DIR)
            self._table_object_dir = str(directory / TABLE_OBJECT_DIR)
            self.tables = Table._tables_from_store(self.store, self._table_object_dir)
            self.keys = self.tables.keys()
            if mode != "r":
                check_space(self.store)
                for needed in (self.save_dir, self._table_object_dir, self.tb_dir):
                    os.makedirs(needed, exist_ok=True)
                self.tensorboard = SummaryWriter(self.tb_dir)
        except BaseException:
            self.store.close()
            raise


class ClosableStore(UpstreamStore):
    """Closes its tensorboard writer with its file, and at the end of a ``with`` block."""

    def close(self) -> None:
        """Close the file and the tensorboard writer."""
        writer = getattr(self, "tensorboard", None)
        if writer is not None:
            writer.close()
        super().close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ContinuedStore(UpstreamStore):
    """Goes on with the tables of an earlier run of the same experiment."""

    def add_table(self, table_name: str, schema: Mapping[str, Any]) -> Any:
        """Add a table, or go on with the one of that name that an earlier run has written."""
        earlier = self.tables.get(table_name)
        if earlier is None or not earlier.nrows:
            return super().add_table(table_name, schema)
        earlier.continue_with(schema)
        return earlier


class SnapshotStore(UpstreamStore):
    """Copies itself while it runs, and keeps its tables."""

    store: Any

    def snapshot_copy(self) -> str:
        """Copy the HDF5 file into ``<experiment>_snapshot``, for `Store.read_from_running`.

        Returns the path of the copy. The tables of this store stay as they are.
        """
        source = self.store.filename
        mode = "a" if self.store._mode == "w" else self.store._mode
        copy = Path(f"{Path(source).parent}_snapshot", STORE_BASENAME)
        copy.parent.mkdir(exist_ok=True)
        self.store.close()
        try:
            with open(source, "rb") as whole, writing(copy, "make room there") as file:
                shutil.copyfileobj(whole, file)
        finally:
            self.store = open_store(source, mode)
            for table in self.tables.values():
                table._HDFStore = self.store
        return str(copy)


def _make_directory(directory: Path) -> Path | None:
    """Make `directory`; the topmost directory that was made for it, or None if all were there."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove(missing[-1] if missing else None)
        raise InputError(
            f"cannot make {directory}: {error.strerror or error}; give another directory"
        ) from error
    return missing[-1] if missing else None


def _remove(made: Path | None) -> None:
    if made is not None:
        shutil.rmtree(made, ignore_errors=True)


def _with(module: ModuleType, name: str, mixin: type) -> None:
    """Bind `name` on `module` to upstream's class with `mixin` in front of it."""
    upstream = getattr(module, name)
    body = {"__module__": module.__name__, "__doc__": upstream.__doc__}
    setattr(module, name, type(name, (mixin, upstream), body))


MENDS: tuple[Mend, ...] = (
    Mend(
        "Table._tables_from_store",
        "store.py:264",
        "Opening a foreign store, or reading an object that it keeps in a file, runs whatever "
        "code its pickles hold.",
        lambda module: "guarded" not in module.Table._tables_from_store.__code__.co_names,
        lambda module: _with(module, "Table", GuardedTable),
    ),
    Mend(
        "Table.update_row",
        "store.py:357",
        "'False' becomes True in a bool column, 1.9 becomes 1 in an int column, None becomes "
        "'None' in a text column and an error in a float column.",
        lambda module: "to_store" in module.Table.update_row.__code__.co_varnames,
        lambda module: _with(module, "Table", FaithfulRows),
    ),
    Mend(
        "Table.flush_row",
        "store.py:439",
        "A text longer than the first of its column is refused, pandas 2 and 3 cannot append to "
        "each other's tables, and a kill after the first row loses the schema.",
        lambda module: "append_row" not in module.Table.flush_row.__code__.co_names,
        lambda module: _with(module, "Table", DurableRows),
    ),
    Mend(
        "Store.__init__",
        "store.py:63",
        "Reading an experiment that does not exist makes it, and a store that is held by another "
        "process, damaged or unwritable ends in an HDF5 back trace.",
        lambda module: "HDFStore" in module.Store.__init__.__code__.co_names,
        lambda module: _with(module, "Store", OpenedStore),
    ),
    Mend(
        "Store.add_table",
        "store.py:150",
        "An experiment that is resumed under its name cannot write its tables with other "
        "settings than before.",
        lambda module: "continue_with" not in module.Store.add_table.__code__.co_names,
        lambda module: _with(module, "Store", ContinuedStore),
    ),
    Mend(
        "Store.close",
        "store.py:111",
        "The tensorboard writer and its thread stay open, and a store cannot be used in a `with` "
        "block.",
        lambda module: not hasattr(module.Store, "__exit__"),
        lambda module: _with(module, "Store", ClosableStore),
    ),
    Mend(
        "Store.snapshot_copy",
        "store.py:206",
        "Tables without rows are forgotten, tables at hand point to a closed file, and a store "
        "opened with mode 'w' is wiped.",
        lambda module: "copy2" in module.Store.snapshot_copy.__code__.co_names,
        lambda module: _with(module, "Store", SnapshotStore),
    ),
)
