"""The arguments of training and evaluation: which must be there, and what their values may be."""

from __future__ import annotations

import numbers
from typing import Any

import torch

from ..runtime.errors import InputError
from ..runtime.precision import is_fast
from .arithmetic import number

__all__ = [
    "check_required_args",
    "given",
    "missing",
    "mixed",
    "option",
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
    value = given(args, name, default)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, numbers.Integral):
        raise InputError(f"{option(name)}={value!r} is not a whole number: give one")
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
    adversarial = bool(given(args, "adv_train", 0)) or bool(given(args, "adv_eval", 0))
    if adversarial:
        required += _ADVERSARY
    for name in required:
        if given(args, name) is None:
            raise InputError(missing(name))
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
    twice changes nothing.

    Raises
    ------
    InputError
        If one is not a number or is negative.
    """
    for name in ("eps", "attack_lr"):
        value = given(args, name)
        setattr(args, name, None if value is None else number(value, option(name), at_least=0))
    for name in ("attack_steps", "random_restarts"):
        if given(args, name) is not None:
            setattr(args, name, whole_number(args, name, None, at_least=0))


def mixed(args: Any, device: torch.device) -> bool:
    """Whether to train in mixed precision: it was asked for, and it pays."""
    return bool(given(args, "mixed_precision", 0)) and is_fast(device)


def tell_if_refused(args: Any, device: torch.device) -> None:
    """Say that mixed precision was asked for and will not be used."""
    if given(args, "mixed_precision", 0) and not is_fast(device):
        print("=> --mixed-precision 1: this CPU has no bfloat16 instructions; training in float32")
