"""What each section of the page shows, from the files of its unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from ..experiments.paper import FinishedUnit
from ..result import Synthesis
from .chart import curve_chart

__all__ = ["Images", "Sections", "sections"]

Images = Callable[[Tensor], list[str]]
"""Images (N, C, H, W) in [0, 1] -> N data URIs."""

PAPER = {
    "Table 4, Restricted ImageNet": {
        "vgg": (0.9822, 0.0217),
        "standard": (0.9801, 0.0474),
        "robust": (0.9239, 0.8191),
    },
    "Table 5, ImageNet": {
        "vgg": (0.7336, 0.0035),
        "standard": (0.7613, 0.0013),
        "robust": (0.5790, 0.3516),
    },
}
"""Clean accuracy, and accuracy under PGD-20 at eps 3, as published."""

LEADS = {
    "fig6": "Only R(x) of each target is known. Gradient descent starts from noise and looks for "
    "an image with the same R(x).",
    "fig3": "The same, starting from another image of the data set.",
    "fig14": "Targets unlike anything that either network was trained on.",
    "fig2": "An image that still looks like the source, and that the standard network represents "
    "almost as it does the target.",
    "fig4": "The smallest relative distance to R(target) within an L2 ball around the source; "
    "bands are 95% bootstrap intervals of the mean over pairs.",
    "fig7": "What raises a single coordinate of R(x). Choose one to see it from every seed.",
    "fig11": "One coordinate is raised until it exceeds all others. Under each image: the "
    "coordinate, and the class the network now sees.",
    "fig12": "Images that match a mixture of two representations, beside the mixture of pixels.",
    "tables": "Share of right predictions, with 95% Wilson intervals.",
}


@dataclass
class Sections:
    """The sections of the page, and the loss traces behind its images.

    Attributes
    ----------
    sections
        One mapping each, as the template reads it.
    traces
        Run -> steps, values (one list for each image), and settings as text.
    """

    sections: list[dict[str, Any]] = field(default_factory=list)
    traces: dict[str, Any] = field(default_factory=dict)


def sections(units: Sequence[FinishedUnit], encode: Images) -> Sections:
    """Read the units; Fig. 8 goes into the section of Fig. 7."""
    page = Sections()
    kept = {str(unit.manifest["id"]): unit for unit in units}
    for name, unit in kept.items():
        about = unit.manifest
        if about["kind"] == "activations" and "fig7" in kept:
            continue
        runs = {run: Synthesis.load(unit.path / f"{run}.safetensors") for run in about["runs"]}
        for run, synthesis in runs.items():
            page.traces[f"{name}-{run}"] = _trace(synthesis)
        section = {key: about[key] for key in ("id", "kind", "numbers", "title", "facts")}
        section["lead"] = LEADS.get(name, "")
        if about["kind"] in ("features", "activations"):
            beside = kept.get("fig8") if about["kind"] == "features" else unit
            section |= _features(name, runs, about["facts"], encode, beside)
        elif about["kind"] == "interpolation":
            section |= _interpolation(name, runs, about["facts"], encode)
        elif about["kind"] == "curve":
            section |= _curve(name, runs, about["facts"], encode)
        elif about["kind"] == "table":
            section["paper"] = PAPER
        else:
            section["rows"] = _grid(name, runs, about["facts"], encode)
        page.sections.append(section)
    return page


def _grid(
    unit: str, runs: Mapping[str, Synthesis], facts: Mapping[str, Any], encode: Images
) -> list[dict[str, Any]]:
    """Rows of cells: target, start, and what each model made."""
    first = next(iter(runs.values()))
    labels = facts["labels"]
    rows = []
    if first.target_images is not None:
        rows.append(_row("target", encode(first.target_images), labels))
        rows.append(_row("start", encode(first.start), [""] * len(first)))
    else:
        rows.append(_row("image", encode(first.start), labels))
    for run, synthesis in runs.items():
        captions = [f"{value:.2f}" for value in synthesis.objective.tolist()]
        if "predicted" in facts:
            captions = [
                f"{coordinate}: {label}"
                for coordinate, label in zip(
                    facts["coordinates"][run], facts["predicted"][run], strict=True
                )
            ]
        rows.append(_row(run, encode(synthesis.images), captions, f"{unit}-{run}"))
    return rows


def _curve(
    unit: str, runs: Mapping[str, Synthesis], facts: Mapping[str, Any], encode: Images
) -> dict[str, Any]:
    """The curve of Fig. 4, and for each pair the images of Fig. 5."""
    radii, n = facts["radii"], len(facts["labels"])
    encoded = {run: encode(synthesis.images) for run, synthesis in runs.items()}
    first = next(iter(runs.values()))
    pairs = []
    for i in range(n):
        rows = []
        for run, synthesis in runs.items():
            chosen = range(i, n * len(radii), n)
            captions = [f"{float(synthesis.objective[j]):.2f}" for j in chosen]
            images = [encoded[run][j] for j in chosen]
            rows.append(_row(run, images, captions, f"{unit}-{run}", list(chosen)))
        ends = encode(first.start[i : i + 1]), encode(_targets(first)[i : i + 1])
        pairs.append({"source": ends[0][0], "target": ends[1][0], "rows": rows})
    return {"chart": curve_chart(radii, facts["lines"]), "pairs": pairs}


def _targets(synthesis: Synthesis) -> Tensor:
    return synthesis.start if synthesis.target_images is None else synthesis.target_images


def _interpolation(
    unit: str, runs: Mapping[str, Synthesis], facts: Mapping[str, Any], encode: Images
) -> dict[str, Any]:
    """For each pair a row of each model and the pixel blend."""
    steps = len(facts["weights"])
    encoded = {run: encode(synthesis.images) for run, synthesis in runs.items()}
    blend = encode(next(iter(runs.values())).start)
    pairs = []
    for i, (left, right) in enumerate(zip(facts["left"], facts["right"], strict=True)):
        chosen = list(range(i * steps, (i + 1) * steps))
        rows = []
        for run, synthesis in runs.items():
            captions = [f"{float(synthesis.objective[j]):.2f}" for j in chosen]
            images = [encoded[run][j] for j in chosen]
            rows.append(_row(run, images, captions, f"{unit}-{run}", chosen))
        rows.append(_row("pixel blend", [blend[j] for j in chosen], [""] * steps))
        pairs.append({"left": left, "right": right, "rows": rows})
    return {"pairs": pairs}


def _features(
    unit: str,
    runs: Mapping[str, Synthesis],
    facts: Mapping[str, Any],
    encode: Images,
    beside: FinishedUnit | None,
) -> dict[str, Any]:
    """For each model its coordinates: every seed, and the images that activate them."""
    extremes = _extremes(beside, encode)
    models = []
    for run, synthesis in runs.items():
        coordinates = facts["coordinates"][run]
        k, images = len(coordinates), encode(synthesis.images)
        seeds = len(images) // k
        starts = encode(synthesis.start[::k])
        wall = []
        for i, coordinate in enumerate(coordinates):
            chosen = range(i, seeds * k, k)
            predicted = [facts["predicted"][run][j] for j in chosen] if "predicted" in facts else ()
            wall.append(
                {
                    "coordinate": coordinate,
                    "row": _row(
                        "result",
                        [images[j] for j in chosen],
                        list(predicted) or [""] * seeds,
                        f"{unit}-{run}",
                        list(chosen),
                    ),
                    "extremes": extremes.get((run, coordinate), []),
                }
            )
        models.append({"name": run, "seeds": _row("seed", starts, [""] * seeds), "wall": wall})
    return {"models": models}


def _extremes(unit: FinishedUnit | None, encode: Images) -> dict[tuple[str, int], Any]:
    """(model, coordinate) -> rows of the most and least activating images."""
    found: dict[tuple[str, int], Any] = {}
    if unit is None:
        return found
    facts = unit.manifest["facts"]
    for picture in unit.manifest["pictures"]:
        run, end = picture.rsplit("-", 1)
        images = encode(load_file(unit.path / "pictures" / f"{picture}.safetensors")["images"])
        coordinates = facts["coordinates"][run]
        k = len(images) // len(coordinates)
        for i, coordinate in enumerate(coordinates):
            part = slice(i * k, (i + 1) * k)
            captions = [
                f"{value:.2f}: {label}"
                for value, label in zip(
                    facts["values"][picture][part], facts["labels"][picture][part], strict=True
                )
            ]
            row = _row(f"{end} activating", images[part], captions)
            found.setdefault((run, coordinate), []).append(row)
    return found


def _row(
    name: str,
    images: Sequence[str],
    captions: Sequence[str],
    run: str = "",
    positions: Sequence[int] | None = None,
) -> dict[str, Any]:
    """A row of cells; `run` and position say which trace is behind each."""
    places = range(len(images)) if positions is None else positions
    cells = [
        {"src": src, "caption": caption, "run": run, "position": place}
        for src, caption, place in zip(images, captions, places, strict=True)
    ]
    return {"name": name, "cells": cells}


def _trace(synthesis: Synthesis) -> dict[str, Any]:
    """The loss of each image and how it was run."""
    settings = dict(synthesis.settings)
    eps = settings.pop("eps")
    step = settings.pop("step_size")
    n = len(synthesis)
    return {
        "steps": [int(step) for step in synthesis.trace_steps.tolist()],
        "values": [[round(v, 4) for v in column] for column in synthesis.trace.T.tolist()],
        "eps": _each(eps, n),
        "step_size": _each(step, n),
        "iterations": settings["iterations"],
        "precision": settings["precision"],
        "objective": str(settings["objective"]).replace("_", " "),
    }


def _each(value: Any, n: int) -> list[float]:
    return [round(float(v), 3) for v in (value if isinstance(value, list) else [value] * n)]
