"""Training images moved towards a class and labelled so.

Towards another class as in Ilyas et al. 2019, section 3.2, or towards their own (enhanced).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor

from ..datasets.shards import Sample
from ..models.representation import representation
from ..runtime.errors import InputError
from ..runtime.randomness import one_of
from ..synthesis import Progress, synthesize
from ..synthesis.class_objectives import ClassCrossEntropy, ClassLogit
from ..synthesis.settings import Settings
from .accuracy import logits, predicted_labels
from .enhancement import ENHANCED, difficulty
from .made_samples import as_stored, image_and_label, made_samples

__all__ = ["LENGTHS", "TowardsClass", "check_classes", "new_label"]

# Theirs for CIFAR: 100 steps of 0.1 within 0.5 at 32 pixels, which are 0.7 and 3.5 at 224.
_MISLABELLED = {"eps": 0.5 * 224 / 32, "step_size": 0.1 * 224 / 32, "iterations": 100}
LENGTHS = {"random": _MISLABELLED, "next": _MISLABELLED, "enhanced": ENHANCED}
"""Kind -> what is published of how images are moved, at 224 pixels."""


def new_label(kind: str, label: int, number: int, classes: int, *, seed: int) -> int:
    """The class that image `number` of class `label` is moved towards.

    ``"random"``: each of the classes as likely, its own too (theirs: D_rand); ``"next"``: the one
    after its own, of the last the first (D_det); ``"enhanced"``: its own.
    """
    if kind == "enhanced":
        return label
    return one_of(number, classes, seed=seed) if kind == "random" else (label + 1) % classes


def check_classes(model: AttackerModel, image: Tensor, classes: int) -> None:
    """Raise `InputError` unless the model has a score for each class of the data."""
    known = logits(model, image[None]).shape[1]
    if known < classes:
        raise InputError(
            f"the model has {known} classes, and the data {classes}: give a model that was trained "
            "on them"
        )


@dataclass(frozen=True)
class TowardsClass:
    """Makes the samples of a shard: each image, moved by PGD towards a class."""

    model: AttackerModel
    images: Any
    settings: Settings
    kind: str
    classes: int
    seed: int
    digest: str

    def __call__(self, indices: Sequence[int], progress: bool | Progress) -> list[Sample]:
        loaded = [image_and_label(self.images[i]) for i in indices]
        images = torch.stack([image for image, _ in loaded])
        labels = [label for _, label in loaded]
        aims = [
            new_label(self.kind, label, index, self.classes, seed=self.seed)
            for index, label in zip(indices, labels, strict=True)
        ]
        enhanced = self.kind == "enhanced"
        found = synthesize(
            self.model,
            ClassLogit() if enhanced else ClassCrossEntropy(),
            target=torch.tensor(aims),
            start=images,
            settings=self.settings,
            numbers=torch.tensor(indices),
            seed=self.seed,
            progress=progress,
        )
        seen = predicted_labels(self.model, as_stored(found.images)).tolist()
        metadata: list[dict[str, Any]] = [
            {"start": index, "label": label, "reached": one == aim, "settings": self.digest}
            for index, label, aim, one in zip(indices, labels, aims, seen, strict=True)
        ]
        if enhanced:
            hard = difficulty(self.model, images, torch.tensor(labels)).tolist()
            for told, one in zip(metadata, hard, strict=True):
                told["difficulty"] = one
        return made_samples(
            self.model,
            found.images,
            wanted=representation(self.model, images),
            indices=indices,
            labels=aims,
            metadata=metadata,
        )
