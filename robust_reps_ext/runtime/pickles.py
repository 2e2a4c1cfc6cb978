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
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from .errors import first_line
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
            for opcode, argument, _ in islice(pickletools.genops(stream), self.most):
                step = _STEPS.get(opcode.name)
                if step is not None:
                    step(self, argument)
                elif opcode.name == "STOP":
                    return self.stack.pop(), tuple(self.unknown)
                else:
                    raise pickle.UnpicklingError(
                        f"its pickle uses {opcode.name}, which no plain value needs"
                    )
        except IndexError as error:
            raise pickle.UnpicklingError("its pickle takes more than it has put") from error
        except (ValueError, EOFError, OverflowError, MemoryError) as error:
            raise pickle.UnpicklingError(f"its pickle is damaged ({first_line(error)})") from error
        raise pickle.UnpicklingError(f"its pickle has more than {self.most:,} instructions")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def popped(self, count: int) -> list[Any]:
        return [self.stack.pop() for _ in range(count)][::-1]

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def find(self, names: str) -> Any:
        """What ``"module name"`` gives."""
        full = names.replace("__builtin__ ", "builtins ").replace(" ", ".", 1)
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
            raise pickle.UnpicklingError(f"{function.name}: {first_line(error)}") from error

    def charge(self, arguments: tuple[Any, ...]) -> None:
        """Count what calls copy: a file may name one large value and copy it without end."""
        for argument in arguments:
            parts = argument if isinstance(argument, tuple) else (argument,)
            self.copied += sum(len(part) for part in parts if isinstance(part, _SIZED))
        if self.copied > _COPIED_PER_OPCODE * self.most:
            raise pickle.UnpicklingError("its pickle builds far more than it holds")

    def fill(
        self, kinds: tuple[type, ...], put: Callable[[Any, list[Any]], Any], items: list[Any]
    ) -> None:
        """Put `items` into the container on top of the stack, which must be of one of `kinds`."""
        target = self.stack[-1]
        if type(target) in kinds:
            put(target, items)
        elif not isinstance(target, Foreign):
            raise pickle.UnpicklingError(f"its pickle adds to a {type(target).__name__}")

    # -- opcodes that take more than a line ----------------------------------------------------

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_to_mark()

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise pickle.UnpicklingError(f"its pickle recalls {index}, which it never stored")
        self.push(self.memo[index])

    def import_popped(self, _: Any) -> None:
        names = self.popped(2)
        if not all(isinstance(name, str) for name in names):
            raise pickle.UnpicklingError("its pickle imports by something else than a name")
        self.push(self.find(" ".join(names)))

    def import_and_call(self, names: str) -> None:
        arguments = tuple(self.pop_to_mark())
        self.push(self.call(self.find(names), arguments))

    def call_with_names(self, _: Any) -> None:
        function, arguments, named = self.popped(3)
        if not isinstance(function, Foreign) and not (isinstance(named, dict) and not named):
            raise pickle.UnpicklingError("its pickle calls with named arguments")
        self.push(self.call(function, arguments))

    def call_marked(self, _: Any) -> None:
        function, *arguments = self.pop_to_mark()
        self.push(self.call(function, tuple(arguments)))

    def build(self, _: Any) -> None:
        (state,) = self.popped(1)
        target = self.stack[-1]
        if isinstance(target, np.ndarray):
            self.charge(state if isinstance(state, tuple) else ())
            fill(target, state)
        elif isinstance(target, np.dtype):
            order_bytes(target, state)
        elif not isinstance(target, (Foreign, dict)):
            raise pickle.UnpicklingError(f"its pickle changes a {type(target).__name__}")

    def refer(self, _: Any) -> None:
        if self.storage is None:
            raise NeedsCodeError("it refers to something outside it")
        self.push(self.storage(self.stack.pop()))


_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    **dict.fromkeys(_LITERALS, _Machine.push),
    **dict.fromkeys(("PROTO", "FRAME"), lambda m, _: None),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    # the stack and the memo
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": lambda m, _: m.pop_to_mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    # containers
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "TUPLE1": lambda m, _: m.push(tuple(m.popped(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.popped(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.popped(3))),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_to_mark())),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "LIST": lambda m, _: m.push(m.pop_to_mark()),
    "APPEND": lambda m, _: m.fill((list,), list.extend, m.popped(1)),
    "APPENDS": lambda m, _: m.fill((list,), list.extend, m.pop_to_mark()),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "DICT": lambda m, _: m.push(_with_items({}, m.pop_to_mark())),
    "SETITEM": lambda m, _: m.fill(_DICTS, _with_items, m.popped(2)),
    "SETITEMS": lambda m, _: m.fill(_DICTS, _with_items, m.pop_to_mark()),
    "EMPTY_SET": lambda m, _: m.push(set()),
    "FROZENSET": lambda m, _: m.push(frozenset(keys(m.pop_to_mark()))),
    "ADDITEMS": lambda m, _: m.fill((set,), lambda s, i: s.update(keys(i)), m.pop_to_mark()),
    # imports, calls and storages
    "GLOBAL": lambda m, names: m.push(m.find(names)),
    "STACK_GLOBAL": _Machine.import_popped,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda m, _: m.push(m.call(*m.popped(2)))),
    "NEWOBJ_EX": _Machine.call_with_names,
    "OBJ": _Machine.call_marked,
    "INST": _Machine.import_and_call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.refer,
}
"""What is done at each opcode, with the machine and the opcode's argument."""


def _with_items(target: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise pickle.UnpicklingError("its pickle has a key without a value")
    for pair in zip(keys(items[::2]), items[1::2], strict=True):
        target.__setitem__(*pair)
    return target
