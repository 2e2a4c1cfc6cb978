"""The figures and tables of the paper: each a function from a study to what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...datasets.patterns import kaleidoscope
from ...models.cards import card_of
from ...models.representation import representation
from ...results.plots import attacked_at, curve_figure
from ...results.synthesis import Synthesis
from ...results.units import Found
from ...synthesis import Progress, noise
from ...synthesis.settings import Options, at_size
from ..activations import most_activating
from ..addition import add_feature, outcomes
from ..constrained import Curve, invert_within
from ..interpolation import interpolate
from ..inversion import invert
from ..pairs import near_pairs
from ..visualization import visualize
from .study import LOOKED_AT, Study

__all__ = [
    "activations",
    "additions",
    "features",
    "interpolations",
    "inversion_from_images",
    "inversion_from_noise",
    "inversion_of_kaleidoscopes",
    "pairs_of_images",
    "regularized",
    "within_radii",
]


def inversion_from_noise(study: Study, progress: bool | Progress) -> Found:
    """Fig. 6, 13b, 14b, 15: only R(x) is known, of the data's images and of others."""
    n = study.scale.images
    known = study.samples(n)
    if study.own_images:  # of which nobody says what is like them
        told = {"labels": list(known.names), "start": "noise"}
        return _inversions(study, known.images, "noise", told, progress, frames=12)
    strange, kind = study.strangers(n)
    targets = torch.cat([known.images, strange.images])
    metadata = {
        "labels": [*known.names, *strange.names],
        "start": "noise",
        "kinds": [["Test set", n], [f"Out-of-distribution: {kind}", len(strange.images)]],
    }
    return _inversions(study, targets, "noise", metadata, progress, frames=12)


def pairs_of_images(study: Study, progress: bool | Progress) -> Found:
    """Fig. 2: images that a standard network represents almost equally, and that look different."""
    n = study.scale.pairs
    targets, sources = study.samples(n), study.others(n)
    run = study.made(
        "standard",
        near_pairs,
        targets.images,
        sources=sources.images,
        progress=progress,
        **study.unbound("standard", targets.images),
    )
    return Found({"standard": run}, {"labels": list(targets.names), "sources": list(sources.names)})


def inversion_from_images(study: Study, progress: bool | Progress) -> Found:
    """Fig. 3, 13a, 16: from another image."""
    targets = study.samples(study.scale.images)
    sources = study.others(study.scale.images)
    metadata = {
        "labels": list(targets.names),
        "sources": list(sources.names),
        "start": "images",
    }
    return _inversions(study, targets.images, sources.images, metadata, progress)


def inversion_of_kaleidoscopes(study: Study, progress: bool | Progress) -> Found:
    """Fig. 14a: patterns, unlike anything in the data."""
    like = study.samples(1).images
    drawn = kaleidoscope(study.scale.images, size=like.shape[-1], seed=study.seed)
    return _inversions(study, drawn, "noise", {"start": "noise"}, progress)


def within_radii(study: Study, progress: bool | Progress) -> Found:
    """Fig. 4, 5: how near R(x2) an image comes within a ball around x1."""
    n = study.scale.pairs
    targets, sources = study.samples(n), study.others(n)
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
    lines = [curve.line(name) for name, curve in curves.items()]
    against = card_of(study.models["robust"]).get("attack", {})
    known = against.get("constraint") == "2"
    metadata = {
        "radii": radii.tolist(),
        "mark": {
            "radius": against["eps"] if known else study.eps,
            "is": "trained against" if known else "attack of the table of accuracies",
        },
        "labels": list(targets.names),
        "shown": study.shown_radii(),
        "pairs": n,
        "lines": [
            {
                "name": line.label,
                **{
                    end: None if values is None else values.tolist()
                    for end in ("y", "low", "high")
                    for values in [getattr(line, end)]
                },
            }
            for line in lines
        ],
    }
    return Found(
        runs,
        metadata,
        plot=lambda: curve_figure(radii, lines, attacked_at(metadata)),
        images_as="fig5",
    )


def interpolations(study: Study, progress: bool | Progress) -> Found:
    """Fig. 12, 17, 18: between two images by way of their representations."""
    n = study.scale.pairs
    left, right = study.samples(n), study.others(n)
    # No image lies in the middle: a faster search fills those it finds with saturated colours,
    # for the last hundredths of a distance that stays large.
    steady: Options = {"schedule": "paper", "step_size": None}
    runs = {
        name: study.made(
            name,
            interpolate,
            left.images,
            right.images,
            steps=study.scale.steps,
            progress=progress,
            **{**study.inversion(name), **steady},
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
    start: str | Tensor,
    metadata: Mapping[str, Any],
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
    return Found(runs, metadata)


MOVED: Mapping[str, Any] = {"transform": "jitter,rotate"}
FOURIER: Mapping[str, Any] = {
    "transform": "jitter,rotate,scale",
    "parameterization": "fourier",
}
"""Of Fig. 10, and of the article that Fig. 9 is taken from."""

ROBUST = "robust"
SELECTED = "robust-selected"
PLAIN = "no regulariser"
MACO = "phase alone, Fel et al. 2023"
RESOLUTIONS = "several resolutions, Fort and Whitaker 2025"
FIRST = 4
TITLES = (
    "For comparison, {}: random coordinates",
    "Figure 9, {}: random coordinates",
    "Figure 10, {}: the first coordinates",
    "Beside the paper, {}: random coordinates by later baselines, with as many steps",
)

SPECTRUM_STEP = 3.5
"""At 224 pixels, on the spectrum: with it colours are as strong as those of the pixels."""


def features(study: Study, progress: bool | Progress) -> Found:
    """Fig. 7, 19 to 22: what maximises single coordinates, from noise and from images.

    Random ones of each model, and of the robust one also those that were asked for (Fig. 20).
    """
    images = study.samples(study.scale.seeds - 1)
    seeds = torch.cat([noise(images.images[:1], seed=study.seed), images.images])
    chosen = {name: study.coordinates(model, seeds) for name, model in study.compared.items()}
    names = {name: f"{name}: random coordinates" for name in chosen}
    if study.selected:
        first, *others = chosen
        chosen = {first: chosen[first], SELECTED: list(study.selected)} | {
            name: chosen[name] for name in others
        }
        names[SELECTED] = "robust: selected coordinates"
    runs = {
        name: study.made(
            name,
            visualize,
            coordinates=numbers,
            seeds=seeds,
            progress=progress,
            **study.visualization(name),
        )
        for name, numbers in chosen.items()
    }
    metadata = {
        "coordinates": chosen,
        "names": names,
        "predicted": {
            name: study.predicted(study.model_of(name), run.images) for name, run in runs.items()
        },
        "seeds": ["noise", *images.names],
    }
    return Found(runs, metadata)


def activations(study: Study, progress: bool | Progress) -> Found:
    """Fig. 8: a coordinate of the robust model from grey, and what activates it most and least."""
    grey = torch.full_like(study.samples(1).images, 0.5)
    chosen = study.coordinates(study.models[ROBUST], grey)
    images = study.tested(least=LOOKED_AT)
    found = most_activating(study.models[ROBUST], images, coordinates=chosen, k=3)
    run = study.made(
        ROBUST,
        visualize,
        coordinates=chosen,
        seeds=grey,
        progress=progress,
        **study.visualization(ROBUST),
    )
    ends = {f"{ROBUST}-most": found.most, f"{ROBUST}-least": found.least}
    metadata = {
        "coordinates": {ROBUST: chosen},
        "labels": {name: study.names(end.label) for name, end in ends.items()},
        "values": {name: end.value.flatten().tolist() for name, end in ends.items()},
    }
    pictures = {name: end.images.flatten(0, 1) for name, end in ends.items()}
    return Found({ROBUST: run}, metadata, pictures)


def regularized(study: Study, progress: bool | Progress) -> Found:
    """Fig. 9, 10: what regularisers make of standard models' coordinates, from noise.

    Fig. 9 has random coordinates of GoogLeNet, Fig. 10 the first four of the VGG; where these
    networks are not given, those of the standard one. Two baselines of later papers follow, with
    as many steps, for the coordinates of Fig. 9.
    """
    start = noise(study.samples(1).images, seed=study.seed)
    length = {"step_size": at_size(SPECTRUM_STEP, start)}
    fourier = {**FOURIER, **length}
    natural = study.samples(study.scale.images).images
    later: list[tuple[str, Mapping[str, Any]]] = [
        (MACO, {"parameterization": "maco", "natural": natural, **length}),
        (RESOLUTIONS, {"parameterization": "multi-resolution", **length}),
    ]
    ninth, tenth = study.given("googlenet"), study.given("vgg")
    random = {name: study.coordinates(study.models[name], start) for name in (ROBUST, ninth)}
    size = representation(study.models[tenth], start).shape[1]
    first = list(range(min(FIRST, size)))
    wanted: list[tuple[str, list[int], list[tuple[str, Mapping[str, Any]]]]] = [
        (ROBUST, random[ROBUST], [(PLAIN, {})]),
        (ninth, random[ninth], [(PLAIN, {}), ("jitter, rotation, scale, Fourier", fourier)]),
        (tenth, first, [(PLAIN, {}), ("jitter, rotation", MOVED)]),
        (ninth, random[ninth], later),
    ]
    runs: dict[str, Synthesis] = {}
    described = []
    for (role, chosen, rows), title in zip(wanted, TITLES, strict=True):
        shown = []
        for words, regulariser in rows:
            name = f"{role}-{len(runs)}"
            runs[name] = study.made(
                name,
                visualize,
                coordinates=chosen,
                seeds=start,
                progress=progress,
                **study.visualization(name),
                **regulariser,
            )
            seen = study.predicted(study.models[role], runs[name].images)
            shown.append({"run": name, "label": words, "predicted": seen})
        described.append({"title": title.format(role), "coordinates": chosen, "rows": shown})
    return Found(runs, {"panels": described})


def additions(study: Study, progress: bool | Progress) -> Found:
    """Fig. 11, 23: raise one coordinate of all images until it leads; a selected, a random one."""
    images = study.samples(study.scale.images)
    runs: dict[str, Synthesis] = {}
    metadata: dict[str, Any] = {"additions": {}}
    for how, (coordinate, why) in study.leading_pair(ROBUST).items():
        name = f"{ROBUST}-{how}"
        runs[name] = study.made(
            name,
            add_feature,
            images.images,
            coordinate,
            progress=progress,
            **study.addition(name),
        )
        metadata["additions"][name] = {
            "title": f"coordinate {coordinate} ({why})",
            "labels": list(images.names),
            "said": outcomes(study.models[ROBUST], runs[name], coordinate),
        }
    return Found(runs, metadata)
