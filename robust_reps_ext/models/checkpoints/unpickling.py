"""Reads a pickle without running it: builds plain values, and names whatever else the file wants.

A pickle is a program. This one is interpreted by us, opcode by opcode, and the only calls it can
make are those of a `Builder` that the caller lists: everything else it imports becomes an inert
`Foreign`, which swallows what is done to it. PyTorch's ``weights_only=True`` would do for most
files, but refuses a whole checkpoint for one function in its schedule, does not bound what it
builds, and hashes tuples nested a million deep, which ends the interpreter.
"""

from __future__ import annotations

import pickle
import pickletools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import torch

__all__ = ["MAX_OPCODES", "Builder", "Foreign", "Unpickled", "fill", "keys", "unpickle"]

MAX_OPCODES = 500_000
"""The longest program that is read: several times what the largest public checkpoint needs."""


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


@dataclass(frozen=True)
class Unpickled:
    """The value of a pickle, and the names it asked for that stayed `Foreign`."""

    value: Any
    foreign: tuple[str, ...]


def unpickle(
    stream: BinaryIO,
    *,
    allowed: Mapping[str, Any],
    persistent_load: Callable[[Any], Any],
) -> Unpickled:
    """Read one pickle from `stream`, which is left just behind it.

    Parameters
    ----------
    stream
        Seekable; what it may hold is the caller's bound on memory.
    allowed
        ``"module.name"`` to what that import gives: a `Builder`, or a constant that is never
        called.
    persistent_load
        Turns a persistent id (in checkpoints, a storage) into a value.

    Raises
    ------
    pickle.UnpicklingError
        If the pickle is damaged, too long, or does what no checkpoint does. The message is one
        phrase that fits behind "cannot read ...:".
    """
    return _Machine(allowed, persistent_load).run(stream)


_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_TEXTS = ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
_BYTES = ("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8")
_PYTHON_2_TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING")
_LITERALS = frozenset((*_NUMBERS, *_TEXTS, *_BYTES, *_PYTHON_2_TEXTS))
_SCALAR_KEYS = (str, bytes, int, float, complex, type(None), Foreign, torch.dtype, torch.device)
_LONGEST_TUPLE_KEY = 16
_MAX_COPIED = 16 * 2**20
_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)


class _Machine:
    """The pickle machine: a stack, a stack of marks, a memo."""

    def __init__(self, allowed: Mapping[str, Any], persistent_load: Callable[[Any], Any]) -> None:
        self.allowed = allowed
        self.persistent_load = persistent_load
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.foreign: dict[str, Foreign] = {}
        self.copied = 0
        self.steps: dict[str, Callable[[Any], None]] = {
            **{name[4:].upper(): getattr(self, name) for name in dir(self) if name[:4] == "_op_"},
            **dict.fromkeys(_LITERALS, self._literal),
        }

    def run(self, stream: BinaryIO) -> Unpickled:
        steps = self.steps
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                if opcode.name == "STOP":
                    return Unpickled(self.stack.pop(), tuple(self.foreign))
                if count >= MAX_OPCODES:
                    raise pickle.UnpicklingError(
                        f"its pickle has more than {MAX_OPCODES:,} instructions"
                    )
                if opcode.name not in steps:
                    raise pickle.UnpicklingError(
                        f"its pickle uses {opcode.name}, which no checkpoint needs"
                    )
                steps[opcode.name](argument)
        except IndexError as error:
            raise pickle.UnpicklingError("its pickle takes more than it has put") from error
        except (ValueError, EOFError, OverflowError, MemoryError) as error:
            raise pickle.UnpicklingError(f"its pickle is damaged ({_phrase(error)})") from error
        raise pickle.UnpicklingError("its pickle has no end")

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def find(self, module: str, name: str) -> Any:
        full = f"{module.replace('__builtin__', 'builtins')}.{name}"
        if full in self.allowed:
            return self.allowed[full]
        printable = "".join(c if c.isprintable() else "?" for c in full)[:100]
        return self.foreign.setdefault(full, Foreign(printable))

    def call(self, function: Any, arguments: Any) -> Any:
        if isinstance(function, Foreign):
            return function
        if not isinstance(function, Builder) or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError(f"its pickle calls a {type(function).__name__}")
        if arguments and isinstance(arguments[0], Foreign):
            return arguments[0]
        self.charge(arguments)
        try:
            return function.function(*arguments)
        except (TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
            raise pickle.UnpicklingError(f"{function.name}: {_phrase(error)}") from error

    def charge(self, arguments: tuple[Any, ...]) -> None:
        """Count what calls copy: a file may name one large value and copy it without end."""
        for argument in arguments:
            parts = argument if isinstance(argument, tuple) else (argument,)
            self.copied += sum(len(part) for part in parts if isinstance(part, _SIZED))
        if self.copied > _MAX_COPIED:
            raise pickle.UnpicklingError("its pickle builds far more than it holds")

    # -- framing, stack and memo -------------------------------------------------------------

    def _op_proto(self, _: Any) -> None:
        pass

    _op_frame = _op_proto

    def _op_mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def _op_pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_to_mark()

    def _op_pop_mark(self, _: Any) -> None:
        self.pop_to_mark()

    def _op_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _op_put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    _op_binput = _op_long_binput = _op_put

    def _op_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _op_get(self, index: int) -> None:
        if index not in self.memo:
            raise pickle.UnpicklingError(f"its pickle recalls {index}, which it never stored")
        self.stack.append(self.memo[index])

    _op_binget = _op_long_binget = _op_get

    # -- plain values and containers ---------------------------------------------------------------

    def _literal(self, argument: Any) -> None:
        self.stack.append(argument)

    def _op_none(self, _: Any) -> None:
        self.stack.append(None)

    def _op_newtrue(self, _: Any) -> None:
        self.stack.append(True)

    def _op_newfalse(self, _: Any) -> None:
        self.stack.append(False)

    def _op_empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def _op_tuple(self, _: Any) -> None:
        items = tuple(self.pop_to_mark())
        self.stack.append(items)

    def _op_tuple1(self, _: Any) -> None:
        self.stack[-1:] = [(self.stack[-1],)]

    def _op_tuple2(self, _: Any) -> None:
        self.stack[-2:] = [(self.stack[-2], self.stack[-1])]

    def _op_tuple3(self, _: Any) -> None:
        self.stack[-3:] = [(self.stack[-3], self.stack[-2], self.stack[-1])]

    def _op_empty_list(self, _: Any) -> None:
        self.stack.append([])

    def _op_list(self, _: Any) -> None:
        items = self.pop_to_mark()
        self.stack.append(items)

    def _op_append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def _op_appends(self, _: Any) -> None:
        self._extend(self.pop_to_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Foreign):
            raise pickle.UnpicklingError(f"its pickle appends to a {type(target).__name__}")

    def _op_empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _op_dict(self, _: Any) -> None:
        items = self.pop_to_mark()
        self.stack.append({})
        self._update(items)

    def _op_setitem(self, _: Any) -> None:
        value = self.stack.pop()
        self._update([self.stack.pop(), value])

    def _op_setitems(self, _: Any) -> None:
        self._update(self.pop_to_mark())

    def _update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Foreign):
            return
        if type(target) not in (dict, Counter) or len(items) % 2:
            raise pickle.UnpicklingError(f"its pickle sets items of a {type(target).__name__}")
        for key, value in zip(keys(items[::2]), items[1::2], strict=True):
            target[key] = value

    def _op_empty_set(self, _: Any) -> None:
        self.stack.append(set())

    def _op_additems(self, _: Any) -> None:
        items = self.pop_to_mark()
        target = self.stack[-1]
        if type(target) is set:
            target.update(keys(items))
        elif not isinstance(target, Foreign):
            raise pickle.UnpicklingError(f"its pickle adds to a {type(target).__name__}")

    def _op_frozenset(self, _: Any) -> None:
        items = self.pop_to_mark()
        self.stack.append(frozenset(keys(items)))

    # -- imports, calls and storages ---------------------------------------------------------

    def _op_global(self, names: str) -> None:
        module, _, name = names.partition(" ")
        self.stack.append(self.find(module, name))

    def _op_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(self.find(str(module)[:200], str(name)[:200]))

    def _op_reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self.call(function, arguments))

    _op_newobj = _op_reduce

    def _op_newobj_ex(self, _: Any) -> None:
        named = self.stack.pop()
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Foreign) and not (isinstance(named, dict) and not named):
            raise pickle.UnpicklingError("its pickle calls with named arguments")
        self.stack.append(self.call(function, arguments))

    def _op_obj(self, _: Any) -> None:
        function, *arguments = self.pop_to_mark()
        self.stack.append(self.call(function, tuple(arguments)))

    def _op_inst(self, names: str) -> None:
        module, _, name = names.partition(" ")
        arguments = tuple(self.pop_to_mark())
        self.stack.append(self.call(self.find(module, name), arguments))

    def _op_build(self, _: Any) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, np.ndarray):
            self.charge(state if isinstance(state, tuple) else ())
            fill(target, state)
        elif isinstance(target, np.dtype):
            if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
                raise pickle.UnpicklingError("it holds numbers in big-endian order")
        elif not isinstance(target, (Foreign, dict)):
            raise pickle.UnpicklingError(f"its pickle changes a {type(target).__name__}")

    def _op_binpersid(self, _: Any) -> None:
        self.stack.append(self.persistent_load(self.stack.pop()))


def keys(items: Iterable[Any]) -> list[Any]:
    """Check that `items` may be hashed: nothing of the file's making, nothing nested."""
    checked = list(items)
    for item in checked:
        parts = item if type(item) is tuple and len(item) <= _LONGEST_TUPLE_KEY else (item,)
        if not all(isinstance(part, (*_SCALAR_KEYS, np.generic)) for part in parts):
            raise pickle.UnpicklingError(f"its pickle uses a {type(item).__name__} as a key")
        if any(isinstance(part, int) and part.bit_length() > 64 for part in parts):
            raise pickle.UnpicklingError("its pickle uses a number of more than 64 bits as a key")
    return checked


def fill(array: np.ndarray[Any, Any], state: Any) -> None:
    """Give an array made empty its shape and numbers, as numpy's own pickles do."""
    match state:
        case (int(), tuple() as shape, np.dtype() as dtype, fortran, bytes() | str() as data):
            data = data.encode("latin1") if isinstance(data, str) else data
        case _:
            raise pickle.UnpicklingError("it holds a numpy array of objects")
    sizes = [size for size in shape if isinstance(size, int) and size >= 0]
    expected = dtype.itemsize
    for size in sizes:
        expected *= size
    if len(sizes) != len(shape) or expected != len(data):
        raise pickle.UnpicklingError(
            f"a numpy array of shape {str(shape)[:80]} has {len(data):,} bytes"
        )
    array.__setstate__((1, shape, dtype, bool(fortran), data))  # type: ignore[arg-type]


def _phrase(error: BaseException) -> str:
    """The first line of an error's message, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
