"""Who says what an image shows: a third network, and what is known of how images were drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from robustness.attacker import AttackerModel
from robustness.datasets import DataSet
from torch import Tensor

from ...datasets.critters import COATS, FINE_CLASSES, HUES, Factors
from ...datasets.samples import Samples, validation_samples, validation_set
from ...models.representation import representation
from ..accuracy import predicted_labels
from ..resemblance import can_be_measured, resemblance
from .claims import RESEMBLANCE
from .measures import angle_between
from .settings import Amounts

__all__ = ["Judge", "chance", "judge_right", "known_factors", "of_targets"]


@dataclass(frozen=True)
class Judge:
    """A third network, which says what an image shows.

    Attributes
    ----------
    model
        As `load_model` returns it.
    group
        Coarse label of each class, which is what is judged; None: the classes themselves.
    factors
        Of the validation images, where the classes are critters' fine ones; None elsewhere.
    """

    model: AttackerModel
    group: Tensor | None = None
    factors: tuple[Factors, ...] | None = None

    def representation(self, images: Tensor) -> Tensor:
        """(N, k), of images (N, C, H, W)."""
        return representation(self.model, images).cpu()

    def labels(self, images: Tensor) -> Tensor:
        """(N,), what the network takes the images for."""
        return predicted_labels(self.model, images)

    def coarse(self, labels: Tensor) -> Tensor:
        """The coarse label of each label."""
        return labels if self.group is None else self.group[labels]

    def sees(self, images: Tensor, labels: Tensor) -> Tensor:
        """(N,), whether the network takes each image for something of its coarse label."""
        return self.coarse(self.labels(images)) == self.coarse(labels)

    def hues_of(self, samples: Samples) -> Tensor:
        """(N,), in degrees, what the animals of validation images were painted with."""
        factors = self.factors or ()
        return torch.tensor([factors[i].body_hue for i in samples.indices.tolist()])

    def hues_seen(self, labels: Tensor) -> Tensor:
        """(N,), in degrees, the mean hue of the colour that each fine label names."""
        factors = self.factors or ()
        turns = torch.deg2rad(torch.tensor([one.body_hue for one in factors]))
        colour = torch.tensor([one.hue for one in factors])
        parts = [turns[colour == tone] for tone in range(len(HUES))]
        means = [torch.atan2(part.sin().mean(), part.cos().mean()) for part in parts]
        return torch.rad2deg(torch.stack(means))[labels % len(HUES)]

    @staticmethod
    def texture(labels: Tensor) -> Tensor:
        """The texture that each fine label names."""
        return labels % COATS // len(HUES)


def known_factors(data_set: DataSet) -> tuple[Factors, ...] | None:
    """The factors of the validation images, where the labels are critters' fine classes."""
    if tuple(getattr(data_set, "classes", ())) != FINE_CLASSES:
        return None
    return getattr(validation_set(data_set), "factors", None)


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


def of_targets(
    data_set: DataSet, amounts: Amounts, seeds: Sequence[int]
) -> tuple[dict[str, float], dict[str, float]]:
    """Measure of resemblance -> what another target in place of the result gives, and a JPEG copy.

    Of the targets alone, so that they are the same for both models.
    """
    lowest, highest = {}, {}
    found = []
    for seed in seeds:
        targets = validation_samples(data_set, amounts.needed, seed=seed).images[: amounts.images]
        if not can_be_measured(targets):
            return {}, {}
        found.append(resemblance(targets, targets))
    for i, name in enumerate(found[0].measures):
        lowest[RESEMBLANCE + name] = float(torch.cat([one.chance[i] for one in found]).mean())
        highest[RESEMBLANCE + name] = float(torch.cat([one.ceiling[i] for one in found]).mean())
    return lowest, highest


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
