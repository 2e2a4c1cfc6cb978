"""PGD, written once: the loop behind every attack, training and experiment."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from .estimation import calc_est_grad
from .schedules import SCHEDULES
from .state import Keeper, State, of_rows, where
from .steps import Masked, Projected

__all__ = ["PGD", "Callback", "OnNonFinite", "StopWhen"]

StopWhen = Callable[[Tensor, Any], Tensor]
Callback = Callable[[int, Tensor, Tensor], None]
OnNonFinite = Callable[[Tensor], None]

# An accelerator would have to wait for its queue each time it is asked who is finished.
LOOK_EVERY = 10
LARGEST_SCALE = 2.0**40

# Where images are left only because of a loss that is not finite, which is rare.
LOOK_SELDOM = 100


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
    on_non_finite: OnNonFinite | None
    keeper: Keeper | None
    scaled: bool = False
    """Whether gradients are computed with a scale for each image, which float16 needs."""

    def run(self, x: Tensor, score: bool) -> tuple[Tensor, Any]:
        """The best (or last) iterate, and its losses when `score` or `use_best` needs them."""
        now, step, target = self._begun(x)
        guarded = self.on_non_finite is not None
        stops = guarded or self.stop_when is not None or self.patience is not None
        for iteration in tqdm(range(now.iteration, self.iterations), disable=not self.do_tqdm):
            x = now.x.detach().requires_grad_(True)
            losses, output = self.loss(step.to_image(x), target)
            gradient = self._gradient(losses, output, x, step, target)
            if gradient is not None and isinstance(step, Masked):
                gradient = step.inside(gradient)
            x, losses = x.detach(), losses.detach()
            with torch.no_grad():
                if guarded:
                    x, losses = now.finite(x, losses, gradient)
                if self.callback is not None:
                    seen, values = now.everyone(x, losses)
                    self.callback(iteration, self.step.to_image(seen), values)
                if self.use_best:
                    now.best, now.best_losses = self._better(x, losses, now)
                if self.stop_when is not None:
                    finished = now.active & self.stop_when(losses, output)
                    now.best = where(finished, x, now.best)
                    if now.best_losses is not None:
                        now.best_losses = where(finished, losses, now.best_losses)
                    now.active = now.active & ~finished
                if self.patience is not None:
                    ascent = self.sign * losses
                    gains = ~now.plateau.reached(ascent, iteration, self.patience)
                    now.active = now.active & gains
                if stops and self.use_best:
                    x = where(now.active, x, now.best)
                if stops and self._looks(iteration, x.device):
                    left = int(now.active.sum())
                    if not left:
                        now.x = x
                        break
                    if self.drop_finished and left <= _at_most(len(x), x.device):
                        kept = now.active.nonzero().squeeze(1)
                        x = now.leave(x, losses, kept)
                        gradient = None if gradient is None else gradient[kept]
                        losses = losses[kept]
                        step = _for_rows(self.step, now.rows)
                        target = of_rows(target, kept)
                        now.move.keep(step, kept)
                moved = step.project(now.move(x, gradient, iteration, self.sign * losses))
                now.x = where(now.active, moved, x) if stops else moved
            now.iteration = iteration + 1
            if self.keeper is not None:
                self.keeper.stepped(now)
        return self._ended(now, step, target, score)

    def _begun(self, x: Tensor) -> tuple[State, Any, Any]:
        """The state, the set and the target of the images in the batch."""
        step, target = self.step, self.target
        found = {} if self.keeper is None else self.keeper.found()
        rows = found.get("rows")
        if rows is not None and len(rows) < len(x):
            step, target = _for_rows(step, rows), of_rows(target, rows)
        schedule = SCHEDULES[self.schedule]
        period = self.iterations if schedule.OF_THE_RUN else self.patience or self.iterations
        now = State.at_start(x, schedule(step, period or 1))
        if found:
            now.take_up(found)
        return now, step, target

    def _ended(self, now: State, step: Any, target: Any, score: bool) -> tuple[Tensor, Any]:
        x = now.x
        if not (self.use_best or score or self.on_non_finite is not None):
            return now.everyone(x, None)
        with torch.no_grad():
            losses, _ = self.loss(step.to_image(x), target)
            if self.on_non_finite is not None:
                x, losses = now.finite(x, losses, None)
                self.on_non_finite(now.failed)
            if self.use_best:
                x, losses = self._better(x, losses, now)
            return now.everyone(x, losses)

    def _looks(self, iteration: int, device: torch.device) -> bool:
        """Whether to ask at this step who is finished."""
        if device.type == "cpu":
            return True
        often = self.stop_when is not None or self.patience is not None
        return iteration % (LOOK_EVERY if often else LOOK_SELDOM) == 0

    def _gradient(
        self, losses: Tensor, output: Any, x: Tensor, step: Any, target: Any
    ) -> Tensor | None:
        if not step.use_grad:
            return None
        if self.est_grad is None and self.scaled:
            scale = _scale(losses, output)
            (gradient,) = torch.autograd.grad(losses, [x], grad_outputs=self.sign * scale)
            return gradient / scale.view(-1, *[1] * (x.dim() - 1))
        if self.est_grad is None:
            (gradient,) = torch.autograd.grad(self.sign * losses.sum(), [x])
            return gradient

        def ascent(points: Tensor, target: Any) -> Tensor:
            return self.sign * self.loss(step.to_image(points), target)[0]

        return calc_est_grad(ascent, x, target, *self.est_grad)

    def _better(self, x: Tensor, losses: Tensor, now: State) -> tuple[Tensor, Tensor]:
        """Per image, the iterate with the higher `sign * loss`; finished images stay."""
        if now.best_losses is None:
            return x, losses
        better = (self.sign * losses > self.sign * now.best_losses) & now.active
        return where(better, x, now.best), where(better, losses, now.best_losses)


def _at_most(images: int, device: torch.device) -> int:
    """How many may be left for the others to be dropped: a card prefers few sizes of a batch."""
    return images - 1 if device.type == "cpu" else images // 2


def _scale(losses: Tensor, output: Any) -> Tensor:
    """What brings the slope of each loss, as seen at the network's output, near 1; (n,).

    Float16 knows nothing below 6e-8, and a loss of 1e-6 has slopes of 1e-6.
    """
    none = torch.ones_like(losses)
    if not (isinstance(output, Tensor) and output.requires_grad and len(output) == len(losses)):
        return none
    slopes = torch.autograd.grad(losses.sum(), output, retain_graph=True, allow_unused=True)[0]
    if slopes is None:
        return none
    size = slopes.float().abs().reshape(len(slopes), -1).amax(1)
    # Powers of two, which change no digit.
    scale = torch.exp2(-size.log2().floor()).clamp(1, LARGEST_SCALE).to(losses)
    return torch.where(size.isfinite() & (size > 0) & scale.isfinite(), scale, none)


def _for_rows(step: Any, rows: Any) -> Any:
    """The set for some of its images."""
    if isinstance(step, (Masked, Projected)):
        return step.of_rows(rows, _for_rows(step.inner, rows))
    fewer = copy.copy(step)
    for name in ("orig_input", "eps", "step_size"):
        value = getattr(step, name)
        if isinstance(value, Tensor) and value.dim():
            setattr(fewer, name, value[rows])
    return fewer
