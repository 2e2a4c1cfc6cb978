"""Where a run of PGD is between two steps: all that it needs to go on, as tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .schedules import Schedule

__all__ = ["GAIN", "Keeper", "Plateau", "State", "of_rows", "where"]

GAIN = 0.01
"""An image has stopped gaining if `patience` steps bettered its loss by less than this share."""


@dataclass
class Plateau:
    """Whether the best loss of an image has stopped gaining; both (n,)."""

    best: Tensor | None = None
    marked: Tensor | None = None

    def reached(self, ascent: Tensor, iteration: int, patience: int) -> Tensor:
        """(n,), false between the ends of `patience` steps; `ascent` is what is maximised."""
        self.best = ascent if self.best is None else torch.maximum(self.best, ascent)
        never = torch.zeros_like(ascent, dtype=torch.bool)
        if iteration % patience:
            return never
        marked, self.marked = self.marked, self.best
        return never if marked is None else self.best - marked < GAIN * marked.abs()


@dataclass
class State:
    """One run of N images, n of which are still in the batch.

    Attributes
    ----------
    x
        The next iterate, (n, ...).
    move, plateau
        What schedule and plateau remember.
    best, best_losses
        The best iterate of each image so far, where it is asked for.
    active
        (n,), false for images that are left as they are.
    good, good_losses
        The last iterate with a finite loss and gradient, where that is watched.
    rows
        (n,), the places of the n images among the N.
    images, losses
        Those of all N when an image last left the batch.
    failed
        (N,), true for images that were left because loss or gradient was not finite.
    iteration
        Steps made.
    """

    x: Tensor
    move: Schedule
    plateau: Plateau
    best: Tensor
    active: Tensor
    rows: Tensor
    images: Tensor
    failed: Tensor
    best_losses: Tensor | None = None
    good: Tensor | None = None
    good_losses: Tensor | None = None
    losses: Tensor | None = None
    iteration: int = 0

    @classmethod
    def at_start(cls, x: Tensor, move: Schedule) -> State:
        """All images in the batch, and no step made."""
        x = x.detach()
        rows = torch.arange(len(x), device=x.device)
        failed = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        return cls(x, move, Plateau(), x, ~failed, rows, x, failed)

    def everyone(self, x: Tensor, losses: Tensor | None) -> tuple[Tensor, Any]:
        """Images and losses of the present batch, and of those that left it, in their order."""
        if len(self.rows) == len(self.images):
            return x.detach(), losses
        images = self.images.index_copy(0, self.rows, x.detach())
        if losses is None or self.losses is None:
            return images, None
        return images, self.losses.index_copy(0, self.rows, losses)

    def finite(self, x: Tensor, losses: Tensor, gradient: Tensor | None) -> tuple[Tensor, Tensor]:
        """Iterate and losses, the last good ones where they or the gradient are not finite.

        Such images are left as they are.
        """
        bad = ~losses.isfinite()
        if gradient is not None:
            bad = bad | ~gradient.isfinite().flatten(1).all(1)
        bad = bad & self.active
        self.active = self.active & ~bad
        self.failed = self.failed.index_copy(0, self.rows, self.failed[self.rows] | bad)
        if self.good is not None and self.good_losses is not None:
            x, losses = where(bad, self.good, x), where(bad, self.good_losses, losses)
        self.good, self.good_losses = x, losses
        return x, losses

    def leave(self, x: Tensor, losses: Tensor, kept: Tensor) -> Tensor:
        """All but the rows `kept` leave the batch with these images and losses."""
        values = losses if self.best_losses is None else self.best_losses
        self.images, self.losses = self.everyone(x, values)
        for part, names in (
            (self, ("rows", "best", "active", "best_losses", "good", "good_losses")),
            (self.plateau, ("best", "marked")),
        ):
            for name in names:
                value = getattr(part, name)
                setattr(part, name, None if value is None else value[kept])
        return x[kept]

    def tensors(self) -> dict[str, Tensor]:
        """Everything, by name."""
        of_each = {"": vars(self), "plateau.": vars(self.plateau), "move.": self.move.memory}
        return {
            "iteration": torch.tensor(self.iteration),
            **{
                f"{prefix}{name}": one
                for prefix, part in of_each.items()
                for name, one in part.items()
                if isinstance(one, Tensor)
            },
        }

    def take_up(self, found: dict[str, Tensor]) -> None:
        """Go on where `tensors` was read."""
        for name, one in found.items():
            part, _, rest = name.partition(".")
            if part == "move":
                self.move.memory[rest] = one
            elif part == "plateau":
                setattr(self.plateau, rest, one)
            else:
                setattr(self, name, int(one) if name == "iteration" else one)


class Keeper(Protocol):
    """Keeps the state of a run, and gives back what was kept."""

    def found(self) -> dict[str, Tensor]:
        """`State.tensors` of a run that was interrupted; empty where a new one begins."""
        ...

    def stepped(self, state: State) -> None:
        """Told after each step."""
        ...


def of_rows(value: Any, rows: Any) -> Any:
    """A target for some of its images: of a tuple each part, and None where a part has none."""
    if isinstance(value, tuple):
        return tuple(of_rows(one, rows) for one in value)
    return None if value is None else value[rows]


def where(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Rows of `yes` where the mask (n,) holds, else rows of `no`."""
    return torch.where(mask.view(-1, *[1] * (yes.dim() - 1)), yes, no).detach()
