"""The paper's figures of section 4.2: what single coordinates of R(x) stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ...results.synthesis import Synthesis
from ...results.units import Found
from ...synthesis import Progress, noise
from ...synthesis.settings import PAPER_SIZE
from ..activations import most_activating
from ..addition import add_feature
from ..visualization import visualize
from .study import Study

__all__ = ["activations", "additions", "features", "regularized"]

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
            model,
            coordinates=chosen[name],
            seeds=seeds,
            seed=study.seed,
            progress=progress,
            **study.visualization(name),
        )
        for name, model in study.models.items()
    }
    facts = {
        "coordinates": chosen,
        "predicted": {
            name: study.predicted(study.models[name], run.images) for name, run in runs.items()
        },
        "seeds": ["noise", *("image" for _ in images)],
    }
    return Found(runs, facts)


def activations(study: Study, progress: bool | Progress) -> Found:
    """Fig. 8: a coordinate from grey, and the images that activate it most and least."""
    grey = torch.full_like(study.samples(1).images, 0.5)
    runs, pictures = {}, {}
    facts: dict[str, Any] = {"coordinates": {}, "labels": {}, "values": {}}
    for name, model in study.both.items():
        chosen = study.coordinates(model, grey)
        found = most_activating(model, study.tested(), coordinates=chosen, k=3)
        runs[name] = study.made(
            name,
            visualize,
            model,
            coordinates=chosen,
            seeds=grey,
            seed=study.seed,
            progress=progress,
            **study.visualization(name),
        )
        facts["coordinates"][name] = chosen
        for end, extreme in (("most", found.most), ("least", found.least)):
            pictures[f"{name}-{end}"] = extreme.images.flatten(0, 1)
            facts["labels"][f"{name}-{end}"] = study.names(extreme.label)
            facts["values"][f"{name}-{end}"] = extreme.value.flatten().tolist()
    return Found(runs, facts, pictures)


def regularized(study: Study, progress: bool | Progress) -> Found:
    """Fig. 9, 10: what a regulariser makes of a standard model's coordinates, from noise."""
    start = noise(study.samples(1).images, seed=study.seed)
    fourier = {**FOURIER, "step_size": SPECTRUM_STEP * start.shape[-1] / PAPER_SIZE}
    wanted: list[tuple[str, str, Mapping[str, Any]]] = [
        ("robust", "no regulariser", {}),
        ("standard", "no regulariser", {}),
        ("standard", "jitter, rotation", MOVED),
        ("standard", "jitter, rotation, scale, Fourier, decorrelated colours", fourier),
    ]
    if "vgg" in study.models:
        wanted.append(("vgg", "jitter, rotation", MOVED))
    runs: dict[str, Synthesis] = {}
    facts: dict[str, Any] = {"start": "noise", "captions": {}, "names": {}}
    for role, words, regulariser in wanted:
        model, name = study.models[role], f"{role}-{len(runs)}"
        chosen = study.coordinates(model, start)
        runs[name] = study.made(
            name,
            visualize,
            model,
            coordinates=chosen,
            seeds=start,
            seed=study.seed,
            progress=progress,
            **study.visualization(name),
            **regulariser,
        )
        seen = study.predicted(model, runs[name].images)
        facts["names"][name] = f"{role}, {words}"
        facts["captions"][name] = [f"{i}: {label}" for i, label in zip(chosen, seen, strict=True)]
    return Found(runs, facts)


def additions(study: Study, progress: bool | Progress) -> Found:
    """Fig. 11, 23: raise one coordinate of each image until it leads."""
    images = study.samples(study.scale.images)
    runs: dict[str, Synthesis] = {}
    facts: dict[str, Any] = {"labels": list(images.names), "captions": {}}
    for name, model in study.both.items():
        chosen = study.coordinates(model, images.images)
        each = [chosen[i % len(chosen)] for i in range(len(images.images))]
        runs[name] = study.made(
            name,
            add_feature,
            model,
            images.images,
            each,
            seed=study.seed,
            progress=progress,
            **study.addition(name),
        )
        seen = study.predicted(model, runs[name].images)
        facts["captions"][name] = [f"{i}: {label}" for i, label in zip(each, seen, strict=True)]
    return Found(runs, facts)
