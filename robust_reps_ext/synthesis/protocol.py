"""What an objective is, and how a plain function becomes one."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn

from ..runtime.errors import InputError

__all__ = ["Objective", "complete"]


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
        self.name: str = getattr(objective, "name", named)
        self.targeted = bool(getattr(objective, "targeted", False))

    def __call__(self, model: nn.Module, inp: Tensor, target: Any) -> tuple[Tensor, Tensor]:
        found = self.objective(model, inp, target)
        values, seen = found if isinstance(found, (tuple, list)) else (found, None)
        if not isinstance(values, Tensor) or values.shape != (len(inp),):
            what = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values)
            raise InputError(
                f"the objective {self.name} gives {what} for {len(inp)} images: give one value "
                "for each, (N,), alone or before the representation that it saw"
            )
        return values, values[:, None] if seen is None else seen

    def training_target(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        made: Tensor = self.objective.training_target(model, images, labels)
        return made


def complete(objective: Any) -> Objective:
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
    return _Complete(objective)
