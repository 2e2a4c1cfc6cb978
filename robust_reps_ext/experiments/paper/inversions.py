"""The paper's figures of section 4.1 and appendix A.5: images with a given representation."""

from __future__ import annotations

import torch
from torch import Tensor

from ...datasets.patterns import kaleidoscope
from ...results.plots import Line, curve_figure
from ...results.units import Found
from ...runtime.errors import InputError
from ...synthesis import Progress
from ...synthesis.settings import PAPER_SIZE, Options
from ..constrained import Curve, invert_within
from ..interpolation import interpolate
from ..inversion import invert
from .study import Study

__all__ = [
    "interpolations",
    "inversion_from_images",
    "inversion_from_noise",
    "inversion_of_kaleidoscopes",
    "inversion_of_strangers",
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
        return Found(facts={"skipped": str(error)})
    return _inversions(study, targets.images, list(targets.names), "noise", progress)


def within_radii(study: Study, progress: bool | Progress) -> Found:
    """Fig. 4, 5: how near R(x2) an image comes within a ball around x1."""
    n = study.scale.pairs
    targets, sources = study.samples(n), study.samples(n, skip=study.scale.images)
    scale = targets.images.shape[-1] / PAPER_SIZE
    radii = torch.tensor([radius * scale for radius in study.scale.radii])
    runs = {
        name: study.made(
            name,
            invert_within,
            model,
            targets.images,
            sources.images,
            radii=radii.tolist(),
            seed=study.seed,
            progress=progress,
            **study.inversion(name),
        )
        for name, model in study.both.items()
    }
    curves = {name: Curve.of(run, radii) for name, run in runs.items()}
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
    return Found(runs, facts, plot=lambda: curve_figure(radii, lines))


def interpolations(study: Study, progress: bool | Progress) -> Found:
    """Fig. 12, 17, 18: between two images by way of their representations."""
    n = study.scale.pairs
    left, right = study.samples(n), study.samples(n, skip=study.scale.images)
    runs = {
        name: study.made(
            name,
            interpolate,
            model,
            left.images,
            right.images,
            steps=study.scale.steps,
            seed=study.seed,
            progress=progress,
            **study.unbound(name, left.images),
        )
        for name, model in study.both.items()
    }
    facts = {
        "weights": torch.linspace(0, 1, study.scale.steps + 1).tolist(),
        "left": list(left.names),
        "right": list(right.names),
    }
    return Found(runs, facts)


def _inversions(
    study: Study,
    targets: Tensor,
    labels: list[str],
    start: str | Tensor,
    progress: bool | Progress,
    *,
    frames: int | None = None,
) -> Found:
    runs = {}
    for name, model in study.both.items():
        options: Options = {**study.unbound(name, targets), "frames": frames}
        runs[name] = study.made(
            name,
            invert,
            model,
            targets,
            start=start,
            seed=study.seed,
            progress=progress,
            **options,
        )
    return Found(runs, {"labels": labels, "start": start if isinstance(start, str) else "images"})
