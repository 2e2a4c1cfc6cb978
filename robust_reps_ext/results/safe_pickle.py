"""The pickles that cox keeps: schemas and object columns, read without running code.

A pickle may call anything when it is read. Here only plain values come back: None, bool, int,
float, complex, str, bytes, lists, tuples, dicts, sets, the types of such values, and numpy scalars,
arrays and dtypes of numbers and text. Whatever needs more is refused by name.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..runtime.environment import is_on
from ..runtime.pickles import MAX_OPCODES, unpickle
from ..runtime.plain_values import PLAIN, Builder, NeedsCodeError

__all__ = ["NeedsCodeError", "loads", "trusted", "trusting"]

_trust: ContextVar[bool] = ContextVar("robust_reps_ext_trust_stores", default=False)


def trusted() -> bool:
    """Whether stores may run the code that their pickles ask for.

    True inside `trusting` and where the environment has ``ROBUST_REPS_EXT_TRUST_STORES=1``.
    """
    return _trust.get() or is_on("ROBUST_REPS_EXT_TRUST_STORES")


@contextmanager
def trusting() -> Iterator[None]:
    """Let stores opened and read inside the block run the code that their pickles ask for.

    Only for stores whose origin you know: an object column or an attribute of a store can hold
    any program.
    """
    token = _trust.set(True)
    try:
        yield
    finally:
        _trust.reset(token)


def loads(data: bytes) -> Any:
    """Read one pickled plain value.

    Raises
    ------
    NeedsCodeError
        If the pickle asks for anything but plain values; the message names it.
    pickle.UnpicklingError
        If `data` is no pickle, or a damaged one.
    """
    value, _ = unpickle(
        io.BytesIO(data), _ALLOWED, foreign=_refuse, most=max(MAX_OPCODES, len(data))
    )
    _check(value)
    return value


def _refuse(name: str) -> Any:
    raise NeedsCodeError(f"{name} is not a plain value")


def _check(value: Any) -> None:
    """Refuse what a pickle may name and call, but not keep."""
    pending, seen = [value], {id(value)}
    for one in pending:
        if isinstance(one, Builder):
            raise NeedsCodeError(f"{one.name} is not a plain value")
        if isinstance(one, (list, tuple, dict)):
            inside = one.values() if isinstance(one, dict) else one
            pending += [item for item in inside if id(item) not in seen]
            seen.update(map(id, inside))


def _type_named(name: Any) -> Any:
    kind = _ALLOWED.get(f"builtins.{name}")
    return kind if isinstance(kind, type) else _refuse(f"the type {name}")


_TYPES = (int, float, complex, bool, str, bytes, bytearray, list, tuple, dict, set, frozenset)
_NUMBERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_FRACTIONS = ("float16", "float32", "float64")

_ALLOWED: dict[str, Any] = {
    **PLAIN,
    **{f"builtins.{kind.__name__}": kind for kind in _TYPES},
    **{f"numpy.{name}": getattr(np, name) for name in (*_NUMBERS, *_FRACTIONS)},
    # What protocols 0 to 2 call by the names of Python 2.
    "builtins.long": int,
    "builtins.unicode": str,
    "dill._dill._load_type": Builder("dill._dill._load_type", _type_named),
}
