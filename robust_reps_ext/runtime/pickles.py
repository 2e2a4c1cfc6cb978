"""Reads a pickle without running it: builds plain values, and names whatever else the file wants.

A pickle is a program. This one is interpreted by us, opcode by opcode, and the only calls it can
make are those of a `Builder` that the caller lists. Python's own reader
cannot be kept to a list: it changes what a file names, and its C code overflows on values that are
nested deeply enough. PyTorch's ``weights_only=True`` refuses a whole checkpoint for one function
in its schedule, and does not bound what it builds.
"""

from __future__ import annotations

import pickle
import pickletools
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from .plain_values import CONSTRUCTORS, Builder, Foreign, NeedsCodeError, fill, keys, order_bytes

__all__ = ["MAX_OPCODES", "unpickle"]

MAX_OPCODES = 500_000
"""The longest program that is read: several times what the largest public checkpoint needs."""


def unpickle(
    stream: BinaryIO,
    allowed: Mapping[str, Any],
    *,
    storage: Callable[[Any], Any] | None = None,
    foreign: Callable[[str], Any] = Foreign,
    most: int = MAX_OPCODES,
) -> tuple[Any, tuple[str, ...]]:
    """The value of a pickle, and the names of what it asked for and did not get.

    Parameters
    ----------
    stream
        Seekable, left just behind the pickle; what it may hold is the caller's bound on memory.
    allowed
        ``"module.name"`` to what that import gives: a `Builder`, or a constant. Of constants
        only the types of plain values can be called.
    storage
        Turns a persistent id (in checkpoints, a storage) into a value; by default there are none.
    foreign
        Gives what stands for an import that is not allowed, by its name.
    most
        How many instructions are read.

    Raises
    ------
    pickle.UnpicklingError
        If the pickle is damaged, too long, or does what no plain value needs. The message is one
        phrase that fits behind "cannot read ...:".
    """
    return _Machine(allowed, storage, foreign, most).run(stream)


_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_TEXTS = ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
_BYTES = ("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8")
_PYTHON_2_TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING")
_LITERALS = frozenset((*_NUMBERS, *_TEXTS, *_BYTES, *_PYTHON_2_TEXTS))
_COPIED_PER_OPCODE = 32
_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)
_DICTS = (dict, OrderedDict, Counter)


class _Machine:
    """The pickle machine: a stack, a stack of marks, a memo."""

    def __init__(
        self,
        allowed: Mapping[str, Any],
        storage: Callable[[Any], Any] | None,
        foreign: Callable[[str], Any],
        most: int,
    ) -> None:
        self.allowed, self.storage, self.foreign, self.most = allowed, storage, foreign, most
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.unknown: dict[str, Any] = {}
        self.copied = 0

    def run(self, stream: BinaryIO) -> tuple[Any, tuple[str, ...]]:
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                name = opcode.name
                if name == "STOP":
                    return self.stack.pop(), tuple(self.unknown)
                if count >= self.most:
                    raise pickle.UnpicklingError(
                        f"its pickle has more than {self.most:,} instructions"
                    )
                if name not in _STEPS:
                    raise pickle.UnpicklingError(
                        f"its pickle uses {name}, which no plain value needs"
                    )
                _STEPS[name](self, argument)
        except IndexError as error:
            raise pickle.UnpicklingError("its pickle takes more than it has put") from error
        except (ValueError, EOFError, OverflowError, MemoryError) as error:
            raise pickle.UnpicklingError(f"its pickle is damaged ({_phrase(error)})") from error
        raise pickle.UnpicklingError("its pickle has no end")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def popped(self, count: int) -> list[Any]:
        return [self.stack.pop() for _ in range(count)][::-1]

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def find(self, module: str, name: str) -> Any:
        full = f"{module.replace('__builtin__', 'builtins')}.{name}"
        if full in self.allowed:
            return self.allowed[full]
        printable = "".join(c if c.isprintable() else "?" for c in full)[:100]
        return self.unknown.setdefault(printable, self.foreign(printable))

    def call(self, function: Any, arguments: Any) -> Any:
        if isinstance(function, Foreign):
            return function
        if isinstance(function, type):
            function = CONSTRUCTORS.get(function, function)
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
        if self.copied > _COPIED_PER_OPCODE * self.most:
            raise pickle.UnpicklingError("its pickle builds far more than it holds")

    # -- stack and memo ------------------------------------------------------------------------

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
        self.push(self.stack[-1])

    def _op_put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    _op_binput = _op_long_binput = _op_put

    def _op_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _op_get(self, index: int) -> None:
        if index not in self.memo:
            raise pickle.UnpicklingError(f"its pickle recalls {index}, which it never stored")
        self.push(self.memo[index])

    _op_binget = _op_long_binget = _op_get

    # -- containers ----------------------------------------------------------------------------

    def _op_tuple1(self, _: Any) -> None:
        self.push(tuple(self.popped(1)))

    def _op_tuple2(self, _: Any) -> None:
        self.push(tuple(self.popped(2)))

    def _op_tuple3(self, _: Any) -> None:
        self.push(tuple(self.popped(3)))

    def _op_tuple(self, _: Any) -> None:
        self.push(tuple(self.pop_to_mark()))

    def _op_list(self, _: Any) -> None:
        self.push(self.pop_to_mark())

    def _op_dict(self, _: Any) -> None:
        items = self.pop_to_mark()
        self.push({})
        self.fill(_DICTS, _set_items, items)

    def _op_frozenset(self, _: Any) -> None:
        self.push(frozenset(keys(self.pop_to_mark())))

    def _op_append(self, _: Any) -> None:
        self.fill((list,), list.extend, self.popped(1))

    def _op_appends(self, _: Any) -> None:
        self.fill((list,), list.extend, self.pop_to_mark())

    def _op_setitem(self, _: Any) -> None:
        self.fill(_DICTS, _set_items, self.popped(2))

    def _op_setitems(self, _: Any) -> None:
        self.fill(_DICTS, _set_items, self.pop_to_mark())

    def _op_additems(self, _: Any) -> None:
        self.fill((set,), lambda target, items: target.update(keys(items)), self.pop_to_mark())

    def fill(
        self, kinds: tuple[type, ...], put: Callable[[Any, list[Any]], None], items: list[Any]
    ) -> None:
        """Put `items` into the container on top of the stack, which must be of one of `kinds`."""
        target = self.stack[-1]
        if type(target) in kinds:
            put(target, items)
        elif not isinstance(target, Foreign):
            raise pickle.UnpicklingError(f"its pickle adds to a {type(target).__name__}")

    # -- imports, calls and storages -----------------------------------------------------------

    def _op_global(self, names: str) -> None:
        module, _, name = names.partition(" ")
        self.push(self.find(module, name))

    def _op_stack_global(self, _: Any) -> None:
        module, name = self.popped(2)
        self.push(self.find(str(module)[:200], str(name)[:200]))

    def _op_reduce(self, _: Any) -> None:
        self.push(self.call(*self.popped(2)))

    _op_newobj = _op_reduce

    def _op_newobj_ex(self, _: Any) -> None:
        function, arguments, named = self.popped(3)
        if not isinstance(function, Foreign) and not (isinstance(named, dict) and not named):
            raise pickle.UnpicklingError("its pickle calls with named arguments")
        self.push(self.call(function, arguments))

    def _op_obj(self, _: Any) -> None:
        function, *arguments = self.pop_to_mark()
        self.push(self.call(function, tuple(arguments)))

    def _op_inst(self, names: str) -> None:
        module, _, name = names.partition(" ")
        arguments = tuple(self.pop_to_mark())
        self.push(self.call(self.find(module, name), arguments))

    def _op_build(self, _: Any) -> None:
        (state,) = self.popped(1)
        target = self.stack[-1]
        if isinstance(target, np.ndarray):
            self.charge(state if isinstance(state, tuple) else ())
            fill(target, state)
        elif isinstance(target, np.dtype):
            order_bytes(target, state)
        elif not isinstance(target, (Foreign, dict)):
            raise pickle.UnpicklingError(f"its pickle changes a {type(target).__name__}")

    def _op_binpersid(self, _: Any) -> None:
        if self.storage is None:
            raise NeedsCodeError("it refers to something outside it")
        self.push(self.storage(self.stack.pop()))


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **{name[4:].upper(): step for name, step in vars(_Machine).items() if name[:4] == "_op_"},
    **dict.fromkeys(_LITERALS, _Machine.push),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
}


def _set_items(target: dict[Any, Any], items: list[Any]) -> None:
    if len(items) % 2:
        raise pickle.UnpicklingError("its pickle has a key without a value")
    for pair in zip(keys(items[::2]), items[1::2], strict=True):
        target.__setitem__(*pair)


def _phrase(error: BaseException) -> str:
    """The first line of an error's message, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
