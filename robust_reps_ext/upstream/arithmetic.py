"""Numbers as people type them on a command line, ``8/255`` or ``1e-3``, without running code."""

from __future__ import annotations

import ast
import math
import numbers
import operator
from collections.abc import Callable
from typing import Any

from ..runtime.errors import InputError

__all__ = ["number"]

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[float], float]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def number(value: Any, option: str, *, at_least: float | None = None) -> float:
    """The number that `value` stands for.

    Parameters
    ----------
    value
        A number, or an arithmetic expression of numbers with ``+ - * / **`` and parentheses.
    option
        What the value was given for, named in the error, for example ``"--eps"``.
    at_least
        The lowest value allowed; without it, any finite number is.

    Raises
    ------
    InputError
        If `value` is anything else, is not finite, or is below `at_least`.

    Examples
    --------
    >>> number("8/255", "--eps")
    0.03137254901960784
    >>> number(0.5, "--attack-lr")
    0.5
    """
    try:
        result = _evaluate(value)
    except (ArithmeticError, MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        raise InputError(
            f"{option}={value!r} is not a number: give one such as 0.5, 1e-3 or 8/255"
        ) from None
    if not math.isfinite(result):
        raise InputError(f"{option}={value!r} is not finite: give a finite number")
    if at_least is not None and result < at_least:
        raise InputError(f"{option}={value!r} is below {at_least:g}: give {at_least:g} or more")
    return result


def _evaluate(value: Any) -> float:
    if isinstance(value, str):
        return float(_node(ast.parse(value.strip(), mode="eval").body))
    if isinstance(value, bool) or not (isinstance(value, numbers.Real) or hasattr(value, "item")):
        raise TypeError
    return float(value)


def _node(node: ast.AST) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        if isinstance(node.value, bool):
            raise ValueError
        return float(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _BINARY[type(node.op)](_node(node.left), _node(node.right))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_node(node.operand))
    raise ValueError
