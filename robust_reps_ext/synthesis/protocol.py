"""What an objective is, and how a plain function becomes one."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..runtime.errors import InputError

__all__ = ["Objective", "check_numbers", "complete", "filled", "in_range"]


class Objective(Protocol):
    """What PGD optimises, one value per image.

    A plain function ``(model, inp, target) -> (N,)`` does too where `synthesize` takes one: it is
    maximised, and bears its own name.

    Attributes
    ----------
    name
        As registered, for example ``"representation_matching"``.
    targeted
        Whether PGD minimises (True) or maximises the value.

    These may be left out:

    on_images : bool
        Whether it is called with the images in [0, 1] as a fourth argument.
    takes_target : bool
        False if the target is not looked at.
    reads : tuple of `robust_reps_ext.models.one_pass.Reading`
        What a sum computes for it; by default the logits.
    """

    name: str
    targeted: bool

    def __call__(self, model: nn.Module, inp: Tensor, target: Any) -> tuple[Tensor, Tensor]:
        """The values (N,), and the representation (N, k) they come from.

        `model` is the bare classifier, `inp` its normalised input (N, C, H, W).
        """
        ...

    def training_target(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """What the adversary of adversarial training aims at, for a batch of images in [0, 1]."""
        ...


class _Complete:
    """An objective that lacks something: a name, a direction, or the representation it saw."""

    def __init__(self, objective: Any) -> None:
        self.objective = objective
        named = getattr(objective, "__name__", type(objective).__name__)
        layer = getattr(objective, "layer", None)
        at = "" if layer is None else f" at {getattr(layer, '__name__', layer)}"
        self.name: str = getattr(objective, "name", named) + at
        self.targeted = bool(getattr(objective, "targeted", False))
        self.on_images = bool(getattr(objective, "on_images", False))
        self.takes_target = bool(getattr(objective, "takes_target", True))
        self.reads: tuple[Any, ...] | None = getattr(objective, "reads", None)

    def __call__(
        self, model: Any, inp: Tensor, target: Any, images: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        seen_too = (images,) if self.on_images else ()
        found = self.objective(model, inp, target, *seen_too)
        values, seen = found if isinstance(found, (tuple, list)) else (found, None)
        if not isinstance(values, Tensor) or values.shape != (len(inp),):
            what = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values)
            raise InputError(
                f"the objective {self.name} gives {what} for {len(inp)} images: give one value "
                "for each, (N,), alone or before the representation that it saw"
            )
        return values, values[:, None] if seen is None else seen

    def training_target(self, model: nn.Module, images: Tensor, labels: Tensor) -> Any:
        if not hasattr(self.objective, "training_target"):
            return labels
        return self.objective.training_target(model, images, labels)


def complete(objective: Any) -> _Complete:
    """`objective`, which may be a plain function or give its values alone; those are maximised.

    Raises
    ------
    InputError
        If it cannot be called; and at its first call, if it gives no value for each image.
    """
    if not callable(objective):
        raise InputError(
            f"objective is a {type(objective).__name__}: give a function of network, input and "
            "target"
        )
    return objective if isinstance(objective, _Complete) else _Complete(objective)


def check_numbers(target: Tensor, n: int, wanted: str) -> None:
    """`InputError` unless a target is `wanted`, one for each of n images, (n,) of int64."""
    if target.shape != (n,) or target.dtype != torch.int64:
        raise InputError(
            f"target is {target.dtype} of shape {tuple(target.shape)}: give {wanted}, ({n},) of "
            "int64"
        )


def in_range(target: Tensor, size: int, what: str, known: str) -> None:
    """`InputError` unless each number of a target, (N,) of int64, is below `size`.

    On an accelerator, which would have to wait, it is not looked at.
    """
    if not (target.is_cpu and len(target)):
        return
    low, high = int(target.min()), int(target.max())
    if low < 0 or high >= size:
        raise InputError(
            f"{what} {low if low < 0 else high} is out of range: {known} 0 to {size - 1}"
        )


def filled(objective: Any, target: Any, start: Tensor) -> Any:
    """The target, with what follows from the start (N, C, H, W) where none was given."""
    fill = getattr(objective, "filled", None)
    return target if fill is None else fill(target, start)
