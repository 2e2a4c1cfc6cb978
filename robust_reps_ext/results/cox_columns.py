"""Values as the columns of a cox table keep them, and schemas that change between runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..runtime.errors import InputError

__all__ = ["converted", "faithful", "frame", "merged"]

Schema = Mapping[str, Any]

# cox.store.OBJECT, which cannot be imported while cox.store is being mended.
OBJECT = "__object__"

# Not "str", as pandas 3 would choose: with it pandas 2 and 3 lay a table out differently.
_TEXT = np.dtype("object")
_DTYPES = {int: np.dtype("int64"), float: np.dtype("float64"), bool: np.dtype("bool")}
_BOOLS = {"true": True, "1": True, "false": False, "0": False}


def faithful(value: Any, kind: type, where: str) -> Any:
    """`value` as a column of type `kind` keeps it: nothing is rounded or reread on the way.

    ======== ==========================================================================
    int      whole numbers of 64 bits, and text that spells one; 1.9 is refused
    float    numbers and text that spells one; None is nan
    bool     True and False, 1 and 0, and text that spells one of them (``"False"``)
    str      anything, as ``str()`` gives it; None is a missing value, nan when read
    ======== ==========================================================================

    Raises
    ------
    InputError
        If the column cannot keep the value; the message begins with `where`.
    """
    if hasattr(value, "item") and math.prod(np.shape(value)) == 1:
        value = value.item()
    if value is None and kind in (float, str):
        return math.nan
    try:
        kept = _as_bool(value) if kind is bool else kind(value)
    except (TypeError, ValueError, OverflowError):
        kept = None
    if kind is int and isinstance(value, float) and kept != value:
        kept = None
    if kind is int and kept is not None and not -(2**63) <= kept < 2**63:
        kept = None
    if kind is str and kept is not None and not _encodable(kept):
        kept = None
    if kept is None:
        raise InputError(
            f"{where} is of type {kind.__name__} and cannot keep {value!r}: declare the column "
            "as Store.OBJECT, or give another value"
        )
    return kept


def _dtype(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, np.generic):
        return np.dtype(kind)
    return _DTYPES.get(kind, _TEXT)


def _as_bool(value: Any) -> bool | None:
    if isinstance(value, str):
        return _BOOLS.get(value.strip().lower())
    return bool(value) if value in (0, 1) else None


def _encodable(text: Any) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def frame(rows: Sequence[Mapping[str, Any]], schema: Schema) -> pd.DataFrame:
    """`rows` as a table whose columns have the types of `schema`, whatever they hold."""
    return pd.DataFrame(
        {
            name: pd.Series([row[name] for row in rows], dtype=_dtype(kind))
            for name, kind in schema.items()
        }
    )


def merged(stored: Schema, given: Schema, where: str) -> dict[str, Any]:
    """One schema for a table that was written with `stored` and goes on with `given`.

    int and float make float; other types that differ become objects. A column that one of the
    two lacks must be able to say so: int and bool become objects, the others have a missing value.

    Raises
    ------
    InputError
        If a column of values kept in files changes.
    """
    schema = dict(stored)
    for name in (*stored, *(name for name in given if name not in stored)):
        kinds = [of[name] for of in (stored, given) if name in of]
        if kinds[0] == kinds[-1] and len(kinds) == 2:
            continue
        if any(isinstance(kind, str) and kind != OBJECT for kind in kinds):
            raise InputError(
                f"column {name!r} of {where} was written otherwise before: give the experiment "
                "another name"
            )
        if len(kinds) == 2:
            schema[name] = float if {*kinds} == {int, float} else OBJECT
        else:
            schema[name] = OBJECT if kinds[0] in (int, bool) else kinds[0]
    return schema


def converted(
    table: pd.DataFrame, stored: Schema, schema: Schema, to_text: Callable[[Any], str]
) -> pd.DataFrame:
    """`table`, written with `stored`, as `schema` wants it; `to_text` turns objects into text."""
    columns = {}
    for name, kind in schema.items():
        if name not in table:
            missing = to_text(None) if kind == OBJECT else math.nan
            values = [missing] * len(table)
        elif kind == OBJECT and stored[name] != OBJECT:
            plain = table[name].astype(object)
            values = [
                to_text(None if pd.isna(value) and stored[name] is str else value)
                for value in plain
            ]
        else:
            values = table[name].tolist()
        columns[name] = pd.Series(values, index=table.index, dtype=_dtype(kind))
    return pd.DataFrame(columns, index=table.index)
