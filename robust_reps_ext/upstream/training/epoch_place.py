"""A place within an epoch: what a checkpoint keeps of it for all ranks, and what each takes up."""

from __future__ import annotations

from typing import Any

from ...runtime import random_state
from .. import distributed

__all__ = ["everyones", "of_this_rank", "over_ranks"]


def over_ranks(progress: dict[str, Any]) -> dict[str, Any]:
    """The progress of all ranks together, from each one's `EpochProgress.state`."""
    names = list(progress["sums"])
    images, *sums = distributed.summed([progress["images"], *progress["sums"].values()])
    return {**progress, "images": int(images), "sums": dict(zip(names, sums, strict=True))}


def everyones(began: dict[str, Any], progress: dict[str, Any], loaders: Any) -> dict[str, Any]:
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
    place: dict[str, Any] = {"epoch_began": began, "progress": over_ranks(progress)}
    if distributed.size() > 1:
        place["rank_states"] = distributed.gathered(random_state.capture(loaders))
    return place


def of_this_rank(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The place of a checkpoint, as this rank takes it up.

    ``random_state`` is None if the checkpoint has none for this rank, because there were fewer,
    or as many as to divide the batches otherwise.
    """
    place = {**checkpoint["place"], "random_state": checkpoint["random_state"]}
    states = place.pop("rank_states", [place["random_state"]])
    if len(states) == distributed.size():
        place["random_state"] = states[distributed.rank()]
    elif not distributed.is_main():
        place["random_state"] = None
    if not distributed.is_main():
        progress = place["progress"]
        none = dict.fromkeys(progress["sums"], 0.0)
        place["progress"] = {**progress, "images": 0, "sums": none}
    return place
