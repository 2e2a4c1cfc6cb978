"""What the scorecard says, on the disk and as a figure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.folder import digest_of, write_json
from ...results.plots import Line, shares_figure
from ...results.units import FinishedUnit, Found, Heading, keep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PAIR", "Scorecard"]

PAIR = ("robust", "standard")

HEADING = Heading("scorecard", "scorecard", "Scorecard", "The claims, tested")


@dataclass(frozen=True)
class Scorecard:
    """What became of each claim.

    Attributes
    ----------
    claims
        One mapping each, as JSON holds it: name, section, statement, and measures with the
        numbers of both models, their difference, what chance gives, and the verdict.
    left_out
        The measures that were not taken, and why.
    made_with
        Models, data, seeds and amounts.
    """

    claims: Sequence[Mapping[str, Any]]
    left_out: Mapping[str, str]
    made_with: Mapping[str, Any]

    def verdicts(self) -> dict[str, str]:
        """Measure -> verdict, see `statistics.VERDICTS`."""
        return {
            one["name"]: one["verdict"]
            for claim in self.claims
            for one in claim["measures"]
            if one["verdict"] is not None
        }

    def save(self, out: str | os.PathLike[str]) -> FinishedUnit:
        """Write ``OUT/scorecard.json``, and what `report.page.write_report` makes a page of.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        metadata = {"claims": self.claims, "left_out": self.left_out}
        study = dict(self.made_with)
        told = {key: study[key] for key in ("seeds", "judge_right")}
        found = Found(metadata={**metadata, **told}, plot=self.figure)
        unit = keep(Path(out), HEADING, found, {"digest": digest_of(study), "study": study})
        write_json(Path(out, "scorecard.json"), {**metadata, "made_with": study})
        return unit

    def figure(self) -> Figure:
        """The shares of both models with their intervals."""
        rows = [one for claim in self.claims for one in claim["measures"]]
        shares = [one for one in rows if one["unit"] == "share"]
        lines = []
        for role in PAIR:
            y, low, high = ([one[role][end] for one in shares] for end in ("value", "low", "high"))
            lines.append(Line(y, low, high, role))
        return shares_figure([one["name"] for one in shares], lines)
