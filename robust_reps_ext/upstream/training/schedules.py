"""How the learning rate and eps change from epoch to epoch, as functions of the epoch alone.

A value that depends on nothing but the epoch is right after a resume, and follows options that
were changed for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...runtime.errors import InputError
from ..arguments import given, number, pairs, whole_number
from .course import ONE_CYCLE

__all__ = ["eps_multiplier", "lr_multiplier", "periods"]

Multiplier = Callable[[int], float]


def lr_multiplier(args: Any) -> Multiplier | None:
    """What the learning rate is multiplied by in each epoch; None if it stays as it is.

    Parameters
    ----------
    args
        The training arguments. ``custom_lr_multiplier`` is read first: ``"cyclic"``, periods
        (see `periods`) that ``lr_interpolation`` joins by steps (default) or lines, or
        ``"one-cycle"``, which is none of the epoch (see `course.Course`). Without it,
        ``step_lr`` epochs pass between drops by ``step_lr_gamma`` (default 0.1).

    Notes
    -----
    The cyclic ramp rises from 0 to 1 over the first 4/15 of ``epochs`` and falls back to 0. An
    epoch uses the ramp's value at its middle, so that no epoch is trained at rate 0.
    """
    custom = _asked(args, "custom_lr_multiplier")
    if isinstance(custom, str) and custom.strip() == "cyclic":
        return _cyclic(args.epochs)
    if custom == ONE_CYCLE:
        return None
    if custom is not None:
        points = periods(custom, "--custom-lr-multiplier")
        interpolation = given(args, "lr_interpolation") or "step"
        if interpolation not in ("linear", "step"):
            raise InputError(
                f"--lr-interpolation={interpolation!r} is not known: give linear or step"
            )
        return _linear(points) if interpolation == "linear" else _steps(points)
    step = whole_number(args, "step_lr", 0, at_least=0)
    if not step:
        return None
    gamma = number(given(args, "step_lr_gamma", 0.1), "--step-lr-gamma", at_least=0)
    return lambda epoch: gamma ** (epoch // step)


def eps_multiplier(args: Any) -> Multiplier | None:
    """What eps is multiplied by in each epoch of training: ``custom_eps_multiplier``, linearly.

    A function of the epoch, which upstream's training makes of it, is taken too.
    """
    custom = _asked(args, "custom_eps_multiplier")
    if custom is None or callable(custom):
        return custom
    return _linear(periods(custom, "--custom-eps-multiplier"))


def _asked(args: Any, name: str) -> Any:
    """A schedule of `args`; None where it is empty, or a switch that is off."""
    custom = given(args, name)
    empty = not len(custom) if hasattr(custom, "__len__") else not custom
    return None if empty or (isinstance(custom, str) and custom == "None") else custom


def periods(value: Any, option: str) -> list[tuple[float, float]]:
    """The (epoch, multiplier) pairs that `value` stands for.

    Parameters
    ----------
    value
        Pairs in order of their epochs, or such a list as text: ``"[(0, 1), (30, 0.1)]"``.
    option
        Named in the error.

    Raises
    ------
    InputError
        If `value` is anything else.

    Examples
    --------
    >>> periods("[(0, 1), (30, 0.1)]", "--custom-lr-multiplier")
    [(0.0, 1.0), (30.0, 0.1)]
    """
    try:
        points = pairs(value)
    except ValueError:
        points = []
    if not points or any(multiplier < 0 for _, multiplier in points):
        raise InputError.also(TypeError)(
            f"{option}={value!r} is not a schedule: give pairs (epoch, multiplier), "
            "such as '[(0, 1), (30, 0.1), (60, 0.01)]'"
        )
    epochs = [epoch for epoch, _ in points]
    if epochs != sorted(set(epochs)):
        raise InputError(f"{option}={value!r}: give its epochs in rising order, each one once")
    return points


def _steps(points: Sequence[tuple[float, float]]) -> Multiplier:
    def multiplier(epoch: int) -> float:
        return next((value for start, value in reversed(points) if epoch >= start), 1.0)

    return multiplier


def _linear(points: Sequence[tuple[float, float]]) -> Multiplier:
    epochs, values = zip(*points, strict=True)
    return lambda epoch: float(np.interp(epoch, epochs, values))


def _cyclic(epochs: int) -> Multiplier:
    peak = epochs * 4 // 15
    return lambda epoch: float(np.interp(epoch + 0.5, [0, peak, epochs], [0, 1, 0]))
