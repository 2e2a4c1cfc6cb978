"""What the scorecard says, on the disk and as a figure."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...results.folder import digest_of, write_json
from ...results.forest import Block, forest_figure
from ...results.plots import Line
from ...results.printing import Printing
from ...results.result import Result
from ...results.units import FinishedUnit, Found, Heading, keep
from ...runtime.errors import InputError, first_line, one_line

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["PAIR", "Scorecard"]

PAIR = ("robust", "standard")
ESTIMATED, ENDS = (*PAIR, "difference"), ("value", "low", "high")
UNITS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "share": ("share of images", lambda value: f"{100 * value:.0f}%"),
    "number": ("ratio or cosine", lambda value: f"{value:.2g}"),
    "degrees": ("degrees", lambda value: f"{value:.0f}°"),
    "radius": ("L2 radius at 224 pixels", lambda value: f"{2**value:.3g}"),
}

FILE = "scorecard.json"
HEADING = Heading("scorecard", "scorecard", "Scorecard", "The claims, tested")


@dataclass(frozen=True, repr=False)
class Scorecard(Result):
    """What became of each claim.

    Attributes
    ----------
    claims
        One mapping each, as JSON holds it: name, section, statement, and measures with the
        numbers of both models, their difference, what chance gives, the ceiling (what a JPEG copy
        of the target gives, where that is asked), and the verdict.
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

    # A folder, for the page.
    def save(  # type: ignore[override]
        self, out: str | os.PathLike[str], printing: Printing | None = None
    ) -> FinishedUnit:
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
        made_with = {"digest": digest_of(study), "study": study}
        unit = keep(Path(out), HEADING, found, made_with, printing)
        write_json(Path(out, FILE), {**metadata, "made_with": study})
        return unit

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Scorecard:
        """Read what `save` wrote: the folder, or the file ``scorecard.json`` in it.

        Raises
        ------
        InputError
            If the file is missing, damaged or of another kind.
        """
        file = Path(path)
        file = file / FILE if file.is_dir() else file
        shown = one_line(file)
        if not file.is_file():
            raise InputError(f"there is no file {shown}: give what Scorecard.save wrote")
        try:
            found = cls(**json.loads(file.read_text("utf-8")))
            found._check()
        except (OSError, TypeError, ValueError, LookupError, RecursionError) as error:
            reason = first_line(error)
            raise InputError(f"{shown} is damaged ({reason}): make it again") from error
        return found

    def to_frame(self) -> pandas.DataFrame:
        """A row for each measure: the numbers of both models, their difference, the verdict."""
        import pandas

        rows = [
            {
                "claim": claim["name"],
                "measure": one["name"],
                "unit": one["unit"],
                **{
                    (role if end == "value" else f"{role}_{end}"): one[role][end]
                    for role in ESTIMATED
                    for end in ENDS
                },
                "chance": one["chance"],
                "ceiling": one.get("ceiling"),
                "verdict": one["verdict"],
            }
            for claim in self.claims
            for one in claim["measures"]
        ]
        return pandas.DataFrame(rows)

    def _told(self) -> tuple[str, str]:
        verdicts = Counter(self.verdicts().values())
        told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        data = self.made_with.get("data")
        data = data.get("name") if isinstance(data, Mapping) else data
        return (
            f"Scorecard of {len(self.claims)} claims: {told}"
        ), f"data {data}, eps {self.made_with.get('eps')}, {self.made_with.get('seeds')} seeds"

    def _check(self) -> None:
        for claim in self.claims:
            words = [claim[name] for name in ("name", "section", "statement")]
            for one in claim["measures"]:
                words += [one["name"], one["unit"], one["verdict"] or ""]
                numbers = [one[role][end] for role in ESTIMATED for end in ENDS]
                ends = one["chance"], one.get("ceiling")  # 0.2 had no ceiling
                numbers += [end for end in ends if end is not None]
                if not all(isinstance(number, (int, float)) for number in numbers):
                    raise ValueError(f"{one['name']} has no numbers")
            if not all(isinstance(word, str) for word in words):
                raise ValueError("its claims have no names")
        if not isinstance(self.left_out, dict) or not isinstance(self.made_with, dict):
            raise ValueError("it does not say how it was made")

    def figure(self) -> Figure:
        """Every number of both models with its interval; those of one unit share an axis."""
        rows = [one for claim in self.claims for one in claim["measures"]]
        blocks = []
        for unit, (title, shown) in UNITS.items():
            some = [one for one in rows if one["unit"] == unit]
            lines = []
            for role in PAIR:
                y, low, high = ([one[role][end] for one in some] for end in ENDS)
                lines.append(Line(y, low, high, role))
            if some:
                names = [one["name"] for one in some]
                chances = [one["chance"] for one in some]
                blocks.append(Block(title, names, lines, chances, shown))
        told = f"95% intervals over {self.made_with.get('seeds')} seeds; dotted: by chance"
        return forest_figure(blocks, told)
