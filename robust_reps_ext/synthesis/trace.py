"""What is kept of a synthesis while it runs: the objective and the images at some steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..runtime.numbers import check_progress
from ..runtime.progress import bar
from .settings import Settings

__all__ = ["Progress", "Recorder", "frame_steps"]

Progress = Callable[[int, int, float], Any]
"""``progress(steps_done, steps_in_all, mean_objective)``; the run ends where it returns True.

One that has a method ``frame(step, images, objective)``, too, is shown the images (N, C, H, W) at
each step, before it is made; there the run may end likewise.
"""

RECORDED_STEPS = 100

# An accelerator would have to wait for its queue each time it is asked for the mean.
TOLD_EVERY = 10


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

    def __init__(self, settings: Settings, progress: bool | Progress) -> None:
        check_progress(progress)
        every = max(1, settings.iterations // RECORDED_STEPS)
        self.trace_steps = list(range(0, settings.iterations, every))
        self.frame_steps = (
            frame_steps(settings.frames, settings.iterations) if settings.frames else []
        )
        self.iterations = settings.iterations
        self.done = self.total = 0
        self.traces: list[Tensor] = []
        self.frames: list[Tensor] = []
        self._values: list[Tensor] = []
        self._images: list[Tensor] = []
        self._bar = bar("step", shown=progress is True)
        self._tell = progress if callable(progress) else None
        self._show = getattr(progress, "frame", None)
        self.may_stop, self.stopped = self._tell is not None, False

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.close()

    def expect(self, batches: int) -> None:
        """So many batches are still to come, or to begin again."""
        self.total = self.done + self.iterations * batches
        self._bar.total = self.total
        self._bar.refresh()

    def begin_batch(self) -> None:
        self._values, self._images = [], []
        self._move_bar(0)

    def step(self, iteration: int, images: Tensor, losses: Tensor) -> None:
        self._move_bar(iteration + 1)
        if self._show is not None and self._show(iteration, images, losses) is True:
            self.stopped = True
        if iteration in self.frame_steps[len(self._images) : len(self._images) + 1]:
            self._images.append(_as_bytes(images))
        if iteration in self.trace_steps[len(self._values) : len(self._values) + 1]:
            self._values.append(losses)
            if self._tell is not None and (losses.is_cpu or iteration % TOLD_EVERY == 0):
                done = self.done + iteration + 1
                if self._tell(done, self.total, float(losses.mean())) is True:
                    self.stopped = True

    def end_batch(self, result: Tensor) -> None:
        """Complete the batch: where all images stopped early, their last values and frames stay."""
        self.done += self.iterations
        self._move_bar(0)
        if self._tell is not None:
            self._tell(self.done, self.total, float(self._values[-1].mean()))
        values = _padded(self._values, len(self.trace_steps))
        self.traces.append(torch.stack(values).float().cpu())
        if self.frame_steps:
            images = _padded(self._images, len(self.frame_steps) - 1)
            self.frames.append(torch.stack([*images, _as_bytes(result)]))

    def last(self) -> Tensor:
        """The objective of each image as it was last recorded."""
        return torch.cat([trace[-1] for trace in self.traces])

    def tensors(self) -> dict[str, Tensor]:
        """Everything recorded so far, by name."""
        lists = {"trace": self.traces, "frame": self.frames}
        lists |= {"value": self._values, "image": self._images}
        named = {f"{key}.{i}": one for key, group in lists.items() for i, one in enumerate(group)}
        return {"done": torch.tensor(self.done), **named}

    def take_up(self, found: dict[str, Tensor], device: torch.device) -> None:
        """Go on where `tensors` was read."""

        def group(key: str) -> list[Tensor]:
            names = sorted(
                (name for name in found if name.startswith(f"{key}.")),
                key=lambda name: int(name.rpartition(".")[2]),
            )
            return [found[name] for name in names]

        self.done = int(found["done"])
        self.traces, self.frames, self._images = group("trace"), group("frame"), group("image")
        self._values = [one.to(device) for one in group("value")]
        self._move_bar(0)

    def _move_bar(self, steps: int) -> None:
        """To so many steps of this batch."""
        self._bar.update(self.done + steps - self._bar.n)


def _padded(recorded: list[Tensor], length: int) -> list[Tensor]:
    return recorded + recorded[-1:] * (length - len(recorded))


def _as_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, on the CPU."""
    return (images.detach() * 255).round().to(torch.uint8).cpu()
