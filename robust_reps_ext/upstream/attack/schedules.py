"""Where PGD goes from an iterate: by the constant step of the paper, or faster."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .steps import norms

__all__ = ["APGD", "LBFGS", "SCHEDULES", "Schedule"]


class Schedule:
    """How one run moves. Of the set it uses the step, a move uphill in whatever norm.

    Parameters
    ----------
    step
        The set: ``step.step(x, g)`` is a move of the length `step_size`.
    period
        The number of steps in which the length falls; after them it begins anew, at half.

    Attributes
    ----------
    memory : dict
        What is remembered of the steps before: by name a tensor with one row per image, or one
        value for all.
    OF_THE_RUN : bool
        Whether the period is the whole run, also where images may end early.
    """

    OF_THE_RUN = False

    def __init__(self, step: Any, period: int) -> None:
        self.step, self.period = step, period
        self.memory: dict[str, Tensor] = {}

    def __call__(self, x: Tensor, gradient: Any, iteration: int, ascent: Tensor) -> Tensor:
        """The next point (N, ...), not yet projected.

        `ascent` (N,) is what is maximised, and `gradient` its gradient, None where the set uses
        none.
        """
        raise NotImplementedError

    def keep(self, step: Any, rows: Tensor) -> None:
        """Go on with some images of the batch only, and their set."""
        self.step = step
        self.memory = {name: one[rows] if one.dim() else one for name, one in self.memory.items()}

    def length(self, iteration: int) -> float:
        """From 1 to 0 over a period; the second begins at 1/2, the third at 1/4."""
        cycle, done = divmod(iteration, self.period)
        return 0.5**cycle * (1 + math.cos(math.pi * done / self.period)) / 2


class Constant(Schedule):
    """x + s(g), the paper's: a move s of constant length along the gradient."""

    def __call__(self, x: Tensor, gradient: Any, iteration: int, ascent: Tensor) -> Tensor:
        moved: Tensor = self.step.step(x, gradient)
        return moved


class Feather(Schedule):
    """x + 2^-r s(g) in round r of eight, as Feather et al. 2023 make metamers."""

    ROUNDS = 8
    OF_THE_RUN = True

    def length(self, iteration: int) -> float:
        return 0.5 ** (self.ROUNDS * iteration // self.period)

    def __call__(self, x: Tensor, gradient: Any, iteration: int, ascent: Tensor) -> Tensor:
        return x + self.length(iteration) * (self.step.step(x, gradient) - x)


class Guarded(Schedule):
    """Steps that begin long, and a way back where they lead astray.

    An image whose distance is more than twice that of its start (or whose objective, if it is
    raised, has fallen by more than its size at the start) goes back to its best iterate, forgets
    the steps before, and takes steps half as long from then on; once it is so for three steps, as
    one that overshoots comes back by itself.
    """

    WORSE = 3

    def __call__(self, x: Tensor, gradient: Any, iteration: int, ascent: Tensor) -> Tensor:
        known = self.memory
        if "best" not in known:
            ones = torch.ones_like(ascent).view(-1, *[1] * (x.dim() - 1))
            known |= {"first": ascent, "best.ascent": ascent, "best": x, "share": ones}
            known["worse"] = torch.zeros_like(ascent)
            known |= {} if gradient is None else {"best.gradient": gradient}
        worse = ascent < known["first"] - known["first"].abs()
        known["worse"] = torch.where(worse, known["worse"] + 1, 0)
        astray = known["worse"] == self.WORSE
        known["worse"] = torch.where(astray, 0, known["worse"])
        better = ascent > known["best.ascent"]
        known["best.ascent"] = torch.where(better, ascent, known["best.ascent"])
        known["best"] = _rows(better, x, known["best"])
        if gradient is not None:
            known["best.gradient"] = _rows(better, gradient, known["best.gradient"])
            gradient = _rows(astray, known["best.gradient"], gradient)
        known["share"] = _rows(astray, known["share"] / 2, known["share"])
        return self.moved(_rows(astray, known["best"], x), gradient, iteration, astray)

    def moved(self, x: Tensor, gradient: Any, iteration: int, back: Tensor) -> Tensor:
        """The next point; images of `back` (N,) begin anew."""
        raise NotImplementedError

    def lengths(self, iteration: int) -> Tensor:
        """Of each image, (N, 1, ..., 1)."""
        return self.length(iteration) * self.memory["share"]


class CosineMomentum(Guarded):
    """v <- b v + (1 - b) s(g), and x + c v, with p the share of the period that is done.

    The length falls as c = (1 + cos(pi p)) / 2, and the momentum grows as b = 0.7 p: momentum
    from the beginning overshoots, towards the end it evens out the zigzag across valleys.
    """

    MOMENTUM = 0.7

    def moved(self, x: Tensor, gradient: Any, iteration: int, back: Tensor) -> Tensor:
        velocity = self.step.step(x, gradient) - x
        if "velocity" in self.memory:
            b = self.MOMENTUM * (iteration % self.period) / self.period
            before = _rows(back, velocity, self.memory["velocity"])
            velocity = b * before + (1 - b) * velocity
        self.memory["velocity"] = velocity
        return x + self.lengths(iteration) * velocity


class LBFGS(Guarded):
    """x + H g, at most c times as long as s(g), with c as in `CosineMomentum`.

    H is the inverse of the curvature along the last ten moves of each image (Nocedal and Wright,
    Numerical Optimization, algorithm 7.4), kept in twenty tensors of the size of the batch.
    Where the objective curves the wrong way between two iterates, they tell nothing.
    """

    MEMORY = 10

    def moved(self, x: Tensor, gradient: Any, iteration: int, back: Tensor) -> Tensor:
        longest = self.lengths(iteration) * _norm(self.step.step(x, gradient) - x)
        first = longest / _norm(gradient)
        if "last.0" in self.memory:
            self._learn(x - self.memory["last.0"], self.memory["last.1"] - gradient)
            self._forget(back)
            self.memory["scale"] = _rows(back, first, self.memory["scale"])
        else:
            self.memory["scale"] = first
        self.memory |= {"last.0": x, "last.1": gradient}
        direction = self._newton(gradient)
        return x + direction * (longest / _norm(direction)).clamp(max=1)

    def _pairs(self) -> list[tuple[Tensor, ...]]:
        """(move, fall of g, 1 / their product) of the last steps."""
        names = (f"pair{i}" for i in range(self.MEMORY))
        found = [name for name in names if f"{name}.0" in self.memory]
        return [tuple(self.memory[f"{name}.{j}"] for j in range(3)) for name in found]

    def _learn(self, move: Tensor, fall: Tensor) -> None:
        product, square = _dot(move, fall), _dot(fall, fall)
        curved = product > 1e-10 * square
        newest = (move, fall, torch.where(curved, 1 / product, 0))
        for i, pair in enumerate([*self._pairs()[1 - self.MEMORY :], newest]):
            self.memory |= {f"pair{i}.{j}": one for j, one in enumerate(pair)}
        self.memory["scale"] = torch.where(curved, product / square, self.memory["scale"])

    def _forget(self, back: Tensor) -> None:
        """What was learned of the images of `back` (N,)."""
        kept = (~back).view_as(self.memory["scale"])
        for i, (_, _, inverse) in enumerate(self._pairs()):
            self.memory[f"pair{i}.2"] = inverse * kept

    def _newton(self, gradient: Tensor) -> Tensor:
        """H g by the two loops."""
        q, weights, pairs = gradient, [], self._pairs()
        for move, fall, inverse in reversed(pairs):
            weights.append(inverse * _dot(move, q))
            q = q - weights[-1] * fall
        q = self.memory["scale"] * q
        for (move, fall, inverse), weight in zip(pairs, reversed(weights), strict=True):
            q = q + (weight - inverse * _dot(fall, q)) * move
        return q


class APGD(Schedule):
    """Auto-PGD (Croce and Hein 2020, algorithm 1): momentum, and steps halved by what they gain.

    z = P(x + l s(g)), and then x + 3/4 (z - x) + 1/4 (x - x'), with x' the iterate before. The
    share l is 1 at first, and s(g) as long as the set's `step_size`, which in the paper is 2 eps.
    At each checkpoint, l is halved, and the run goes on from the best iterate, of images for which
    fewer than 3/4 of the steps since the last checkpoint have raised the objective, or neither l
    nor the best objective has changed since then.
    """

    KEPT = 0.75
    RAISED = 0.75

    def __init__(self, step: Any, period: int) -> None:
        super().__init__(step, period)
        self.checkpoints = self.checkpoints_of(period)

    @staticmethod
    def checkpoints_of(steps: int) -> dict[int, int]:
        """Checkpoint -> steps since the one before: 22% of all, each 3% less, down to 6%.

        Examples
        --------
        >>> from robust_reps_ext.upstream.attack.schedules import APGD
        >>> list(APGD.checkpoints_of(100))
        [22, 41, 57, 70, 80, 87, 93, 99]
        """
        found: dict[int, int] = {}
        last, percent, share = 0, 22, 22
        while percent <= 100:
            place = -(-percent * steps // 100)
            if place > last:
                found[place] = place - last
                last = place
            share = max(share - 3, 6)
            percent += share
        return found

    def __call__(self, x: Tensor, gradient: Any, iteration: int, ascent: Tensor) -> Tensor:
        if "last" not in self.memory:
            self.memory = {
                "last": x,
                "ascent": ascent,
                "raised": torch.zeros_like(ascent),
                "best": x,
                "best.ascent": ascent,
                "best.gradient": gradient,
                "share": torch.ones_like(ascent),
                "halved": torch.zeros_like(ascent).bool(),
                "marked": ascent,
            }
            return self._uphill(x, gradient)
        known = self.memory
        known["raised"] = known["raised"] + (ascent > known["ascent"])
        better = ascent > known["best.ascent"]
        for name, value in {"": x, ".ascent": ascent, ".gradient": gradient}.items():
            known[f"best{name}"] = _rows(better, value, known[f"best{name}"])
        before = known["last"]
        if iteration in self.checkpoints:
            halved = self._halved(self.checkpoints[iteration])
            before = _rows(halved, x, before)
            x = _rows(halved, known["best"], x)
            gradient = _rows(halved, known["best.gradient"], gradient)
            ascent = _rows(halved, known["best.ascent"], ascent)
        known |= {"last": x, "ascent": ascent}
        ahead = self._uphill(x, gradient)
        return x + self.KEPT * (ahead - x) + (1 - self.KEPT) * (x - before)

    def _uphill(self, x: Tensor, gradient: Any) -> Tensor:
        share = self.memory["share"].view(-1, *[1] * (x.dim() - 1))
        inside: Tensor = self.step.project(x + share * (self.step.step(x, gradient) - x))
        return inside

    def _halved(self, steps: int) -> Tensor:
        """At a checkpoint after so many steps, whose share is halved: (N,)."""
        known = self.memory
        stands = ~known["halved"] & (known["best.ascent"] == known["marked"])
        halved = (known["raised"] < self.RAISED * steps) | stands
        self.memory |= {
            "share": torch.where(halved, known["share"] / 2, known["share"]),
            "raised": torch.zeros_like(known["raised"]),
            "marked": known["best.ascent"],
            "halved": halved,
        }
        return halved


def _rows(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Rows of `yes` where the mask (N,) holds, else rows of `no`."""
    return torch.where(mask.view(-1, *[1] * (yes.dim() - 1)), yes, no)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Per image, shaped (N, 1, ..., 1)."""
    return (a * b).flatten(1).sum(1).view(-1, *[1] * (a.dim() - 1))


def _norm(x: Tensor) -> Tensor:
    """Per image, shaped (N, 1, ..., 1); never 0, so that it can divide."""
    return norms(x).clamp_min(1e-12)


SCHEDULES: dict[str, type[Schedule]] = {
    "paper": Constant,
    "cosine-momentum": CosineMomentum,
    "feather": Feather,
    "lbfgs": LBFGS,
    "apgd": APGD,
}
