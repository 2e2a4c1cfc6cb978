"""The figures and tables of the paper: each a function from a study to what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...datasets.patterns import kaleidoscope
from ...results.plots import Line, curve_figure
from ...results.synthesis import Synthesis
from ...results.units import Found
from ...runtime.errors import InputError
from ...synthesis import Progress, noise
from ...synthesis.settings import at_size
from ..activations import most_activating
from ..addition import add_feature
from ..constrained import Curve, invert_within
from ..interpolation import interpolate
from ..inversion import invert
from ..visualization import visualize
from .study import Study

__all__ = [
    "activations",
    "additions",
    "features",
    "interpolations",
    "inversion_from_images",
    "inversion_from_noise",
    "inversion_of_kaleidoscopes",
    "inversion_of_strangers",
    "regularized",
    "within_radii",
]


def inversion_from_noise(study: Study, progress: bool | Progress) -> Found:
    """Fig. 6, 13b, 15: only R(x) is known, and nothing to start from."""
    targets = study.samples(study.scale.images)
    return _inversions(study, targets.images, list(targets.names), "noise", progress, frames=12)


def inversion_from_images(study: Study, progress: bool | Progress) -> Found:
    """Fig. 2, 3, 13a, 16: from another image; what a standard model's keep of it is Fig. 2."""
    targets = study.samples(study.scale.images)
    sources = study.samples(study.scale.images, skip=study.scale.images)
    return _inversions(study, targets.images, list(targets.names), sources.images, progress)


def inversion_of_kaleidoscopes(study: Study, progress: bool | Progress) -> Found:
    """Fig. 14a: patterns, unlike anything in the data."""
    like = study.samples(1).images
    drawn = kaleidoscope(study.scale.images, size=like.shape[-1], seed=study.seed)
    return _inversions(study, drawn, ["kaleidoscope"] * len(drawn), "noise", progress)


def inversion_of_strangers(study: Study, progress: bool | Progress) -> Found:
    """Fig. 6 (right), 14b: images of classes that no model was trained on."""
    try:
        targets = study.strangers(study.scale.images)
    except InputError as error:
        return Found(metadata={"skipped": str(error)})
    return _inversions(study, targets.images, list(targets.names), "noise", progress)


def within_radii(study: Study, progress: bool | Progress) -> Found:
    """Fig. 4, 5: how near R(x2) an image comes within a ball around x1."""
    n = study.scale.pairs
    targets, sources = study.samples(n), study.samples(n, skip=study.scale.images)
    radii = torch.tensor([at_size(radius, targets.images) for radius in study.scale.radii])
    runs = {
        name: study.made(
            name,
            invert_within,
            targets.images,
            sources.images,
            radii=radii.tolist(),
            progress=progress,
            **study.inversion(name),
        )
        for name in study.both
    }
    curves = {name: Curve(radii, run) for name, run in runs.items()}
    lines = [Line(curve.mean, *curve.band(), label=name) for name, curve in curves.items()]
    metadata = {
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
    return Found(runs, metadata, plot=lambda: curve_figure(radii, lines))


def interpolations(study: Study, progress: bool | Progress) -> Found:
    """Fig. 12, 17, 18: between two images by way of their representations."""
    n = study.scale.pairs
    left, right = study.samples(n), study.samples(n, skip=study.scale.images)
    runs = {
        name: study.made(
            name,
            interpolate,
            left.images,
            right.images,
            steps=study.scale.steps,
            progress=progress,
            **study.unbound(name, left.images),
        )
        for name in study.both
    }
    metadata = {
        "weights": torch.linspace(0, 1, study.scale.steps + 1).tolist(),
        "left": list(left.names),
        "right": list(right.names),
    }
    return Found(runs, metadata)


def _inversions(
    study: Study,
    targets: Tensor,
    labels: list[str],
    start: str | Tensor,
    progress: bool | Progress,
    *,
    frames: int | None = None,
) -> Found:
    runs = {
        name: study.made(
            name,
            invert,
            targets,
            start=start,
            frames=frames,
            progress=progress,
            **study.unbound(name, targets),
        )
        for name in study.both
    }
    return Found(runs, {"labels": labels, "start": start if isinstance(start, str) else "images"})


MOVED: Mapping[str, Any] = {"transform": "jitter,rotate"}
FOURIER: Mapping[str, Any] = {
    "transform": "jitter,rotate,scale",
    "parameterization": "fourier",
}
"""Of Fig. 10, and of the article that Fig. 9 is taken from."""

SPECTRUM_STEP = 3.5
"""At 224 pixels, on the spectrum: with it colours are as strong as those of the pixels."""


def features(study: Study, progress: bool | Progress) -> Found:
    """Fig. 7, 19 to 22: what maximises single coordinates, from noise and from images."""
    images = study.samples(study.scale.seeds - 1).images
    seeds = torch.cat([noise(images[:1], seed=study.seed), images])
    chosen = {name: study.coordinates(model, seeds) for name, model in study.models.items()}
    runs = {
        name: study.made(
            name,
            visualize,
            coordinates=chosen[name],
            seeds=seeds,
            progress=progress,
            **study.visualization(name),
        )
        for name in study.models
    }
    metadata = {
        "coordinates": chosen,
        "predicted": {
            name: study.predicted(study.models[name], run.images) for name, run in runs.items()
        },
        "seeds": ["noise", *("image" for _ in images)],
    }
    return Found(runs, metadata)


def activations(study: Study, progress: bool | Progress) -> Found:
    """Fig. 8: a coordinate from grey, and the images that activate it most and least."""
    grey = torch.full_like(study.samples(1).images, 0.5)
    runs, pictures = {}, {}
    metadata: dict[str, Any] = {"coordinates": {}, "labels": {}, "values": {}}
    for name, model in study.both.items():
        chosen = study.coordinates(model, grey)
        found = most_activating(model, study.tested(), coordinates=chosen, k=3)
        runs[name] = study.made(
            name,
            visualize,
            coordinates=chosen,
            seeds=grey,
            progress=progress,
            **study.visualization(name),
        )
        metadata["coordinates"][name] = chosen
        for end, extreme in (("most", found.most), ("least", found.least)):
            pictures[f"{name}-{end}"] = extreme.images.flatten(0, 1)
            metadata["labels"][f"{name}-{end}"] = study.names(extreme.label)
            metadata["values"][f"{name}-{end}"] = extreme.value.flatten().tolist()
    return Found(runs, metadata, pictures)


def regularized(study: Study, progress: bool | Progress) -> Found:
    """Fig. 9, 10: what a regulariser makes of a standard model's coordinates, from noise."""
    start = noise(study.samples(1).images, seed=study.seed)
    fourier = {**FOURIER, "step_size": at_size(SPECTRUM_STEP, start)}
    wanted: list[tuple[str, str, Mapping[str, Any]]] = [
        ("robust", "no regulariser", {}),
        ("standard", "no regulariser", {}),
        ("standard", "jitter, rotation", MOVED),
        ("standard", "jitter, rotation, scale, Fourier, decorrelated colours", fourier),
    ]
    if "vgg" in study.models:
        wanted.append(("vgg", "jitter, rotation", MOVED))
    runs: dict[str, Synthesis] = {}
    metadata: dict[str, Any] = {"start": "noise", "captions": {}, "names": {}}
    for role, words, regulariser in wanted:
        model, name = study.models[role], f"{role}-{len(runs)}"
        chosen = study.coordinates(model, start)
        runs[name] = study.made(
            name,
            visualize,
            coordinates=chosen,
            seeds=start,
            progress=progress,
            **study.visualization(name),
            **regulariser,
        )
        seen = study.predicted(model, runs[name].images)
        metadata["names"][name] = f"{role}, {words}"
        metadata["captions"][name] = [
            f"{i}: {label}" for i, label in zip(chosen, seen, strict=True)
        ]
    return Found(runs, metadata)


def additions(study: Study, progress: bool | Progress) -> Found:
    """Fig. 11, 23: raise one coordinate of each image until it leads."""
    images = study.samples(study.scale.images)
    runs: dict[str, Synthesis] = {}
    metadata: dict[str, Any] = {"labels": list(images.names), "captions": {}}
    for name, model in study.both.items():
        chosen = study.coordinates(model, images.images)
        each = [chosen[i % len(chosen)] for i in range(len(images.images))]
        runs[name] = study.made(
            name,
            add_feature,
            images.images,
            each,
            progress=progress,
            **study.addition(name),
        )
        seen = study.predicted(model, runs[name].images)
        metadata["captions"][name] = [f"{i}: {label}" for i, label in zip(each, seen, strict=True)]
    return Found(runs, metadata)
