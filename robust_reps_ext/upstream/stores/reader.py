"""Collections of stores, each read by its own schema."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm import tqdm

from ...results.hdf5 import STORE_BASENAME
from ...runtime.errors import InputError

if TYPE_CHECKING:
    from cox.readers import CollectionReader as UpstreamReader
else:
    UpstreamReader = object

__all__ = ["CollectionReader", "decoded"]

Filter = Callable[[str], bool]


class CollectionReader(UpstreamReader):
    """`cox.readers.CollectionReader`, whose objects are decoded by each store's own schema."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        log_warnings: bool = True,
        mode: str = "r",
        exp_filter: Filter | None = None,
        skip_errs: bool = False,
    ) -> None:
        # Set first, so that `close` works however far this gets.
        self.stores: dict[str, Any] = {}
        self.schemas: dict[str, dict[str, Any]] = {}
        self.tables: set[str] = set()
        self.directory = directory
        try:
            experiments = sorted(os.listdir(directory))
        except OSError as error:
            raise InputError.also(type(error))(
                f"cannot read stores in {directory}: {error.strerror}; give the directory that "
                "holds the experiments"
            ) from None
        if exp_filter is not None:
            experiments = [name for name in experiments if exp_filter(name)]
        for exp_id in tqdm(experiments, disable=None, leave=False):
            if not os.path.exists(os.path.join(directory, exp_id, STORE_BASENAME)):
                continue
            try:
                self._open(exp_id)
            except Exception as error:  # skip_errs means any, as upstream has it
                if not skip_errs:
                    self.close()
                    raise
                print(f"Error on exp_id {exp_id}: {error}")

    def _open(self, exp_id: str) -> None:
        store = sys.modules["cox.store"].Store(self.directory, exp_id, new=False, mode="r")
        self.stores[exp_id] = store
        for name, table in store.tables.items():
            self.schemas[name] = table.schema
            self.tables.add(name)

    def close(self) -> None:
        """Close all stores."""
        for store in self.__dict__.get("stores", {}).values():
            store.close()

    def __del__(self) -> None:
        self.close()

    def df(
        self,
        key: str,
        append_exp_id: bool = True,
        keep_serialized: Iterable[str] = (),
        union_schemas: bool = False,
        exp_filter: Filter | None = None,
        skip_errors: bool = False,
    ) -> pd.DataFrame:
        """One data frame of the tables called `key`, one after the other.

        As upstream's. `union_schemas` changes nothing: a column that a table lacks is nan there.

        Raises
        ------
        InputError
            If no store has a table of that name.
        """
        if self.stores and key not in self.tables:
            raise InputError(
                f"no experiment in {self.directory} has a table {key!r}: there are "
                f"{', '.join(sorted(self.tables)) or 'no tables at all'}"
            )
        frames = []
        for exp_id, store in self.stores.items():
            if exp_filter is not None and not exp_filter(exp_id):
                continue
            if key not in store.tables:
                print(f"Warning: exp_id {exp_id} has no table '{key}'. Skipping.")
                continue
            try:
                rows = store[key].df
                if rows is None:  # pandas knows of none there
                    raise InputError(
                        f"table {key!r} of {os.path.join(self.directory, exp_id)} is damaged: "
                        "remove the experiment"
                    )
                frame = decoded(store[key], rows, set(keep_serialized))
            except Exception as error:  # skip_errors means any, as upstream has it
                print(f"Encountered error with loading experiment {exp_id}: {error}")
                if not skip_errors:
                    raise
                continue
            if append_exp_id:
                frame["exp_id"] = exp_id
            frames.append(frame)
        return pd.concat(frames) if frames else pd.DataFrame()


def decoded(table: Any, frame: pd.DataFrame, kept: Collection[str] = ()) -> pd.DataFrame:
    """Rows of a table, with the values of its object columns but those to be `kept`."""
    readers = {"__object__": table.get_object, "__pickle__": _or_name(table.get_pickle)}
    for column, kind in table.schema.items():
        if kind in readers and column in frame and column not in kept:
            values = [readers[kind](text) for text in frame[column]]
            frame[column] = pd.Series(values, index=frame.index, dtype=object)
    return frame


def _or_name(read: Callable[[str], Any]) -> Callable[[str], Any]:
    def read_or_keep(name: str) -> Any:
        try:
            return read(name)
        except InputError as refusal:
            warnings.warn(str(refusal), stacklevel=2)
            return name

    return read_or_keep
