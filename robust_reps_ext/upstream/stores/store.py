"""Stores that open safely, go on with earlier tables and close whole.

Each class stands in front of `cox.store.Store`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tensorboardX import SummaryWriter

from ...results.hdf5 import STORE_BASENAME, check_space, open_store
from ...runtime.errors import InputError
from ...runtime.files import writing

if TYPE_CHECKING:
    from cox.store import Store as UpstreamStore
else:
    UpstreamStore = object

__all__ = ["ClosableStore", "ContinuedStore", "OpenedStore", "SnapshotStore"]


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
            raise InputError.also(FileNotFoundError)(
                f"there is no store {directory / STORE_BASENAME} to read"
            )
        made = _make_directory(directory)
        if made is not None:
            print(f"Logging in: {directory.absolute()}")
        try:
            self._open(directory, exp_id, mode)
        except InputError:
            _remove(made)
            raise
        except OSError as error:
            _remove(made)
            raise InputError.also(type(error))(
                f"cannot write in {directory}: {error.strerror or error}; give another directory"
            ) from error

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
        raise InputError.also(type(error), FileNotFoundError)(
            f"cannot make {directory}: {error.strerror or error}; give another directory"
        ) from error
    return missing[-1] if missing else None


def _remove(made: Path | None) -> None:
    if made is not None:
        shutil.rmtree(made, ignore_errors=True)
