"""A whole cox store file from rows, and what is to be said of one that is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..runtime.errors import InputError
from ..runtime.files import replacing
from . import cox_columns, hdf5
from .cox_columns import OBJECT
from .hdf5 import COX_DATA_KEY

__all__ = ["rows_in", "table_of", "write_store_file"]

Rows = Sequence[Mapping[str, Any]]


def write_store_file(path: Path, tables: Mapping[str, Rows], *, others: bool = False) -> None:
    """Write the file ``store.h5`` of a cox store with `tables`, whole or not at all.

    Parameters
    ----------
    path
        Where to; what stands there is replaced, and readers that have it open keep it.
    tables
        Name -> rows of plain values; rows need not have the same columns, see `_schema_of`.
    others
        Take over what other tables the file that stands there has.

    Raises
    ------
    InputError
        If the disk does not take it; what stood there is as it was.
    """
    try:
        with replacing(path) as unfinished:
            file = hdf5.open_store(str(unfinished), "w")
            try:
                for name, rows in tables.items():
                    if rows:
                        _write_table(file, name, rows)
                if others:
                    _take_over(path, file)
                file.flush(fsync=True)
            finally:
                file.close()
    except InputError as error:
        raise InputError(str(error).replace(str(unfinished), str(path))) from error
    except (OSError, RuntimeError) as error:
        raise InputError(f"store {path} cannot be written: {hdf5.summary(error)}") from error


def _write_table(file: hdf5.StoreFile, name: str, rows: Rows) -> None:
    from cox.store import obj_to_string

    table, schema = _table(rows, obj_to_string)
    hdf5.check_space(file, hdf5.size_of(table))
    hdf5.create_table(file, name, table, {COX_DATA_KEY: {"schema": schema, "name": name}})


def _take_over(path: Path, file: hdf5.StoreFile) -> None:
    earlier = hdf5.open_store(str(path), "r")
    try:
        for key in earlier.keys():  # noqa: SIM118
            if key not in file:
                with hdf5.guarded():
                    attributes = earlier.get_storer(key).attrs
                    ours = COX_DATA_KEY in attributes
                    kept = {COX_DATA_KEY: attributes[COX_DATA_KEY]} if ours else {}
                table = earlier.get(key)
                hdf5.check_space(file, hdf5.size_of(table))
                hdf5.create_table(file, key.strip("/"), table, kept)
    finally:
        earlier.close()


def table_of(rows: Rows) -> pd.DataFrame:
    """`rows` as `cox.readers.CollectionReader` would give them back."""
    return _table(rows, lambda value: value)[0]


def _table(rows: Rows, keep: Callable[[Any], Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table of `rows` and its schema; `keep` says how it holds what is no number or text."""
    schema = _schema_of(rows)
    kept = [
        {
            column: keep(row.get(column))
            if kind == OBJECT
            else cox_columns.faithful(row.get(column), kind, f"column {column}")
            for column, kind in schema.items()
        }
        for row in rows
    ]
    return cox_columns.frame(kept, schema), schema


def _schema_of(rows: Rows) -> dict[str, Any]:
    """The types of columns that keep all `rows`; a value that is None is as good as not there."""
    schema: dict[str, Any] | None = None
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
        said = {name: _kind(value) for name, value in row.items() if value is not None}
        schema = said if schema is None else cox_columns.merged(schema, said, "a table")
    return {name: (schema or {}).get(name, OBJECT) for name in names}


def _kind(value: Any) -> Any:
    natural = type(value) in (bool, float, str) or (
        type(value) is int and -(2**63) <= value < 2**63
    )
    return type(value) if natural else OBJECT


def rows_in(path: Path) -> dict[str, int]:
    """How many rows each table of a store file has.

    Raises
    ------
    InputError
        If it is missing, damaged, or held by another process.
    """
    file = hdf5.open_store(str(path), "r")
    try:
        return {key.strip("/"): int(file.get_storer(key).nrows) for key in file.keys()}  # noqa: SIM118
    except Exception as error:  # a damaged table can raise anything
        raise InputError(f"store {path} is damaged: {error}") from error
    finally:
        file.close()
