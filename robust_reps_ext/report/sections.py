"""What each section of the page shows, from the files of its unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from safetensors.torch import load_file
from torch import Tensor

from ..results.figures import Channels, as_colors
from ..results.layouts import panels
from ..results.plots import attacked_at
from ..results.synthesis import Synthesis
from ..results.units import FinishedUnit
from .cells import Images, shown, trace
from .grids import curve_chart
from .metamers import metamers_tables
from .methods import method, outcome, unsettled
from .scorecard import scorecard_rows

__all__ = ["Sections", "pair_of", "sections"]

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

EPS, SIDE = 3.0, 224
DISTANCES = ("grid", "pairs", "curve", "interpolation")
"""Figures under whose images stand distances to the target."""

LEADS = {
    "fig6": (
        "Only R(x) of each target is known, and the search begins with noise. The paper: images "
        "with similar robust representations are semantically similar, also where the target is of "
        "no class that the network was trained on; a standard network's inverses mean nothing.",
        "Compare each row with the targets, in shape, colour and texture, and play the descent.",
    ),
    "fig2": (
        "From the image x1 the search looks for an image x1' with nearly the representation of x2. "
        "The paper: for a standard network it is straightforward to find pairs (x1', x2) that "
        "appear completely different; x1' tends to look nearly identical to x1.",
        "Look for anything of x2 in x1'.",
    ),
    "fig3": (
        "The same from another image. The paper: the robust network's result is perceptually "
        "similar to the target in high-level features, though it does not match it exactly; the "
        "standard network's often looks more similar to the source.",
        "Look in both rows for the outline of the source, and for that of the target.",
    ),
    "fig14": (
        "Patterns unlike anything that either network was trained on. The paper: the reconstructed "
        "images consistently resemble the targets, so robust representations capture general "
        "features, and not only those of the task.",
        "Compare each row with the patterns, in colours and bright fields.",
    ),
    "fig14b": (
        "Images of things that no network here was trained on. The paper: the reconstructed images "
        "consistently resemble the targets.",
        "Compare each row with the targets: large shapes, and colours in their place.",
    ),
    "fig4": (
        "How near R(x) comes to R(target) within an L2 ball around the source. The paper: a robust "
        "network does not come close until the ball is very large, much larger than the "
        "perturbations it was trained against; a standard one does without moving far. Also where "
        "the ball is small, salient features of the target arise.",
        "Look where each line falls, and at what changes in the images as it does.",
    ),
    "fig7": (
        "What raises a single coordinate of R(x): rows are the seeds it began from, columns the "
        "coordinates; under each image stands the class that the network sees in it. The paper: "
        "coordinates of a robust network consistently represent the same concepts across starting "
        "points; a standard one's results often look meaningless, or like the start.",
        "Compare the images of a column.",
    ),
    "fig8": (
        "Coordinates of the robust network: what maximises each from a grey image, and the images "
        "that activate it most and least, with its value; where it is 0 in more images than there "
        "is room for, the first of them. The paper: the concepts consistently appear in the inputs "
        "that most strongly activate the coordinate.",
        "Look whether the most activating images share what the first one shows.",
    ),
    "fig9": (
        "Coordinates of standard networks with the regularisers of feature visualisation, from "
        "noise, and two baselines of later papers, with as many steps each; above, a robust "
        "network without any. The paper: regularisation does improve the "
        "visual quality, but the components still cannot be shown to correspond to any "
        "recognizable high-level feature.",
        "Look whether a regularised row looks better than the plain one, and what it shows.",
    ),
    "fig11": (
        "One coordinate is raised in all images of a row, in each until it exceeds all other "
        "coordinates; under each image stands whether it did, and after how many steps. The paper: "
        "the feature is introduced seamlessly, and stopping early preserves the content.",
        "Look what was added, and whether it is the same in each image of a row.",
    ),
    "fig12": (
        "Images that match a mixture of two representations, beside the mixture of pixels that "
        "they start from. The paper: a robust network's are perceptually plausible, without the "
        "ghosting of the pixels' mixture; a standard one's are visibly similar to that mixture.",
        "Look in each row for ghosts, both ends at once, as in the pixel blend.",
    ),
    "scorecard": (
        "Each claim of the paper, told by numbers with 95% bootstrap intervals over seeds and "
        "images. A number separates the models where their intervals share no point.",
        "",
    ),
    "ladder": (
        "Images that a layer takes for the targets, from noise (Feather, Leclerc, Mądry and "
        "McDermott 2023). A success is more like its target, to its layer, than every pair of "
        "different images, and the network sees the same class in it.",
        "Look at which depth the targets are still to be recognised.",
    ),
    "generation": (
        "From a random start, images go towards a class (Santurkar et al. 2019). Under each result "
        "stands the class that the judge sees in it, or without a judge the network itself.",
        "Compare each row with the classes above the starts.",
    ),
    "translation": (
        "Images go towards another class (Santurkar et al. 2019). Under each result stands the "
        "class that the judge sees in it, or without a judge the network itself.",
        "Look what of each image is kept, and what of the class has come in.",
    ),
    "inpainting": (
        "Only the pixels of a hole go towards a class (Santurkar et al. 2019); all others are the "
        "target's.",
        "Compare what fills each hole with the target.",
    ),
    "superresolution": (
        "Enlarged images go towards the class that the network takes them for (Santurkar et al. "
        "2019).",
        "Compare each result with its target, and with the start above it.",
    ),
    "enhancement": (
        "Within a small radius the class of each image is raised, or lowered (Gaziv et al. 2023, "
        "Talbot et al. 2025). Under each result stands the class that the judge sees in it, or "
        "without a judge the network itself.",
        "Compare each result with the image above it: what is plainer, and whether you would know "
        "it for changed.",
    ),
    "tables": (
        "What robustness costs and gives: the share of right predictions on clean and on attacked "
        "images, with 95% Wilson intervals.",
        "",
    ),
}
"""What is done and, from "The paper:" on, what the paper found; and what to look at."""
THE_PAPER = " The paper: "


CLAIMS = {
    "fig6": "Inversion",
    "fig2": "From another image",
    "fig3": "From another image",
    "fig4": "Distance",
    "fig7": "Features",
    "fig11": "Addition",
    "fig12": "Interpolation",
}
"""Figure -> the claim of the scorecard that it shows."""

SUFFIXES = (".png", ".pdf", ".svg", ".safetensors", ".csv", ".h5", ".json")


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
    """Read the units. Leads say what channels are shown."""
    page = Sections()
    for unit in units:
        about = unit.manifest
        name, kind, metadata = str(about["id"]), str(about["kind"]), about["metadata"]
        runs = {run: Synthesis.load(unit.path / f"{run}.safetensors") for run in about["runs"]}
        for run, synthesis in runs.items():
            page.traces[f"{name}-{run}"] = trace(synthesis, encode)
        kept = ("id", "kind", "numbers", "title", "metadata", "study")
        section = {key: about[key] for key in kept}
        lead, section["look"] = LEADS.get(name.removeprefix("photographs-"), ("", ""))
        section["lead"], _, section["theirs"] = lead.partition(THE_PAPER)
        for synthesis in list(runs.values())[:1]:
            said = as_colors(synthesis.images, channels)[1]
            section["lead"] += f" Of the images {said} are shown." if said else ""
        section |= {
            "found": outcome(kind, runs, metadata),
            "method": method(runs, metadata),
            "unsettled": "" if kind == "edits" else unsettled(runs),
            "verdicts": _verdicts(units, unit),
            "files": _files(unit),
        }
        if "skipped" in metadata:
            section["kind"] = "skipped"
        elif kind == "scorecard":
            section["rows"] = scorecard_rows(metadata)
        elif kind == "table":
            section |= {"paper": PAPER, "harder": _harder(about)}
        else:
            section["panels"] = shown(panels(kind, runs, metadata, _pictures(unit)), name, encode)
            section["frames"] = any(one.frames is not None for one in runs.values())
            section["distances"] = kind in DISTANCES and "captions" not in metadata
            if kind == "curve":
                section["chart"] = curve_chart(
                    metadata["radii"], metadata["lines"], attacked_at(metadata)
                )
            elif kind == "metamers":
                section["tables"] = metamers_tables(metadata)
            elif kind != "interpolation":
                section["kind"] = "panels"
        page.sections.append(section)
    return page


def _verdicts(units: Sequence[FinishedUnit], unit: FinishedUnit) -> list[tuple[str, str]]:
    """What the scorecard of the same two networks says of the claim that a figure is about."""
    claim = CLAIMS.get(str(unit.manifest["id"]))
    return [
        (measure["name"], measure["verdict"])
        for other in units
        if other.manifest["kind"] == "scorecard" and pair_of(other) == pair_of(unit)
        for one in other.manifest["metadata"]["claims"]
        if one["name"] == claim
        for measure in one["measures"]
        if measure["verdict"]
    ]


def pair_of(unit: FinishedUnit) -> list[Any]:
    """The weights of the two networks that a unit compares; None where it does not say."""
    models = unit.manifest["study"].get("models", {})
    return [models.get(role, {}).get("weights") for role in ("robust", "standard")]


def _files(unit: FinishedUnit) -> list[tuple[str, str]]:
    """Its pictures and data: what they are called, and where they are from the page."""
    found = [path for path in unit.path.iterdir() if path.suffix in SUFFIXES]
    found.sort(key=lambda path: (SUFFIXES.index(path.suffix), path.name))
    return [(path.name, quote(f"../{unit.path.name}/{path.name}")) for path in found]


def _pictures(unit: FinishedUnit) -> dict[str, Tensor]:
    return {
        name: load_file(unit.path / "pictures" / f"{name}.safetensors")["images"]
        for name in unit.manifest["pictures"]
    }


def _harder(about: Mapping[str, Any]) -> float:
    """How many times the paper's radius, brought to the size of the images, the tables' is."""
    side = about["study"].get("data", {}).get("side", SIDE)
    return float(about["metadata"]["eps"]) / (EPS * side / SIDE)
