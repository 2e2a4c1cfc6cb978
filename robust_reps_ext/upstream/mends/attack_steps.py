"""Mends `robustness.attack_steps`: the sets that PGD stays in, and its steps."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from ..attack import steps
from ..mend import Mend, derive, fails

__all__ = ["MENDS"]


def _mend(name: str, line: int, present: Callable[[Any], bool], why: str) -> Mend:
    """A mend of one set; `present` is asked with one around a pixel of 2, of radius 1."""

    def around_two(module: ModuleType) -> bool:
        pixel = torch.full((1, 1), 2.0)
        return present(getattr(module, name)(orig_input=pixel, eps=1.0, step_size=1.0))

    ours = getattr(steps, name)
    return Mend(name, f"attack_steps.py:{line}", why, around_two, derive(name, ours))


def _leaves_the_ball(step: Any) -> bool:
    return bool(step.orig_input.max() > 1)


MENDS: tuple[Mend, ...] = (
    _mend(
        "LinfStep",
        96,
        _leaves_the_ball,
        "An origin outside [0, 1] let the clamp leave the ball; random starts ignored the origin.",
    ),
    _mend(
        "L2Step",
        123,
        _leaves_the_ball,
        "An origin outside [0, 1] let the clamp leave the ball; random starts ignored the origin "
        "and lay on the sphere; channels-last gradients raised.",
    ),
    _mend(
        "UnconstrainedStep",
        156,
        lambda step: fails(lambda: step.random_perturb(step.orig_input), NameError),
        "A random start raised NameError: step_size.",
    ),
    _mend(
        "FourierStep",
        183,
        lambda step: fails(lambda: step.to_image(torch.zeros(1, 1, 2, 2, 2)), AttributeError),
        "torch.irfft no longer exists.",
    ),
    _mend(
        "RandomStep",
        190,
        lambda step: bool(step.to_image(step.orig_input).max() > 1),
        "The noisy image was not clamped to [0, 1].",
    ),
)
