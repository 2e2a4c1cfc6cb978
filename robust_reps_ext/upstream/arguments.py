"""The arguments of training and evaluation: what must be there, what it may be, and files of it."""

from __future__ import annotations

import ast
import difflib
import json
import math
import numbers
import operator
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from ..runtime.errors import InputError, unboxed
from ..runtime.precision import is_fast

__all__ = [
    "check_required_args",
    "fill_from_file",
    "function_given",
    "given",
    "missing",
    "mixed",
    "number",
    "option",
    "ours",
    "pairs",
    "path_given",
    "read_json",
    "read_numbers",
    "tell_if_refused",
    "whole_number",
]

# What an error shows as an example of a value, for arguments without a default.
EXAMPLES = {
    "adv_eval": "1",
    "adv_train": "1",
    "arch": "resnet50",
    "attack_lr": "0.5",
    "attack_steps": "7",
    "batch_size": "256",
    "constraint": "2",
    "dataset": "restricted_imagenet",
    "eps": "3.0",
    "epochs": "110",
    "log_iters": "5",
    "lr": "0.1",
    "momentum": "0.9",
    "out_dir": "runs",
    "random_restarts": "0",
    "step_lr": "30",
    "use_best": "1",
    "weight_decay": "5e-4",
}

_TRAINING = ("epochs", "out_dir", "adv_train", "log_iters", "lr", "momentum", "weight_decay")
_EVALUATION = ("adv_eval",)
_ADVERSARY = ("attack_steps", "eps", "constraint", "use_best", "attack_lr", "random_restarts")


def given(args: Any, name: str, default: Any = None) -> Any:
    """The argument `name`, or `default` if it is absent or None, for any kind of `args`."""
    try:
        value = getattr(args, name)
    except (AttributeError, KeyError):
        return default
    return default if value is None else value


def path_given(args: Any, name: str) -> str | os.PathLike[str] | None:
    """The argument `name` if it is a path: scripts have flags of the same names."""
    value = given(args, name)
    return value if isinstance(value, (str, os.PathLike)) and os.fspath(value) else None


def function_given(args: Any, name: str) -> Any:
    """The argument `name` if it is a function: False and 0 are none."""
    return given(args, name) or None


def ours(args: Any, name: str, default: Any, read: Callable[[], Any]) -> Any:
    """An argument that upstream lacks, as `read` finds it, or `default` where there is none.

    A script may use the name for something else: what `read` refuses is named and not used.
    """
    if given(args, name) is None:
        return default
    try:
        return read()
    except InputError as error:
        print(f"=> args.{name} is the script's own and not used in training ({error})")
        return default


def option(name: str) -> str:
    """How an argument is written on the command line: ``"attack_lr"`` gives ``"--attack-lr"``."""
    return "--" + name.replace("_", "-")


def whole_number(args: Any, name: str, default: int | None, at_least: int | None) -> int:
    """The argument `name` as an int.

    Raises
    ------
    InputError
        If it is no whole number, or is below `at_least`.
    """
    value = unboxed(given(args, name, default))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, numbers.Integral):
        raise InputError.also(TypeError)(
            f"{option(name)}={value!r} is not a whole number: give one"
        )
    if at_least is not None and value < at_least:
        raise InputError(f"{option(name)}={value!r} is below {at_least}: give {at_least} or more")
    return int(value)


def check_required_args(args: Any, eval_only: bool = False) -> None:
    """Check that the arguments training (or only evaluation) needs are there.

    Raises
    ------
    InputError
        If one is missing, or if there is a custom training loss but no loss for its adversary.
    """
    required = list(_EVALUATION if eval_only else _TRAINING)
    adversarial = _adversarial(args)
    if adversarial:
        required += _ADVERSARY
    for name in required:
        if given(args, name) is None:
            raise InputError.also(AssertionError, AttributeError)(missing(name))
    has_adversary = given(args, "custom_adv_loss") or given(args, "adv_objective")
    if given(args, "custom_train_loss") and adversarial and not has_adversary:
        raise InputError(
            "custom_train_loss with an adversary needs custom_adv_loss: "
            "give the loss per example that the attack maximises"
        )
    if given(args, "custom_adv_loss") and given(args, "adv_objective"):
        raise InputError("custom_adv_loss and --adv-objective exclude each other: give one of them")


def missing(name: str) -> str:
    """The line for an argument that is not there."""
    example = EXAMPLES.get(name)
    shown = f"{option(name)} {example}" if example else f"{option(name)} VALUE"
    return f"{option(name)} is required: give it, for example {shown}"


def read_numbers(args: Any) -> None:
    """Turn what describes the attack into numbers, in place: ``eps="8/255"`` into 0.0314.

    ``eps`` and ``attack_lr`` become None where they are absent, as upstream leaves them. Doing it
    twice changes nothing. Without an adversary, what is no number stays as it is.

    Raises
    ------
    InputError
        If one is not a number or is negative.
    """
    for name in ("eps", "attack_lr", "attack_steps", "random_restarts"):
        value = given(args, name)
        try:
            if value is None:
                read: Any = None
            elif name in ("eps", "attack_lr"):
                read = number(value, option(name), at_least=0)
            else:
                read = whole_number(args, name, None, at_least=0)
        except InputError:
            if _adversarial(args):
                raise
            continue
        if read is not None or name in ("eps", "attack_lr"):
            setattr(args, name, read)


def _adversarial(args: Any) -> bool:
    return bool(given(args, "adv_train", 0)) or bool(given(args, "adv_eval", 0))


def mixed(args: Any, device: torch.device) -> bool:
    """Whether to train in mixed precision: it was asked for, and it pays."""
    return bool(given(args, "mixed_precision", 0)) and is_fast(device)


def tell_if_refused(args: Any, device: torch.device) -> None:
    """Say that mixed precision was asked for and will not be used."""
    if given(args, "mixed_precision", 0) and not is_fast(device):
        print("=> --mixed-precision 1: this CPU has no bfloat16 instructions; training in float32")


def pairs(value: Any) -> list[tuple[float, float]]:
    """The pairs of finite numbers that `value` holds, or a list as text; else a `ValueError`."""
    try:
        found = ast.literal_eval(value.strip()) if isinstance(value, str) else value
        return [(_finite(one), _finite(other)) for one, other in found]
    except (MemoryError, RecursionError, SyntaxError, TypeError) as error:
        raise ValueError(str(error)) from error


def _finite(value: Any) -> float:
    if isinstance(value, (bool, str)) or not math.isfinite(value):
        raise ValueError
    return float(value)


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


def number(
    value: Any, option: str, *, at_least: float | None = None, at_most: float | None = None
) -> float:
    """The number that `value` stands for.

    Parameters
    ----------
    value
        A number, or an arithmetic expression of numbers with ``+ - * / **`` and parentheses.
    option
        What the value was given for, named in the error, for example ``"--eps"``.
    at_least, at_most
        The lowest and the highest value allowed; without them, any finite number is.

    Raises
    ------
    InputError
        If `value` is anything else, is not finite, below `at_least` or above `at_most`.

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
        raise InputError.also(TypeError)(
            f"{option}={value!r} is not a number: give one such as 0.5, 1e-3 or 8/255"
        ) from None
    if not math.isfinite(result):
        raise InputError(f"{option}={value!r} is not finite: give a finite number")
    if at_least is not None and result < at_least:
        raise InputError(f"{option}={value!r} is below {at_least:g}: give {at_least:g} or more")
    if at_most is not None and result > at_most:
        raise InputError(f"{option}={value!r} is above {at_most:g}: give {at_most:g} or less")
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


def fill_from_file(args: Any, path: str | os.PathLike[str], arg_lists: Iterable[Any]) -> None:
    """Set what is None or absent in `args` from a JSON object of option names and values.

    Parameters
    ----------
    args
        Any object with attributes; what the command line gave stays.
    path
        The file. Names may be written ``batch-size`` or ``batch_size``; null means not given.
    arg_lists
        Lists of entries [name, type or choices, help, default], like
        `robustness.defaults.TRAINING_ARGS`.

    Raises
    ------
    InputError
        If the file cannot be read, or has an unknown name or a value of the wrong type.
    """
    kinds = {entry[0].replace("-", "_"): entry[1] for entries in arg_lists for entry in entries}
    del kinds["config_path"]
    for key, value in read_json(path).items():
        name = key.lower().replace("-", "_")
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(kinds))}"
            raise InputError(f"{path} has an unknown option {key!r}: {hint}")
        if value is None:
            continue
        try:
            converted = _converted(value, kinds[name])
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: {key}={value!r} is wrong: give {error}") from None
        if given(args, name) is None:
            setattr(args, name, converted)


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Names and values of a configuration, a JSON object.

    Raises
    ------
    InputError
        If there is none that can be read.
    """
    shown = f"configuration {os.fspath(path)!r}"
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
        values = json.loads(text)
    except OSError as error:
        raise InputError.also(type(error))(
            f"{shown} cannot be read: {error.strerror}; `robust-reps preset NAME` prints the path "
            "of a ready one"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError.also(type(error))(f"{shown} is not text: give JSON") from error
    except (ValueError, RecursionError) as error:
        raise InputError.also(type(error))(f"{shown} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise InputError.also(AttributeError)(
            f'{shown} is no JSON object: write {{"option": value, ...}}'
        )
    return values


def _converted(value: Any, kind: Any) -> Any:
    """`value` as the command line would have made it from the same text.

    A ValueError or TypeError ends with what to give instead.
    """
    if isinstance(kind, list):
        if isinstance(value, bool) and kind == [0, 1]:
            value = int(value)
        for choice in kind:
            if type(value) in (int, float, str) and str(value) == str(choice):
                return choice
        raise ValueError("one of " + ", ".join(map(str, kind)))
    if isinstance(value, (bool, dict)):
        raise TypeError(_wanted(kind))
    if kind is str:
        return value if isinstance(value, str) else json.dumps(value)
    if isinstance(value, list):
        raise TypeError(_wanted(kind))
    try:
        if kind is int and isinstance(value, float) and not value.is_integer():
            raise ValueError
        return kind(value)
    except (ValueError, OverflowError):
        raise ValueError(_wanted(kind)) from None


def _wanted(kind: Any) -> str:
    return {int: "a whole number", float: "a number", str: "text or a number"}[kind]
