"""Read pickles of plain values without running code.

cox keeps schemas and object columns as pickles, and a pickle may call anything when it is read.
Here only plain values come back: None, bool, int, float, complex, str, bytes, lists, tuples,
dicts, sets, the types of such values, and numpy scalars, arrays and dtypes of numbers and text.
Whatever needs more is refused by name.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..runtime.environment import is_on

__all__ = ["NeedsCodeError", "SafeUnpickler", "loads", "trusted", "trusting"]


class NeedsCodeError(pickle.UnpicklingError):
    """A pickle asks for something that is not a plain value."""


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
    return SafeUnpickler(io.BytesIO(data)).load()


class SafeUnpickler(pickle.Unpickler):
    """An unpickler that knows plain values only; for use in place of `pickle.Unpickler`."""

    def find_class(self, module: str, name: str) -> Any:
        module, name = _PYTHON_2.get((module, name), (module, name))
        module = "builtins" if module == "__builtin__" else module
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise NeedsCodeError(f"{module}.{name} is not a plain value") from None

    def load(self) -> Any:
        """Read the value. Every failure is a `pickle.UnpicklingError`."""
        try:
            return _finished(super().load(), {})
        except pickle.UnpicklingError:
            raise
        except Exception as error:  # a damaged pickle can raise anything
            raise pickle.UnpicklingError(f"damaged pickle: {error}") from error


class _Function:
    """A function that a pickle may call but, unlike a plain one, cannot alter."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setstate__(self, state: Any) -> None:
        raise NeedsCodeError("a pickle tried to alter a function")


class _Dtype:
    """What a pickled numpy dtype says. numpy's own reader trusts flags that it should not."""

    def __init__(self, code: str, *_: Any) -> None:
        self._code = code
        self.value = self._checked(np.dtype(code))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, subdtype, names, fields, *_ = state
        if subdtype is not None or names is not None or fields is not None:
            raise NeedsCodeError("a structured numpy dtype is not a plain value")
        self.value = self._checked(np.dtype(self._code).newbyteorder(order))

    @staticmethod
    def _checked(dtype: np.dtype[Any]) -> np.dtype[Any]:
        if dtype.kind not in "?biufcSU" or dtype.names is not None:
            raise NeedsCodeError(f"the numpy dtype {dtype} is not a plain value")
        return dtype


class _Array:
    """A numpy array whose shape, dtype and bytes are still to come."""

    value: np.ndarray[Any, Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, raw = state[-4:]
        self.value = _array_from_buffer(raw, dtype, shape, "F" if fortran else "C")


def _array_from_buffer(raw: Any, dtype: _Dtype, shape: tuple[int, ...], order: str) -> Any:
    if dtype.value.itemsize == 0 or 0 in shape:
        if len(raw):
            raise pickle.UnpicklingError("an empty numpy array with contents")
        return np.zeros(shape if 0 in shape else (0,), dtype.value)
    flat = np.frombuffer(raw, dtype.value)
    return flat.reshape(shape, order=order).copy(order=order)  # type: ignore[call-overload]


def _scalar(dtype: _Dtype, raw: bytes = b"") -> Any:
    if dtype.value.itemsize == 0:
        return dtype.value.type()
    (value,) = np.frombuffer(raw, dtype.value)
    return value


def _dill_array(make: _Function, args: tuple[Any, ...], state: Any, attributes: Any = None) -> Any:
    if attributes:
        raise NeedsCodeError("a numpy array with attributes is not a plain value")
    array = make(*args)
    array.__setstate__(state)
    return array


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding.replace("-", "").replace("_", "") not in ("latin1", "utf8", "ascii"):
        raise NeedsCodeError(f"the codec {encoding!r} is not one of plain bytes")
    return text.encode(encoding)


def _refuse(*_: Any) -> Any:
    raise NeedsCodeError("an unfinished numpy array is not a plain value")


def _no_bytes_from_a_number(kind: type) -> Callable[..., Any]:
    def make(*args: Any) -> Any:
        if args and isinstance(args[0], int):
            raise pickle.UnpicklingError(f"{kind.__name__} of a given length")
        return kind(*args)

    return make


def _type_named(name: str) -> Any:
    try:
        return _ALLOWED["builtins", name]
    except KeyError:
        raise NeedsCodeError(f"the type {name} is not one of plain values") from None


def _finished(value: Any, seen: dict[int, Any]) -> Any:
    """`value` with numpy's dtypes and arrays in the place of what stood for them."""
    if isinstance(value, (_Dtype, _Array)):
        return value.value
    if isinstance(value, _Function):
        raise NeedsCodeError("a function is not a plain value")
    if isinstance(value, (set, frozenset, dict)):
        for item in value:
            if _finished(item, seen) is not item:
                raise NeedsCodeError("a numpy dtype is not a plain key")
    if not isinstance(value, (list, tuple, dict)):
        return value
    if id(value) in seen:
        return seen[id(value)]
    seen[id(value)] = value
    if isinstance(value, list):
        value[:] = [_finished(item, seen) for item in value]
    elif isinstance(value, dict):
        for key in value:
            value[key] = _finished(value[key], seen)
    else:
        items = tuple(_finished(item, seen) for item in value)
        if any(new is not old for new, old in zip(items, value, strict=True)):
            seen[id(value)] = items
            return items
    return value


# What protocols 0 to 2 call by the names of Python 2.
_PYTHON_2 = {
    ("__builtin__", "long"): ("builtins", "int"),
    ("__builtin__", "unicode"): ("builtins", "str"),
}

_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _Function(_encode),
    ("numpy", "dtype"): _Function(_Dtype),
    ("numpy", "ndarray"): _Function(_refuse),
    ("dill._dill", "_load_type"): _Function(_type_named),
    ("dill._dill", "_create_array"): _Function(_dill_array),
}
for _kind in (int, float, complex, bool, str, list, tuple, dict, set, frozenset):
    _ALLOWED["builtins", _kind.__name__] = _kind
for _number in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
    _ALLOWED["numpy", _number] = getattr(np, _number)
for _number in ("float16", "float32", "float64"):
    _ALLOWED["numpy", _number] = getattr(np, _number)
for _sized in (bytes, bytearray):
    _ALLOWED["builtins", _sized.__name__] = _Function(_no_bytes_from_a_number(_sized))
for _package in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_package}.multiarray", "scalar"] = _Function(_scalar)
    _ALLOWED[f"{_package}.multiarray", "_reconstruct"] = _Function(lambda *_: _Array())
    _ALLOWED[f"{_package}.numeric", "_frombuffer"] = _Function(_array_from_buffer)
