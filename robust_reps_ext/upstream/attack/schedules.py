"""Where PGD goes from an iterate: by the paper's constant step, or by one that gets there faster.

A schedule is made for one run and called with each iterate, the gradient of what is maximised
(None where the set uses none), and the number of the step. What it returns is then projected. Of
the set it uses the step only, `step.step(x, g)`: a move uphill of the length `step_size`, in
whatever norm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = ["SCHEDULES", "Schedule"]


class Schedule(Protocol):
    """How one run moves; made with the set, and the number of steps in which the length falls.

    After these steps it begins anew, at half the length.
    """

    def __call__(self, x: Tensor, gradient: Any, iteration: int) -> Tensor:
        """The next point, not yet projected; all of shape (N, ...)."""
        ...

    def keep(self, step: Any, rows: Tensor) -> None:
        """Go on with some images of the batch only, and their set."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What it remembers of the steps before, by name."""
        ...

    def take_up(self, state: dict[str, Tensor]) -> None:
        """Go on where `state` was read."""
        ...


class Constant:
    """x + s(g), the paper's: a move s of constant length along the gradient."""

    def __init__(self, step: Any, period: int) -> None:
        self.step = step

    def __call__(self, x: Tensor, gradient: Any, iteration: int) -> Tensor:
        moved: Tensor = self.step.step(x, gradient)
        return moved

    def keep(self, step: Any, rows: Tensor) -> None:
        self.step = step

    def state(self) -> dict[str, Tensor]:
        return {}

    def take_up(self, state: dict[str, Tensor]) -> None:
        pass


class CosineMomentum:
    """v <- b v + (1 - b) s(g), and x + c v, with p the share of the period that is done.

    The length falls as c = (1 + cos(pi p)) / 2, and the momentum grows as b = 0.7 p: momentum
    from the beginning overshoots, towards the end it evens out the zigzag across valleys.
    """

    MOMENTUM = 0.7

    def __init__(self, step: Any, period: int) -> None:
        self.step, self.period = step, period
        self.velocity: Tensor | None = None

    def __call__(self, x: Tensor, gradient: Any, iteration: int) -> Tensor:
        move = self.step.step(x, gradient) - x
        b = self.MOMENTUM * (iteration % self.period) / self.period
        self.velocity = move if self.velocity is None else b * self.velocity + (1 - b) * move
        return x + _cosine(iteration, self.period) * self.velocity

    def keep(self, step: Any, rows: Tensor) -> None:
        self.step = step
        if self.velocity is not None:
            self.velocity = self.velocity[rows]

    def state(self) -> dict[str, Tensor]:
        return {} if self.velocity is None else {"velocity": self.velocity}

    def take_up(self, state: dict[str, Tensor]) -> None:
        self.velocity = state.get("velocity")


class LBFGS:
    """x + H g, at most c times as long as s(g), with c as in `CosineMomentum`.

    H is the inverse of the curvature along the last ten moves of each image (Nocedal and Wright,
    Numerical Optimization, algorithm 7.4), kept in twenty tensors of the size of the batch.
    Where the objective curves the wrong way between two iterates, they tell nothing.
    """

    MEMORY = 10

    def __init__(self, step: Any, period: int) -> None:
        self.step, self.period = step, period
        self.pairs: list[tuple[Tensor, ...]] = []  # (move, fall of g, 1 / their product)
        self.last: tuple[Tensor, ...] = ()
        self.scale = torch.ones(())

    def __call__(self, x: Tensor, gradient: Any, iteration: int) -> Tensor:
        longest = _cosine(iteration, self.period) * _norm(self.step.step(x, gradient) - x)
        if self.last:
            self._learn(x - self.last[0], self.last[1] - gradient)
        else:
            self.scale = longest / _norm(gradient)
        self.last = x, gradient
        direction = self._newton(gradient)
        return x + direction * (longest / _norm(direction)).clamp(max=1)

    def _learn(self, move: Tensor, fall: Tensor) -> None:
        product, square = _dot(move, fall), _dot(fall, fall)
        curved = product > 1e-10 * square
        self.pairs = [
            *self.pairs[1 - self.MEMORY :],
            (move, fall, torch.where(curved, 1 / product, 0)),
        ]
        self.scale = torch.where(curved, product / square, self.scale)

    def _newton(self, gradient: Tensor) -> Tensor:
        """H g by the two loops."""
        q, weights = gradient, []
        for move, fall, inverse in reversed(self.pairs):
            weights.append(inverse * _dot(move, q))
            q = q - weights[-1] * fall
        q = self.scale * q
        for (move, fall, inverse), weight in zip(self.pairs, reversed(weights), strict=True):
            q = q + (weight - inverse * _dot(fall, q)) * move
        return q

    def keep(self, step: Any, rows: Tensor) -> None:
        self.step = step
        self.pairs = [tuple(one[rows] for one in pair) for pair in self.pairs]
        self.last = tuple(one[rows] for one in self.last)
        self.scale = self.scale[rows] if self.scale.dim() else self.scale

    def state(self) -> dict[str, Tensor]:
        groups = {"last": self.last, **{f"pair{i}": pair for i, pair in enumerate(self.pairs)}}
        named = {f"{key}.{i}": one for key, group in groups.items() for i, one in enumerate(group)}
        return {"scale": self.scale, **named}

    def take_up(self, state: dict[str, Tensor]) -> None:
        self.scale = state["scale"]
        self.last = tuple(state[f"last.{i}"] for i in range(2) if f"last.{i}" in state)
        count = sum(key.startswith("pair") for key in state) // 3
        self.pairs = [tuple(state[f"pair{i}.{j}"] for j in range(3)) for i in range(count)]


def _cosine(iteration: int, period: int) -> float:
    """From 1 to 0 over a period; the second begins at 1/2, the third at 1/4."""
    cycle, done = divmod(iteration, period)
    return 0.5**cycle * (1 + math.cos(math.pi * done / period)) / 2


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Per image, shaped (N, 1, ..., 1)."""
    return (a * b).flatten(1).sum(1).view(-1, *[1] * (a.dim() - 1))


def _norm(x: Tensor) -> Tensor:
    """Per image, shaped (N, 1, ..., 1); never 0, so that it can divide."""
    norm = torch.linalg.vector_norm(x.flatten(1), dim=1).clamp_min(1e-12)
    return norm.view(-1, *[1] * (x.dim() - 1))


SCHEDULES: dict[str, Callable[[Any, int], Schedule]] = {
    "paper": Constant,
    "cosine-momentum": CosineMomentum,
    "lbfgs": LBFGS,
}
