"""What each section of the page shows, from the files of its unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..results.figures import Channels, as_colors
from ..results.synthesis import Synthesis
from ..results.units import FinishedUnit
from .cells import Images, trace
from .grids import curve, grid, interpolation
from .scorecard import scorecard_rows
from .walls import walls

__all__ = ["Sections", "sections"]

PAPER = {
    "Restricted ImageNet": {
        "vgg": (0.9822, 0.0217),
        "standard": (0.9801, 0.0474),
        "robust": (0.9239, 0.8191),
    },
    "ImageNet": {
        "vgg": (0.7336, 0.0035),
        "standard": (0.7613, 0.0013),
        "robust": (0.5790, 0.3516),
    },
}
"""Tables 4 and 5: clean accuracy, and accuracy under PGD-20 at eps 3, as published."""

LEADS = {
    "fig6": (
        "Only R(x) of each target is known, and gradient descent begins with noise. The paper: a "
        "robust network's R(x) holds enough to draw its input again.",
        "Look for the animal, its colours and its stripes in the robust row, and play the descent.",
    ),
    "fig3": (
        "The same from another image. The paper: what a standard network takes for the target "
        "still looks like the start.",
        "Look in its row for the start's outline, and in the robust row for the target's.",
    ),
    "fig14": (
        "Patterns unlike anything that either network was trained on. The paper: what R(x) holds "
        "is more than the task asks for.",
        "Look for their colours and bright fields.",
    ),
    "fig14b": (
        "Images of things that no network here was trained on. The paper: even these can be "
        "recognised from a robust R(x).",
        "Look for large shapes and colours in their place.",
    ),
    "fig4": (
        "How near R(x) comes to R(target) within an L2 ball around the source. The paper: for a "
        "robust network the ball must be far larger than the one it was trained against.",
        "Look how late its line falls, and at what changes in the images as it does.",
    ),
    "fig7": (
        "What raises a single coordinate of R(x). The paper: in a robust network it looks the "
        "same from every start.",
        "Choose a coordinate and compare its row of results.",
    ),
    "fig8": (
        "A coordinate, and the images that activate it most and least.",
        "Look whether they share what the visualisation shows.",
    ),
    "fig9": (
        "Coordinates of a standard network with the regularisers of feature visualisation, from "
        "noise; above, a robust network without any. The paper: they make pictures smoother, and "
        "not clearer.",
        "Look whether a regularised row says more than the plain one.",
    ),
    "fig11": (
        "One coordinate is raised until it exceeds all others; under each image stand the "
        "coordinate and the class that the network now sees. The paper: a robust network paints "
        "the feature into the image and leaves the rest.",
        "Look what was added, and what became of the animal.",
    ),
    "fig12": (
        "Images that match a mixture of two representations, beside the mixture of pixels. The "
        "paper: a robust network's change from one animal into the other.",
        "Look for ghosts, both ends at once, as in the pixel blend.",
    ),
    "scorecard": (
        "Each claim of the paper, told by numbers with 95% bootstrap intervals over seeds and "
        "images. A claim separates where the intervals share no point.",
        "",
    ),
    "tables": (
        "What robustness costs and gives: the share of right predictions on clean and on attacked "
        "images, with 95% Wilson intervals, beside the paper's numbers.",
        "",
    ),
}
"""What is done and what the paper says of it; and what to look for."""


@dataclass
class Sections:
    """The sections of the page, and the loss traces behind its images.

    Attributes
    ----------
    sections
        One mapping each, as the template of its kind reads it.
    traces
        Run -> what `cells.trace` returns.
    """

    sections: list[dict[str, Any]] = field(default_factory=list)
    traces: dict[str, Any] = field(default_factory=dict)


def sections(
    units: Sequence[FinishedUnit], encode: Images, channels: Channels | None = None
) -> Sections:
    """Read the units; Fig. 8 goes into the section of Fig. 7. Leads say what channels are shown."""
    page = Sections()
    kept = {str(unit.manifest["id"]): unit for unit in units}
    for name, unit in kept.items():
        about = unit.manifest
        if about["kind"] == "activations" and "fig7" in kept:
            continue
        runs = {run: Synthesis.load(unit.path / f"{run}.safetensors") for run in about["runs"]}
        for run, synthesis in runs.items():
            page.traces[f"{name}-{run}"] = trace(synthesis, encode)
        section = {key: about[key] for key in ("id", "kind", "numbers", "title", "metadata")}
        section["lead"], section["look"] = LEADS.get(name, ("", ""))
        for synthesis in list(runs.values())[:1]:
            said = as_colors(synthesis.images, channels)[1]
            section["lead"] += f" Of the images {said} are shown." if said else ""
        if "skipped" in about["metadata"]:
            section["kind"] = "skipped"
        elif about["kind"] == "features":
            section |= walls(name, runs, about["metadata"], encode, kept.get("fig8"))
        elif about["kind"] == "activations":
            section |= walls(name, runs, about["metadata"], encode, unit) | {"kind": "features"}
        elif about["kind"] == "interpolation":
            section |= interpolation(name, runs, about["metadata"], encode)
        elif about["kind"] == "curve":
            section |= curve(name, runs, about["metadata"], encode)
        elif about["kind"] == "scorecard":
            section["rows"] = scorecard_rows(about["metadata"])
        elif about["kind"] == "table":
            section["paper"] = PAPER
        else:
            section |= grid(name, runs, about["metadata"], encode)
        page.sections.append(section)
    return page
