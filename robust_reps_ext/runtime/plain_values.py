"""What any pickle may hold: numbers, text, containers and arrays of numpy, and what builds them."""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "CONSTRUCTORS",
    "PLAIN",
    "Builder",
    "Foreign",
    "NeedsCodeError",
    "as_dict",
    "fill",
    "keys",
    "order_bytes",
    "plain",
]


class NeedsCodeError(pickle.UnpicklingError):
    """A pickle holds what only code could build."""


@dataclass(frozen=True)
class Foreign:
    """Stands for an object that was not built because building it would run code.

    Parameters
    ----------
    name
        The import the file asked for, for example ``"posix.system"``.
    """

    name: str


@dataclass(frozen=True)
class Builder:
    """A call that a pickle may make."""

    name: str
    function: Callable[..., Any]


_SCALARS = (str, bytes, int, float, complex, type(None), type, np.generic, Foreign)
# By name: torch takes seconds to import.
_TORCH_SCALARS = ("torch.dtype", "torch.device")
_LONGEST_KEY = 16
_PLAIN_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f(2|4|8|16)|c(8|16|32)|[SU]\d{1,6})")


def keys(items: Iterable[Any]) -> list[Any]:
    """Check that `items` may be hashed: nothing of the file's making, nothing nested deeply."""
    checked = list(items)
    for item in checked:
        parts = [item]
        for part in parts:
            kind = type(part)
            if kind in (tuple, frozenset) and len(parts) + len(part) <= _LONGEST_KEY:
                parts.extend(part)
            elif not (
                isinstance(part, _SCALARS) or f"{kind.__module__}.{kind.__name__}" in _TORCH_SCALARS
            ):
                raise NeedsCodeError(f"its pickle uses a {type(item).__name__} as a key")
            elif isinstance(part, int) and part.bit_length() > 64:
                raise NeedsCodeError("its pickle uses a number of more than 64 bits as a key")
    return checked


def fill(array: np.ndarray[Any, Any], state: Any) -> None:
    """Give an array made empty its shape and numbers, as numpy's own pickles do."""
    match state:
        case (int(), tuple() as shape, np.dtype() as dtype, fortran, bytes() | str() as data):
            data = data.encode("latin1") if isinstance(data, str) else data
        case _:
            raise NeedsCodeError("it holds a numpy array of objects")
    sizes = [size for size in shape if isinstance(size, int) and size >= 0]
    expected = dtype.itemsize
    for size in sizes:
        expected *= size
    if len(sizes) != len(shape) or expected != len(data):
        raise pickle.UnpicklingError(
            f"a numpy array of shape {str(shape)[:80]} has {len(data):,} bytes"
        )
    native = dtype.newbyteorder("=")
    array.__setstate__((1, shape, native, bool(fortran), data))  # type: ignore[arg-type]
    if native != dtype:
        array.dtype = dtype  # type: ignore[misc]


def order_bytes(dtype: np.dtype[Any], state: Any) -> None:
    """Give a dtype the order of bytes that its pickle says, and nothing else that it says."""
    match state:
        case (int(), "<" | ">" | "|" | "=" as order, None, None, None, *_):
            own = dtype.itemsize, dtype.alignment, dtype.flags
            dtype.__setstate__((3, order, None, None, None, *own))  # type: ignore[attr-defined]
        case _:
            raise NeedsCodeError("it holds a numpy dtype of several parts")


def plain(items: Any) -> Any:
    """Nothing but containers that the pickle itself has built: a tensor may be endless."""
    if not isinstance(items, (list, tuple, dict, set, frozenset)):
        raise pickle.UnpicklingError(f"a container is built from a {type(items).__name__}")
    return items


def as_dict(items: Any = (), *_: Any) -> dict[Any, Any]:
    """A dict of a dict or of pairs, whose keys are checked."""
    pairs = list(items.items() if isinstance(items, dict) else plain(items))
    return dict(zip(keys(key for key, _ in pairs), (value for _, value in pairs), strict=True))


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding.lower().replace("-", "").replace("_", "") not in ("latin1", "utf8", "ascii"):
        raise NeedsCodeError(f"bytes are written in the encoding {encoding[:40]!r}")
    return text.encode(encoding)


def _bytes(data: Any = b"", encoding: str = "latin1") -> bytes | bytearray:
    if isinstance(data, str):
        return _encode(data, encoding)
    if not isinstance(data, (bytes, bytearray)):
        raise pickle.UnpicklingError(f"bytes are built from a {type(data).__name__}")
    return data


def _dtype(spec: Any, *_: Any) -> np.dtype[Any]:
    if not isinstance(spec, str) or not _PLAIN_DTYPE.fullmatch(spec):
        raise NeedsCodeError("it holds numpy values other than numbers and text")
    return np.dtype(spec, copy=True)


def _scalar(dtype: Any, data: Any = b"") -> Any:
    if not dtype.itemsize:
        return dtype.type()
    return np.frombuffer(_bytes(data), dtype=dtype, count=1)[0]


def _dill_array(_function: Any, _arguments: Any, state: Any, *_: Any) -> np.ndarray[Any, Any]:
    array = np.empty(0)
    fill(array, state)
    return array


def _array(data: Any, dtype: Any, shape: Any, order: Any = "C") -> np.ndarray[Any, Any]:
    order = "F" if order == "F" else "C"
    return np.frombuffer(_bytes(data), dtype=dtype).reshape(shape, order=order).copy(order)


_OF_TYPES: dict[type, Callable[..., Any]] = {
    dict: as_dict,
    OrderedDict: lambda items=(): OrderedDict(as_dict(items)),
    list: lambda items=(): list(plain(items)),
    set: lambda items=(): set(keys(plain(items))),
    frozenset: lambda items=(): frozenset(keys(plain(items))),
    complex: lambda real, imag=0.0: complex(float(real), float(imag)),
    bytes: lambda *data: bytes(_bytes(*data)),
    bytearray: lambda *data: bytearray(_bytes(*data)),
}
CONSTRUCTORS = {kind: Builder(kind.__name__, make) for kind, make in _OF_TYPES.items()}
"""What is done where a type is called, for types that are plain values themselves."""

_BUILDERS: dict[str, Callable[..., Any]] = {
    "_codecs.encode": _encode,
    "numpy.dtype": _dtype,
    "dill._dill._create_array": _dill_array,
}
for _core in ("numpy.core", "numpy._core"):
    _BUILDERS[f"{_core}.multiarray.scalar"] = _scalar
    _BUILDERS[f"{_core}.multiarray._reconstruct"] = lambda *_: np.empty(0)
    _BUILDERS[f"{_core}.numeric._frombuffer"] = _array

PLAIN: dict[str, Any] = {
    **{name: Builder(name, function) for name, function in _BUILDERS.items()},
    **{f"{kind.__module__}.{kind.__name__}": kind for kind in _OF_TYPES},
    "numpy.ndarray": np.ndarray,
}
"""The imports of plain values: `Builder` for calls, and constants."""
