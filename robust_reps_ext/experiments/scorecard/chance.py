"""What the scorecard's numbers would be if the images told nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from robustness.datasets import DataSet
from torch import Tensor

from ...datasets.samples import validation_samples
from .judge import Judge
from .measures import angle_between
from .settings import Amounts

__all__ = ["chance", "judge_right"]


def chance(
    data_set: DataSet, judge: Judge | None, amounts: Amounts, seeds: Sequence[int]
) -> dict[str, float]:
    """Measure -> what a random other image, or coordinate, in place of the result would give."""
    found = {}
    for who in ("by the judge", "from afar"):
        found[f"recovered, {who}"] = 1 / amounts.gallery
        found[f"same from every start, {who}"] = 1 / amounts.coordinates
    if judge is None:
        return found
    taken = [_by_labels(data_set, judge, amounts.gallery, seed) for seed in seeds]
    return found | {name: sum(one[name] for one in taken) / len(taken) for name in taken[0]}


def judge_right(data_set: DataSet, judge: Judge, amounts: Amounts, seeds: Sequence[int]) -> float:
    """How often the judge is right on the images themselves."""
    hits = []
    for seed in seeds:
        samples = validation_samples(data_set, amounts.gallery, seed=seed)
        hits.append(judge.sees(samples.images, samples.labels).float())
    return float(torch.cat(hits).mean())


def _by_labels(data_set: DataSet, judge: Judge, n: int, seed: int) -> dict[str, float]:
    """Each image held against each other one."""
    samples = validation_samples(data_set, n, seed=seed)
    coarse = judge.coarse(samples.labels)
    tables: dict[str, Tensor] = {}
    tables["class recovered"] = tables["class of the target"] = coarse[:, None] == coarse
    if judge.factors is not None:
        texture, hue = judge.texture(samples.labels), judge.hues_of(samples)
        tables["texture recovered"] = texture[:, None] == texture
        tables["hue error"] = angle_between(hue[:, None], hue)
    others = ~torch.eye(n, dtype=torch.bool)
    return {name: float(table.float()[others].mean()) for name, table in tables.items()}
