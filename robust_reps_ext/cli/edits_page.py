"""What the page shows of the commands that edit images: a section for each, of its newest run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import SHOWN
from .edited import Judged, about

if TYPE_CHECKING:
    from ..experiments.restoration import Nearer
    from .side_by_side import SideBySide

__all__ = ["write_section"]

SANTURKAR = "Santurkar et al. 2019"
TITLES = {
    "generate": ("generation", SANTURKAR, "Generation"),
    "translate": ("translation", SANTURKAR, "Translation"),
    "inpaint": ("inpainting", SANTURKAR, "Inpainting"),
    "upscale": ("superresolution", SANTURKAR, "Super-resolution"),
    "enhance": ("enhancement", "Gaziv et al. 2023", "Enhancement"),
}
"""Command -> the section's id, whose it is, and its title."""


def write_section(
    command: str, found: SideBySide[Any], judged: Mapping[str, Judged], near: Mapping[str, Nearer]
) -> Path:
    """Keep the first images of each network as a unit in --out, and write the page anew."""
    from ..experiments.paper.units import ORDER
    from ..models.loading import weights_digest
    from ..report.page import write_report
    from ..results.folder import digest_of
    from ..results.units import Found, Heading, keep
    from ..runtime.modules import digest

    common = found.made[0].common
    name, paper, title = TITLES[command]
    study = {
        "models": {
            one.name: {
                "name": Path(one.common.model[0]).name,
                "arch": str(one.common.network.card.get("arch", "")),
                "weights": weights_digest(one.common.network),
            }
            for one in found
        },
        "data": {"name": common.dataset or "images", "folder": str(common.data or "")},
        "seed": common.seed,
        "scale": {"images": common.n},
    }
    metadata = {**about(found, judged), "told": told(judged, near)}
    runs = found.runs(lambda one: one.run[:SHOWN])
    images = digest({role: run.images for role, run in runs.items()})
    made_with = {"digest": digest_of({**study, **metadata, "images": images}), "study": study}
    heading, unit = Heading(name, "edits", paper, title), Found(runs=runs, metadata=metadata)
    keep(common.out, heading, unit, made_with, common.printing, once=True)
    return write_report(common.out, ORDER, channels=common.channels)


def told(judged: Mapping[str, Judged], near: Mapping[str, Nearer]) -> str:
    """What came of it, in numbers: the judge's shares, and how near the truth it is."""
    said = []
    for name, seen in judged.items():
        low, high = seen.share.interval()
        said.append(
            f"The judge sees the class asked for in {seen.share.correct} of {seen.share.n} images "
            f"({name}; {100 * low:.0f} to {100 * high:.0f}%)."
        )
    for name, means in near.items():
        ends = "" if means.low is None else f" (95% interval {means.low:.3g} to {means.high:.3g})"
        said.append(
            f"Mean L2 distance to the truth, {name}: {means.start:.3g} at the start, "
            f"{means.result:.3g} at the end, changed by {means.change:.3g}{ends}."
        )
    return " ".join(said)
