"""What the figures of the paper are made of: models, data, and how much of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from robustness.attacker import AttackerModel
from robustness.datasets import DataSet
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from ...datasets.given_images import GivenImages
from ...datasets.photographs import available
from ...datasets.samples import (
    Samples,
    validation_places,
    validation_samples,
    validation_set,
)
from ...datasets.targets import held_out_samples, left_out, target_samples
from ...datasets.wordnet import named, wordnet_ids
from ...models.cards import card_of
from ...models.representation import representation, shuffled_coordinates
from ...results.accuracies import ThreatModel
from ...results.synthesis import Synthesis
from ...synthesis.settings import FASTEST, STEADY, Options, at_size
from ..accuracy import predicted_labels
from ..constrained import FIGURE_5

__all__ = ["BATCH", "SCALES", "Scale", "Study"]

BATCH = 64
"""Images at once in a pass through the validation set, and as many counted before it is kept."""

LOOKED_AT = 256
"""Validation images in which it is seen which coordinates can lead, and which activate them."""


@dataclass(frozen=True)
class Scale:
    """How many images and steps: from a look in minutes to what the paper did.

    Attributes
    ----------
    images, pairs, steps
        Columns of the inversions; pairs of Fig. 4 and 12; steps of lambda.
    iterations, feature_iterations, addition_iterations
        PGD steps of the inversions, of the visualisations, and of the additions.
    seeds, coordinates
        Rows and columns of Fig. 7.
    radii
        Of Fig. 4, at 224 pixels.
    tested, attack_steps
        Validation images of the tables, and of Fig. 8 where they are more than 256 (None: all);
        PGD steps of the tables.
    precision, schedule
        What the network computes with while it is attacked, and how the steps of the inversions
        go, see `Options`. With another than the paper's, additions take those of `add_feature`.
    step_size
        First length of their steps where nothing bounds them, at 224 pixels; None: the
        schedule's own.
    """

    images: int
    pairs: int
    steps: int
    iterations: int
    feature_iterations: int
    addition_iterations: int
    seeds: int
    coordinates: int
    radii: tuple[float, ...]
    tested: int | None
    attack_steps: tuple[int, ...]
    precision: str = "float32"
    schedule: str = "paper"
    step_size: float | None = None

    @property
    def needed(self) -> int:
        """How many validation images the figures and tables take."""
        beside = self.images + max(self.images, self.pairs)
        return max(beside, self.seeds - 1, self.tested or 1)


SCALES: Mapping[str, Scale] = {
    "quick": Scale(
        8,
        4,
        8,
        200,
        120,
        100,
        3,
        8,
        (0.5, 1, 2, 4, 8, 16, 32, 64, 128),
        64,
        (20,),
        precision="auto",
        schedule=FASTEST,
    ),
    "default": Scale(
        16, 4, 10, 1000, 200, 800, 4, 16, (0.5, 1, 2, 4, 8, 16, 32, 64, 128), 1000, (20, 100)
    ),
    "full": Scale(
        16, 16, 10, 10_000, 200, 800, 4, 32, (0.5, 1, 2, 4, 8, 16, 32, 64, 128), None, (20, 100)
    ),
}


@dataclass(frozen=True)
class Study:
    """The models and data that the figures are made of.

    Attributes
    ----------
    models
        Name -> model: ``"robust"``, ``"standard"``, perhaps ``"vgg"`` and ``"googlenet"``.
    data_set, classes
        The data and the names of its classes.
    scale
        How much of everything.
    eps, constraint, why
        The attack of the tables, see `robust_reps_ext.results.accuracies.ThreatModel`.
    group
        Coarse label of each class, see `evaluate`; None: the classes themselves.
    seed
        Chooses images, noise and coordinates.
    snapshots
        The folder in which runs keep how far they are; None: they do not.
    selected
        Coordinates of the robust model that are looked at beside random ones (Fig. 20); the first
        is added to images (Fig. 11).
    """

    models: Mapping[str, AttackerModel]
    data_set: DataSet
    classes: Sequence[str]
    scale: Scale
    eps: float
    group: Tensor | None
    seed: int
    snapshots: Path | None = None
    selected: Sequence[int] = ()
    constraint: str = "2"
    why: str = "given"

    @property
    def own_images(self) -> bool:
        """Whether the images are a few that were given, with no others like them."""
        return isinstance(self.data_set, GivenImages)

    @property
    def attack(self) -> ThreatModel:
        """Of the tables."""
        return ThreatModel(self.constraint, self.eps, self.eps / 8, self.why)

    def inversion(self, name: str) -> Options:
        """The keywords of every inversion, of the model `name`."""
        return {
            "iterations": self.scale.iterations,
            "schedule": self.scale.schedule,
            **self._every(name),
        }

    def unbound(self, name: str, images: Tensor) -> Options:
        """The keywords of an inversion that no radius bounds."""
        length = self.scale.step_size
        step_size = None if length is None else at_size(length, images)
        return {**self.inversion(name), "step_size": step_size}

    def visualization(self, name: str) -> Options:
        """The keywords of every visualisation, of the model `name`."""
        return {
            "iterations": self.scale.feature_iterations,
            "schedule": "paper",
            **self._every(name),
        }

    def addition(self, name: str) -> Options:
        """The keywords of every addition, of the model `name`."""
        return {
            "iterations": self.scale.addition_iterations,
            "schedule": "paper" if self.scale.schedule == "paper" else STEADY,
            **self._every(name),
        }

    def _every(self, name: str) -> Options:
        if self.snapshots is None:
            return {"precision": self.scale.precision}
        self.snapshots.mkdir(parents=True, exist_ok=True)
        snapshot = self.snapshots / f"{name}.snapshot"
        with suppress(OSError):  # as version 0.1 called it
            (self.snapshots / f"{name}.place").rename(snapshot)
        return {"precision": self.scale.precision, "snapshot": snapshot}

    def made(
        self, name: str, experiment: Callable[..., Any], *given: Any, **options: Any
    ) -> Synthesis:
        """The synthesis of ``experiment(model, *given, **options)``, with the seed of the study.

        It is kept in `snapshots` under `name`, which begins with that of the model, until the unit
        is finished, and not made twice.
        """
        kept = None if self.snapshots is None else self.snapshots / f"{name}.safetensors"
        if kept is not None and kept.exists():
            return Synthesis.load(kept)
        found = experiment(self.model_of(name), *given, seed=self.seed, **options)
        run: Synthesis = found if isinstance(found, Synthesis) else found.synthesis
        if kept is not None:
            run.save(kept)
        return run

    def model_of(self, name: str) -> AttackerModel:
        """The model of a run, whose name begins with that of the model."""
        return self.models[name.partition("-")[0]]

    @property
    def both(self) -> dict[str, AttackerModel]:
        """The pair that most figures compare."""
        return {name: self.models[name] for name in ("robust", "standard")}

    @property
    def compared(self) -> dict[str, AttackerModel]:
        """The pair, and the VGG where it is given: of Fig. 7 and the tables."""
        return {name: one for name, one in self.models.items() if name != "googlenet"}

    def given(self, name: str) -> str:
        """The name of that model, or of the standard one where it is not given."""
        return name if name in self.models else "standard"

    def shown_radii(self) -> list[int]:
        """Which radii Fig. 5 shows: the paper's four, or all where one of them is missing."""
        radii = list(self.scale.radii)
        if not set(FIGURE_5) <= set(radii):
            return list(range(len(radii)))
        return [radii.index(radius) for radius in FIGURE_5]

    def samples(self, n: int, skip: int = 0) -> Samples:
        """Validation images in the order that the seed fixes."""
        return validation_samples(self.data_set, n, skip=skip, seed=self.seed)

    def others(self, n: int) -> Samples:
        """As many validation images beside those; of given images the next of each, in a circle."""
        if not self.own_images:
            return self.samples(n, skip=self.scale.images)
        every = self.samples(len(validation_set(self.data_set)))
        return every.rows([(i + 1) % len(every.names) for i in range(n)])

    def strangers(self, n: int) -> tuple[Samples, str]:
        """At most n images of no class in the data, and what they are.

        Of the classes that the data leaves out, where its folder has some; else photographs.
        """
        leaves = getattr(self.data_set, "label_mapping", None) is not None
        there = len(left_out(self.data_set)) if leaves else 0
        if there:
            found = held_out_samples(self.data_set, min(n, there), seed=self.seed)
            return found, "classes left out"
        count = min(n, len(available()))
        return target_samples("photographs", self.data_set, count), "photographs"

    def tested_images(self, least: int = 0) -> Any:
        """The validation images that accuracies are counted on, or `least`: a data set of pairs."""
        count, there = self.scale.tested, len(validation_set(self.data_set))
        if count is not None:
            count = min(max(count, least), there)
        places = validation_places(self.data_set, count, seed=self.seed)
        if count is None:
            places.sort()  # as the files lie
        return Subset(validation_set(self.data_set), places)

    def tested(self, least: int = 0) -> Iterable[tuple[Tensor, Tensor]]:
        """Batches of them."""
        return DataLoader(self.tested_images(least), BATCH)

    def names(self, labels: Tensor) -> list[str]:
        """The names of classes."""
        numbers = labels.flatten().tolist()
        return [self.classes[i] if 0 <= i < len(self.classes) else str(i) for i in numbers]

    def coordinates(self, model: AttackerModel, images: Tensor) -> list[int]:
        """A random choice of coordinates of R(x), ascending."""
        return sorted(shuffled_coordinates(model, images, seed=self.seed)[: self.scale.coordinates])

    def leading_pair(self, name: str) -> dict[str, tuple[int, str]]:
        """A selected coordinate of R(x), and a random one, of those that can lead; and why each.

        The selected one is the first of `selected`, by default the one that exceeds all others in
        most validation images; the random one does so in some.
        """
        model, there = self.models[name], len(validation_set(self.data_set))
        images = self.samples(min(LOOKED_AT, there)).images
        leads = representation(model, images).argmax(dim=1)
        counts = torch.bincount(leads)
        most = int(counts.argmax())
        first = most
        why = f"selected: the largest in {int(counts[most])} of {len(images)} images"
        if self.selected:
            first, why = self.selected[0], "selected"
        order = [i for i in shuffled_coordinates(model, images, seed=self.seed) if i != first]
        able = [i for i in order if i < len(counts) and counts[i]]
        drawn = "random, of those that are the largest in some image" if able else "random"
        return {"selected": (first, why), "random": ((able or order)[0], drawn)}

    def predicted(self, model: AttackerModel, images: Tensor) -> list[str]:
        """The class that the model gives each image; a GoogLeNet may know others than the data."""
        labels = predicted_labels(model, images)
        there = len(self.classes) or self.data_set.num_classes
        known = card_of(model).get("classes", there)
        if known == there:
            return self.names(labels)
        folders = wordnet_ids() if known == len(wordnet_ids()) else [*map(str, range(known))]
        return [named(folders)[label] for label in labels.tolist()]
