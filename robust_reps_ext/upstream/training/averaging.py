"""Averaged weights: what a run with ``ema`` evaluates, saves and returns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ...runtime.errors import InputError
from ..arguments import number

__all__ = ["Average", "decay_of"]


def decay_of(value: Any) -> float:
    """What ``ema`` is, as a number from 0 (for none) to below 1; `InputError` otherwise."""
    decay = number(value, "--ema", at_least=0)
    if decay >= 1:
        raise InputError(f"--ema={decay:g}: give a number below 1, such as 0.998")
    return decay


class Average:
    """An exponential moving average of a model's weights and batch-norm statistics.

    Parameters
    ----------
    model
        The model in training; at the beginning, the average is what it is now.
    decay
        How much of the average is left after a step; less at first, (1 + n) / (10 + n) after n
        steps, so that weights drawn at random are soon forgotten.
    steps
        How many steps are in it already.
    """

    def __init__(self, model: nn.Module, decay: float, steps: int = 0) -> None:
        self.decay, self.steps = decay, steps
        self._live = [*model.parameters(), *model.buffers()]
        self._averages = [one.detach().clone() for one in self._live]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for average, live in zip(self._averages, self._live, strict=True):
            if average.is_floating_point():
                average.lerp_(live, 1 - decay)
            else:  # counters of batch normalisation
                average.copy_(live)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While the block runs, the model has the averaged weights."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self) -> None:
        """Exchange the model's weights and the averaged ones."""
        for live, average in zip(self._live, self._averages, strict=True):
            live.data, average.data = average.data, live.data
