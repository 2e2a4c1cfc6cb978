"""The figures and tables of the paper, each a few lines over the experiments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from robustness.attacker import AttackerModel
from robustness.datasets import DataSet
from torch import Tensor

from ..datasets.patterns import kaleidoscope
from ..datasets.samples import Samples, validation_samples
from ..models.representation import representation
from ..plots import Line, accuracy_figure, curve_figure
from ..result import Synthesis
from ..settings import PAPER_SIZE, Options
from ..synthesis import Progress, noise
from .accuracy import evaluate
from .activations import most_activating
from .addition import add_feature
from .constrained import invert_within
from .interpolation import interpolate
from .inversion import invert
from .pairs import near_pairs
from .visualization import visualize

__all__ = ["SCALES", "UNITS", "Found", "Scale", "Study", "Unit"]


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
        Validation images of the tables and of Fig. 8 (None: all); PGD steps of the tables.
    precision
        What the network computes with while it is attacked.
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


SCALES: Mapping[str, Scale] = {
    "quick": Scale(
        8, 2, 6, 200, 60, 120, 3, 8, (0.5, 2, 8, 32, 128), 64, (20, 100), precision="auto"
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
        Name -> model: ``"robust"``, ``"standard"``, perhaps ``"vgg"``.
    data_set, classes
        The data and the names of its classes.
    scale
        How much of everything.
    eps
        Radius of the attack of the tables.
    group
        Coarse label of each class, see `evaluate`; None: the classes themselves.
    seed
        Chooses images, noise and coordinates.
    """

    models: Mapping[str, AttackerModel]
    data_set: DataSet
    classes: Sequence[str]
    scale: Scale
    eps: float
    group: Tensor | None
    seed: int

    @property
    def inversion(self) -> Options:
        """The keywords of every inversion."""
        return {"iterations": self.scale.iterations, "precision": self.scale.precision}

    @property
    def both(self) -> dict[str, AttackerModel]:
        """The pair that most figures compare."""
        return {name: self.models[name] for name in ("robust", "standard")}

    def samples(self, n: int, skip: int = 0) -> Samples:
        """Validation images in the order that the seed fixes."""
        return validation_samples(self.data_set, n, skip=skip, seed=self.seed)

    def tested(self) -> Iterable[tuple[Tensor, Tensor]]:
        """Batches of the validation images that accuracies are counted on."""
        if self.scale.tested is None:
            _, loader = self.data_set.make_loaders(0, 64, only_val=True, shuffle_val=False)
            yield from loader
            return
        found = self.samples(self.scale.tested)
        yield from zip(found.images.split(64), found.labels.split(64), strict=True)

    def names(self, labels: Tensor) -> list[str]:
        """The names of classes."""
        numbers = labels.flatten().tolist()
        return [self.classes[i] if 0 <= i < len(self.classes) else str(i) for i in numbers]

    def coordinates(self, model: AttackerModel, images: Tensor) -> list[int]:
        """A random choice of coordinates of R(x), ascending."""
        size = representation(model, images[:1]).shape[1]
        order = torch.randperm(size, generator=torch.Generator().manual_seed(self.seed))
        return sorted(order[: self.scale.coordinates].tolist())

    def predicted(self, model: AttackerModel, images: Tensor) -> list[str]:
        """The class that the model gives each image."""
        with torch.no_grad():
            scores = torch.cat([model(batch)[0] for batch in images.split(64)])
        return self.names(scores.argmax(dim=1).cpu())


@dataclass(frozen=True)
class Found:
    """What a figure or table holds.

    Attributes
    ----------
    runs
        Name -> synthesis, most often one for each model.
    facts
        What there is to say, as JSON can hold it.
    pictures
        Images that no synthesis made.
    plot
        Draws the figure where it is not a grid of the runs.
    """

    runs: Mapping[str, Synthesis] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Tensor] = field(default_factory=dict)
    plot: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Unit:
    """A figure or table: what it is called, what it shows, and how it comes about.

    Attributes
    ----------
    id
        ``"fig3"``, names its files.
    kind
        How the report shows it: ``"grid"``, ``"curve"``, ``"interpolation"``, ``"features"``,
        ``"activations"`` or ``"table"``.
    numbers
        What the paper calls it.
    title, compute
        In words; in code.
    """

    id: str
    kind: str
    numbers: str
    title: str
    compute: Callable[[Study, bool | Progress], Found]


def inversion_from_noise(study: Study, progress: bool | Progress) -> Found:
    """Fig. 6, 13, 15: only R(x) is known, and nothing to start from."""
    targets = study.samples(study.scale.images)
    return _inversions(study, targets.images, list(targets.names), "noise", progress)


def inversion_from_images(study: Study, progress: bool | Progress) -> Found:
    """Fig. 3, 16: from another image of the data."""
    targets = study.samples(study.scale.images)
    sources = study.samples(study.scale.images, skip=study.scale.images)
    return _inversions(study, targets.images, list(targets.names), sources.images, progress)


def inversion_of_kaleidoscopes(study: Study, progress: bool | Progress) -> Found:
    """Fig. 14: targets unlike anything in the data."""
    like = study.samples(1).images
    drawn = kaleidoscope(study.scale.images, size=like.shape[-1], seed=study.seed)
    return _inversions(study, drawn, ["kaleidoscope"] * len(drawn), "noise", progress)


def near_equal_pairs(study: Study, progress: bool | Progress) -> Found:
    """Fig. 2: other content, almost the same representation, for a standard model."""
    targets = study.samples(study.scale.pairs)
    pairs = near_pairs(
        study.models["standard"],
        targets.images,
        sources=study.samples(study.scale.pairs, skip=study.scale.images).images,
        seed=study.seed,
        progress=progress,
        **study.inversion,
    )
    return Found({"standard": pairs.synthesis}, {"labels": list(targets.names)})


def within_radii(study: Study, progress: bool | Progress) -> Found:
    """Fig. 4, 5: how near R(x2) an image comes within a ball around x1."""
    n = study.scale.pairs
    targets, sources = study.samples(n), study.samples(n, skip=study.scale.images)
    scale = targets.images.shape[-1] / PAPER_SIZE
    curves = {
        name: invert_within(
            model,
            targets.images,
            sources.images,
            radii=[radius * scale for radius in study.scale.radii],
            seed=study.seed,
            progress=progress,
            **study.inversion,
        )
        for name, model in study.both.items()
    }
    radii = curves["robust"].radii
    lines = [Line(curve.mean, *curve.band(), label=name) for name, curve in curves.items()]
    facts = {
        "radii": radii.tolist(),
        "labels": list(targets.names),
        "lines": [
            {
                "name": line.label,
                **{end: getattr(line, end).tolist() for end in ("y", "low", "high")},
            }
            for line in lines
        ],
    }
    runs = {name: curve.synthesis for name, curve in curves.items()}
    return Found(runs, facts, plot=lambda: curve_figure(radii, lines))


def features(study: Study, progress: bool | Progress) -> Found:
    """Fig. 7, 19 to 22: what maximises single coordinates, from noise and from images."""
    images = study.samples(study.scale.seeds - 1).images
    seeds = torch.cat([noise(images[:1], seed=study.seed), images])
    seen = {
        name: visualize(
            model,
            coordinates=study.coordinates(model, seeds),
            seeds=seeds,
            seed=study.seed,
            progress=progress,
            iterations=study.scale.feature_iterations,
            precision=study.scale.precision,
        )
        for name, model in study.models.items()
    }
    facts = {
        "coordinates": {name: one.coordinates.tolist() for name, one in seen.items()},
        "predicted": {name: study.names(one.predicted) for name, one in seen.items()},
        "seeds": ["noise", *("image" for _ in images)],
    }
    return Found({name: one.synthesis for name, one in seen.items()}, facts)


def activations(study: Study, progress: bool | Progress) -> Found:
    """Fig. 8: a coordinate from grey, and the images that activate it most and least."""
    grey = torch.full_like(study.samples(1).images, 0.5)
    runs, pictures = {}, {}
    facts: dict[str, Any] = {"coordinates": {}, "labels": {}, "values": {}}
    for name, model in study.both.items():
        chosen = study.coordinates(model, grey)
        found = most_activating(model, study.tested(), coordinates=chosen, k=3)
        runs[name] = visualize(
            model,
            coordinates=chosen,
            seeds=grey,
            seed=study.seed,
            progress=progress,
            iterations=study.scale.feature_iterations,
            precision=study.scale.precision,
        ).synthesis
        facts["coordinates"][name] = chosen
        for end, extreme in (("most", found.most), ("least", found.least)):
            pictures[f"{name}-{end}"] = extreme.images.flatten(0, 1)
            facts["labels"][f"{name}-{end}"] = study.names(extreme.label)
            facts["values"][f"{name}-{end}"] = extreme.value.flatten().tolist()
    return Found(runs, facts, pictures)


def additions(study: Study, progress: bool | Progress) -> Found:
    """Fig. 11, 23: raise one coordinate of each image until it leads."""
    images = study.samples(study.scale.images)
    runs: dict[str, Synthesis] = {}
    facts: dict[str, Any] = {"labels": list(images.names), "coordinates": {}, "predicted": {}}
    for name, model in study.both.items():
        chosen = study.coordinates(model, images.images)
        each = [chosen[i % len(chosen)] for i in range(len(images.images))]
        runs[name] = add_feature(
            model,
            images.images,
            each,
            seed=study.seed,
            progress=progress,
            iterations=study.scale.addition_iterations,
            precision=study.scale.precision,
        )
        facts["coordinates"][name] = each
        facts["predicted"][name] = study.predicted(model, runs[name].images)
    return Found(runs, facts)


def interpolations(study: Study, progress: bool | Progress) -> Found:
    """Fig. 12, 17, 18: between two images by way of their representations."""
    n = study.scale.pairs
    left, right = study.samples(n), study.samples(n, skip=study.scale.images)
    paths = {
        name: interpolate(
            model,
            left.images,
            right.images,
            steps=study.scale.steps,
            seed=study.seed,
            progress=progress,
            **study.inversion,
        )
        for name, model in study.both.items()
    }
    facts = {
        "weights": paths["robust"].weights.tolist(),
        "left": list(left.names),
        "right": list(right.names),
    }
    return Found({name: path.synthesis for name, path in paths.items()}, facts)


def accuracies(study: Study, progress: bool | Progress) -> Found:
    """Tables 4, 5: clean accuracy, and accuracy under PGD."""
    rows = {
        name: evaluate(
            model,
            study.tested(),
            eps=study.eps,
            attack_steps=study.scale.attack_steps,
            group=study.group,
            precision=study.scale.precision,
        )
        for name, model in study.models.items()
    }
    facts: dict[str, Any] = {
        "eps": study.eps,
        "images": rows["robust"][0].n,
        "columns": [one.name for one in rows["robust"]],
        "rows": {
            name: [{"share": one.share, "interval": one.interval()} for one in row]
            for name, row in rows.items()
        },
    }
    lines = []
    for name, row in rows.items():
        low, high = zip(*(one.interval() for one in row), strict=True)
        lines.append(Line([one.share for one in row], low, high, name))
    return Found(facts=facts, plot=lambda: accuracy_figure(facts["columns"], lines))


UNITS: tuple[Unit, ...] = (
    Unit("fig6", "grid", "Figures 6, 15", "Inversion from noise", inversion_from_noise),
    Unit("fig3", "grid", "Figure 3", "Inversion from another image", inversion_from_images),
    Unit("fig14", "grid", "Figure 14", "Inversion of kaleidoscopes", inversion_of_kaleidoscopes),
    Unit("fig2", "grid", "Figure 2", "Other images, the same representation", near_equal_pairs),
    Unit("fig4", "curve", "Figures 4, 5", "How far one has to go", within_radii),
    Unit("fig7", "features", "Figures 7, 19-22", "Single coordinates", features),
    Unit("fig8", "activations", "Figure 8", "What activates a coordinate", activations),
    Unit("fig11", "grid", "Figures 11, 23", "Adding a feature", additions),
    Unit("fig12", "interpolation", "Figures 12, 17, 18", "Between two images", interpolations),
    Unit("tables", "table", "Tables 4, 5", "Accuracy", accuracies),
)
"""In the order in which they are made: pictures first."""


def _inversions(
    study: Study,
    targets: Tensor,
    labels: list[str],
    start: str | Tensor,
    progress: bool | Progress,
) -> Found:
    runs = {
        name: invert(
            model, targets, start=start, seed=study.seed, progress=progress, **study.inversion
        )
        for name, model in study.both.items()
    }
    return Found(runs, {"labels": labels})
