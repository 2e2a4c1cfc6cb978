"""Means over one epoch, read from the device now and then rather than at every step."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...runtime import random_state
from ...runtime.errors import InputError
from .. import distributed

__all__ = [
    "WITHIN_EPOCH",
    "EpochProgress",
    "Pass",
    "over_ranks",
    "state_of_this_rank",
    "states_of_all_ranks",
]

WITHIN_EPOCH = {"within_epoch", "place"}
"""Under which a checkpoint written within an epoch keeps how far it is; the latter until 0.1."""


class Pass(NamedTuple):
    """What one pass through the network gave: means, loss and penalty with their gradient."""

    images: int
    loss: Tensor
    accuracies: tuple[Any, Any]
    penalty: Any
    final_inp: Tensor


class EpochProgress:
    """Loss and accuracies so far, and a stop when the training loss is no number any more.

    Parameters
    ----------
    loop_type
        ``"train"`` or ``"val"``; only training stops.
    epoch
        Counted from 0.
    accuracy
        What the accuracies are called in the report.
    seconds
        Time between reports. Reading a number waits for the device, so it is done in bunches.

    Attributes
    ----------
    steps
        How many steps have been read.
    """

    def __init__(self, loop_type: str, epoch: int, accuracy: str, seconds: float = 1.0) -> None:
        self.loop_type = loop_type
        self.epoch = epoch
        self.accuracy = accuracy
        self.seconds = seconds
        self._next = time.monotonic() + seconds
        self._unread: list[list[tuple[Any, ...]]] = []
        self.steps = 0
        self._images = 0
        self._sums = {"loss": 0.0, "top1": 0.0, "top5": 0.0}
        self._penalty = 0.0

    def add(self, passes: Sequence[Pass], *, lent: bool) -> None:
        """Take in the passes of one step; images that were only lent to this rank do not count."""
        self._unread.append(
            [
                (
                    0 if lent else one.images,
                    one.loss.detach(),
                    *one.accuracies,
                    one.penalty.detach() if isinstance(one.penalty, Tensor) else one.penalty,
                )
                for one in passes
            ]
        )

    def due(self) -> bool:
        """Whether it is time for a report."""
        return time.monotonic() >= self._next

    def report(self) -> str:
        """One line on the epoch so far.

        Raises
        ------
        InputError
            If a training loss was not finite.
        """
        self._read()
        self._next = time.monotonic() + self.seconds
        means = self.means()
        return (
            f"{self.loop_type.capitalize()} Epoch:{self.epoch} | Loss {means['loss']:.4f} | "
            f"{self.accuracy}1 {means['top1']:.3f} | {self.accuracy}5 {means['top5']:.3f} | "
            f"Reg term: {self._penalty:g} ||"
        )

    def means(self) -> dict[str, float]:
        """``loss``, ``top1`` and ``top5``, each a mean over images.

        Raises
        ------
        InputError
            If there was no image.
        """
        self._read()
        if not self._images:
            raise InputError(
                f"the {self.loop_type} loader has no images: give a data set that has some"
            )
        return {name: total / self._images for name, total in self._sums.items()}

    def state(self) -> dict[str, Any]:
        """What `take_up` needs to go on from here."""
        self._read()
        return {"steps": self.steps, "images": self._images, "sums": dict(self._sums)}

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.steps, self._images = int(state["steps"]), int(state["images"])
        self._sums = {name: float(total) for name, total in state["sums"].items()}

    def _read(self) -> None:
        read = iter(_floats([one for step in self._unread for _, *each in step for one in each]))
        for step in self._unread:
            for images, *_ in step:
                loss, top1, top5, self._penalty = (next(read) for _ in range(4))
                total = loss + self._penalty
                if self.loop_type == "train" and not math.isfinite(total):
                    raise InputError(
                        f"the training loss is {total} in epoch {self.epoch}, step {self.steps}: "
                        "lower --lr (or --eps), and go on from the last checkpoint with --resume"
                    )
                for name, value in zip(self._sums, (loss, top1, top5), strict=True):
                    self._sums[name] += value * images
                self._images += images
            self.steps += 1
        self._unread.clear()


def _floats(values: list[Any]) -> list[float]:
    """Values as numbers; what lies on a card is waited for once, not once each."""
    there = [isinstance(one, Tensor) and one.is_cuda for one in values]
    if not any(there):
        return [float(one) for one in values]
    cards = [
        one.reshape(()).double() for one, is_there in zip(values, there, strict=True) if is_there
    ]
    read = iter(torch.stack(cards).tolist())
    return [
        next(read) if is_there else float(one) for one, is_there in zip(values, there, strict=True)
    ]


def over_ranks(progress: dict[str, Any]) -> dict[str, Any]:
    """The progress of all ranks together, from each one's `EpochProgress.state`."""
    names = list(progress["sums"])
    images, *sums = distributed.summed([progress["images"], *progress["sums"].values()])
    return {**progress, "images": int(images), "sums": dict(zip(names, sums, strict=True))}


def states_of_all_ranks(
    began: dict[str, Any], progress: dict[str, Any], loaders: Any
) -> dict[str, Any]:
    """What a checkpoint of rank 0 keeps: every rank is to call this after the same step.

    Parameters
    ----------
    began
        The random state at the beginning of the epoch.
    progress
        This rank's, see `EpochProgress.state`.
    loaders
        Those of the run.
    """
    state: dict[str, Any] = {"epoch_began": began, "progress": over_ranks(progress)}
    if distributed.size() > 1:
        state["rank_states"] = distributed.gathered(random_state.capture(loaders))
    return state


def state_of_this_rank(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """How far the epoch of a checkpoint is, as this rank takes it up.

    ``random_state`` is None if the checkpoint has none for this rank, because there were fewer,
    or as many as to divide the batches otherwise.
    """
    (key,) = WITHIN_EPOCH & checkpoint.keys()
    state = {**checkpoint[key], "random_state": checkpoint["random_state"]}
    states = state.pop("rank_states", [state["random_state"]])
    if len(states) == distributed.size():
        state["random_state"] = states[distributed.rank()]
    elif not distributed.is_main():
        state["random_state"] = None
    if not distributed.is_main():
        progress = state["progress"]
        none = dict.fromkeys(progress["sums"], 0.0)
        state["progress"] = {**progress, "images": 0, "sums": none}
    return state
