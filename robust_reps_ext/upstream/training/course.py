"""How far a training run is, by steps or by the clock, and what follows from that at each step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...runtime.errors import InputError
from .. import distributed
from ..arguments import given, number, option, ours, pairs, whole_number

__all__ = ["ONE_CYCLE", "Course", "image_sizes", "minutes_of", "share_of"]

ONE_CYCLE = "one-cycle"
_RISING = 0.1  # of the run, until the learning rate is at its highest


class Course:
    """The share of a run that is done, from 0 to 1, and the values that change with it.

    Parameters
    ----------
    args
        ``epochs``, or ``minutes`` of training after which the run ends, whatever ``epochs`` says.
        Those that follow: ``custom_lr_multiplier="one-cycle"``, ``eps_warmup``, ``image_sizes``.
        And ``label_smoothing``, which does not change.
    steps
        Steps in an epoch; None if the loader does not know, which ``minutes`` allows.
    begun
        `state` of a run to go on with.

    Raises
    ------
    InputError
        If an argument is out of range, or nothing says how long the run will be.
    """

    def __init__(self, args: Any, steps: int | None, begun: dict[str, Any] | None = None) -> None:
        def share(name: str) -> Any:
            return ours(args, name, 0.0, partial(share_of, args, name))

        minutes = ours(args, "minutes", None, partial(minutes_of, args))
        self.seconds = None if minutes is None else 60 * minutes
        self.epochs = whole_number(args, "epochs", None, at_least=0)
        self.steps = steps
        self.one_cycle = given(args, "custom_lr_multiplier") == ONE_CYCLE
        self.warmup = share("eps_warmup")
        self.smoothing = share("label_smoothing")
        sizes = partial(image_sizes, given(args, "image_sizes"))
        self.sizes: list[tuple[float, int]] = ours(args, "image_sizes", [], sizes)
        self.spent = float((begun or {}).get("seconds", 0.0))
        self._share = 0.0
        follows = self.one_cycle or self.warmup or self.sizes
        if follows and self.seconds is None and not steps:
            raise InputError(
                "the training loader has no length, and the schedules need to know how long the "
                "run will be: give --minutes, or a loader with a length"
            )

    def ended(self, epoch: int) -> bool:
        """Whether nothing is left to be done when `epoch` epochs are."""
        if self.seconds is None:
            return epoch >= self.epochs
        return self.spent >= self.seconds

    def how_to_go_on(self, epoch: int) -> str:
        """What to give when nothing is left to be done."""
        if self.seconds is None:
            return (
                f"the checkpoint has {epoch} epochs and --epochs is {self.epochs}; give --epochs "
                f"{epoch + 1} or more to go on"
            )
        return (
            f"the checkpoint was trained for {self.spent / 60:.1f} minutes and --minutes is "
            f"{self.seconds / 60:g}; give more of them to go on"
        )

    def timed(self, batches: Iterable[Any], epoch: int, first: int) -> Iterator[Any]:
        """The batches of an epoch from step `first`, as long as there is time for them."""
        before, began = self.spent, time.monotonic()
        for step, batch in enumerate(batches, first):
            if self.seconds is not None:
                spent = before + time.monotonic() - began
                self.spent = distributed.from_main(spent) if distributed.active() else spent
                if self.ended(epoch):
                    return
            self._share = self._done(epoch, step)
            yield batch
        if self.seconds is not None:
            self.spent = before + time.monotonic() - began

    def _done(self, epoch: int, step: int) -> float:
        if self.seconds is not None:
            return min(1.0, self.spent / self.seconds) if self.seconds else 1.0
        return (epoch + step / self.steps) / self.epochs if self.steps else 0.0

    def set_rate(self, optimizer: torch.optim.Optimizer) -> None:
        """Give the optimizer the learning rate of the step at hand."""
        if self.one_cycle:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * _cycle(self._share)

    def resized(self, images: Tensor) -> Tensor:
        """The images in the size of the step at hand: the shorter side so many pixels."""
        size = next((px for start, px in reversed(self.sizes) if self._share >= start), None)
        shorter = min(images.shape[-2:])
        if size is None or size == shorter:
            return images
        shape = [round(side * size / shorter) for side in images.shape[-2:]]
        return nn.functional.interpolate(images, shape, mode="bilinear", antialias=True)

    def attack(self, options: dict[str, Any], images: Tensor, resized: Tensor) -> dict[str, Any]:
        """The attack's options with eps and step size as they are for this step.

        Where images are smaller, an L2 radius is smaller as well: as much for each pixel.
        """
        if not options:
            return options
        factor = min(1.0, self._share / self.warmup) if self.warmup else 1.0
        if options["constraint"] == "2":
            factor *= math.sqrt(resized[0].numel() / images[0].numel())
        if factor == 1:
            return options
        return {**options, **{name: options[name] * factor for name in ("eps", "step_size")}}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"seconds": self.spent}


def _cycle(share: float) -> float:
    """Up in a line, down by half a cosine."""
    if share < _RISING:
        return share / _RISING
    return 0.5 + 0.5 * math.cos(math.pi * (share - _RISING) / (1 - _RISING))


def share_of(args: Any, name: str) -> float:
    """An argument that is a share, from 0 (the default) to 1; `InputError` for another."""
    return number(given(args, name, 0), option(name), at_least=0, at_most=1)


def minutes_of(args: Any) -> float | None:
    """How long to train, None where nothing says it; `InputError` for what leaves no time."""
    minutes = given(args, "minutes")
    if minutes is not None and (minutes := number(minutes, "--minutes", at_least=0)) == 0:
        raise InputError("--minutes=0 leaves no time to train: give more, or leave it out")
    return minutes


def image_sizes(value: Any) -> list[tuple[float, int]]:
    """The (share of the run, pixels) pairs that `value` stands for, or text of such a list.

    Raises
    ------
    InputError
        If `value` is anything else.

    Examples
    --------
    >>> image_sizes("[(0, 48), (0.6, 64)]")
    [(0.0, 48), (0.6, 64)]
    """
    try:
        points = [(share, int(size)) for share, size in pairs(value)]
        shares = [share for share, _ in points]
        right = shares == sorted(set(shares)) and all(
            0 <= share < 1 and size > 0 for share, size in points
        )
    except ValueError:
        right = False
    if not right:
        raise InputError(
            f"--image-sizes={value!r} is not a schedule: give pairs (share of the run, pixels) in "
            "rising order, such as '[(0, 48), (0.6, 64)]'"
        )
    return points
