"""What is kept of a synthesis while it runs: the objective and the images at some steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from .settings import Settings

__all__ = ["Progress", "Recorder", "frame_steps"]

Progress = Callable[[int, int, float], None]
"""``progress(steps_done, steps_in_all, mean_objective)``."""

RECORDED_STEPS = 100


def frame_steps(frames: int, iterations: int) -> list[int]:
    """Which iterates are kept: 0 and `iterations`, and between them dense at first.

    Frame i of F is that of step iterations * (i / (F - 1))^2, rounded down, and no step twice;
    with fewer iterates than frames, every one.

    Examples
    --------
    >>> frame_steps(6, 100)
    [0, 4, 16, 36, 64, 100]
    >>> frame_steps(6, 8)
    [0, 1, 2, 3, 5, 8]
    """
    frames = min(frames, iterations + 1)
    return [max(i, iterations * i**2 // (frames - 1) ** 2) for i in range(frames)]


class Recorder:
    """Keeps the objective and the images at some steps, and tells how far the run has come.

    Its `step` is the callback of PGD, between `begin_batch` and `end_batch`.
    """

    def __init__(self, settings: Settings, n: int, progress: bool | Progress) -> None:
        every = max(1, settings.iterations // RECORDED_STEPS)
        self.trace_steps = list(range(0, settings.iterations, every))
        self.frame_steps = (
            frame_steps(settings.frames, settings.iterations) if settings.frames else []
        )
        self.iterations = settings.iterations
        self.total = self.iterations * math.ceil(n / settings.batch_size)
        self.done = 0
        self.traces: list[Tensor] = []
        self.frames: list[Tensor] = []
        self._values: list[Tensor] = []
        self._images: list[Tensor] = []
        self._bar = tqdm(total=self.total, unit="step", disable=progress is not True)
        self._tell = progress if callable(progress) else None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.close()

    def begin_batch(self) -> None:
        self._values, self._images = [], []

    def step(self, iteration: int, images: Tensor, losses: Tensor) -> None:
        self._bar.update()
        if iteration in self.frame_steps[len(self._images) : len(self._images) + 1]:
            self._images.append(_as_bytes(images))
        if iteration in self.trace_steps[len(self._values) : len(self._values) + 1]:
            self._values.append(losses)
            if self._tell is not None:
                self._tell(self.done + iteration + 1, self.total, float(losses.mean()))

    def end_batch(self, result: Tensor) -> None:
        """Complete the batch: where all images stopped early, their last values and frames stay."""
        self.done += self.iterations
        if self._tell is not None:
            self._tell(self.done, self.total, float(self._values[-1].mean()))
        values = _padded(self._values, len(self.trace_steps))
        self.traces.append(torch.stack(values).float().cpu())
        if self.frame_steps:
            images = _padded(self._images, len(self.frame_steps) - 1)
            self.frames.append(torch.stack([*images, _as_bytes(result)]))


def _padded(recorded: list[Tensor], length: int) -> list[Tensor]:
    return recorded + recorded[-1:] * (length - len(recorded))


def _as_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, on the CPU."""
    return (images.detach() * 255).round().to(torch.uint8).cpu()
