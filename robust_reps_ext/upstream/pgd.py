"""PGD, written once: the loop behind every attack, training and experiment."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from robustness.tools import helpers
from torch import Tensor
from tqdm import tqdm

from .step_schedules import SCHEDULES

__all__ = ["GAIN", "PGD", "Callback", "StopWhen", "where"]

StopWhen = Callable[[Tensor, Any], Tensor]
Callback = Callable[[int, Tensor, Tensor], None]

GAIN = 0.01
"""An image has stopped gaining if `patience` steps bettered its loss by less than this share."""

# An accelerator would have to wait for its queue each time it is asked who is finished.
LOOK_EVERY = 10


@dataclass(frozen=True)
class PGD:
    """One run: everything that stays the same from step to step. `Attacker` says what it means."""

    loss: Callable[[Tensor, Any], tuple[Tensor, Any]]
    target: Any
    step: Any
    sign: int
    iterations: int
    use_best: bool
    est_grad: tuple[float, int] | None
    do_tqdm: bool
    stop_when: StopWhen | None
    callback: Callback | None
    schedule: str
    patience: int | None
    drop_finished: bool

    def run(self, x: Tensor, score: bool) -> tuple[Tensor, Any]:
        """The best (or last) iterate, and its losses when `score` or `use_best` needs them."""
        step, target = self.step, self.target
        move = SCHEDULES[self.schedule](step, self.patience or max(1, self.iterations))
        best, best_losses = x, None
        active = torch.ones(len(x), dtype=torch.bool, device=x.device)
        stops = self.stop_when is not None or self.patience is not None
        everyone, plateau = _Everyone(x), _Plateau(self.sign)
        for iteration in tqdm(range(self.iterations), disable=not self.do_tqdm):
            x = x.detach().requires_grad_(True)
            losses, output = self.loss(step.to_image(x), target)
            gradient = self._gradient(losses, x, step, target)
            x, losses = x.detach(), losses.detach()
            with torch.no_grad():
                if self.callback is not None:
                    seen, values = everyone.including(x, losses)
                    self.callback(iteration, self.step.to_image(seen), values)
                if self.use_best:
                    best, best_losses = self._better(x, losses, best, best_losses, active)
                if self.stop_when is not None:
                    finished = active & self.stop_when(losses, output)
                    best = where(finished, x, best)
                    if best_losses is not None:
                        best_losses = where(finished, losses, best_losses)
                    active = active & ~finished
                if self.patience is not None:
                    active = active & ~plateau.reached(losses, iteration, self.patience)
                if stops and self.use_best:
                    x = where(active, x, best)
                if stops and (x.device.type == "cpu" or iteration % LOOK_EVERY == 0):
                    if not active.any():
                        break
                    if self.drop_finished and not active.all():
                        kept = active.nonzero().squeeze(1)
                        everyone.leave(x, losses if best_losses is None else best_losses, kept)
                        x, best = x[kept], best[kept]
                        gradient = None if gradient is None else gradient[kept]
                        best_losses = None if best_losses is None else best_losses[kept]
                        active, target = active[kept], target[kept]
                        step = _for_rows(self.step, everyone.rows)
                        move.keep(step, kept)
                        plateau.keep(kept)
                moved = step.project(move(x, gradient, iteration))
                x = where(active, moved, x) if stops else moved
        if not (self.use_best or score):
            return everyone.including(x, None)
        with torch.no_grad():
            losses, _ = self.loss(step.to_image(x), target)
            if self.use_best:
                x, losses = self._better(x, losses, best, best_losses, active)
            return everyone.including(x, losses)

    def _gradient(self, losses: Tensor, x: Tensor, step: Any, target: Any) -> Tensor | None:
        if not step.use_grad:
            return None
        if self.est_grad is None:
            (gradient,) = torch.autograd.grad(self.sign * losses.sum(), [x])
            return gradient

        def ascent(points: Tensor, target: Any) -> Tensor:
            return self.sign * self.loss(step.to_image(points), target)[0]

        return helpers.calc_est_grad(ascent, x, target, *self.est_grad)

    def _better(
        self, x: Tensor, losses: Tensor, best: Tensor, best_losses: Tensor | None, active: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Per image, the iterate with the higher `sign * loss`; finished images stay."""
        if best_losses is None:
            return x.detach(), losses
        better = (self.sign * losses > self.sign * best_losses) & active
        return where(better, x.detach(), best), where(better, losses, best_losses)


class _Everyone:
    """All images of the batch, while some have left it."""

    def __init__(self, x: Tensor) -> None:
        self.images = x.detach()
        self.losses: Tensor | None = None
        self.rows: Tensor | None = None

    def leave(self, x: Tensor, losses: Tensor, kept: Tensor) -> None:
        """All but the rows `kept` of the present batch leave it with these images and losses."""
        self.images, self.losses = self.including(x, losses)
        self.rows = kept if self.rows is None else self.rows[kept]

    def including(self, x: Tensor, losses: Tensor | None) -> tuple[Tensor, Any]:
        """Images and losses of the present batch, and of those that left it, in their order."""
        if self.rows is None:
            return x.detach(), losses
        images = self.images.index_copy(0, self.rows, x.detach())
        if losses is None or self.losses is None:
            return images, None
        return images, self.losses.index_copy(0, self.rows, losses)


class _Plateau:
    """Whether the best loss of an image has stopped gaining."""

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.best: Tensor | None = None
        self.marked: Tensor | None = None

    def reached(self, losses: Tensor, iteration: int, patience: int) -> Tensor:
        """(N,), false between the ends of `patience` steps."""
        ascent = self.sign * losses
        self.best = ascent if self.best is None else torch.maximum(self.best, ascent)
        never = torch.zeros_like(ascent, dtype=torch.bool)
        if iteration % patience:
            return never
        marked, self.marked = self.marked, self.best
        return never if marked is None else self.best - marked < GAIN * marked.abs()

    def keep(self, rows: Tensor) -> None:
        self.best = None if self.best is None else self.best[rows]
        self.marked = None if self.marked is None else self.marked[rows]


def _for_rows(step: Any, rows: Any) -> Any:
    """The set for some of its images."""
    fewer = copy.copy(step)
    for name in ("orig_input", "eps", "step_size"):
        value = getattr(step, name)
        if isinstance(value, Tensor) and value.dim():
            setattr(fewer, name, value[rows])
    return fewer


def where(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Rows of `yes` where the mask (N,) holds, else rows of `no`."""
    return torch.where(mask.view(-1, *[1] * (yes.dim() - 1)), yes, no).detach()
