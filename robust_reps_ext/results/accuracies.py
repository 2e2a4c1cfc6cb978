"""Accuracies, clean and under attack: shares with their intervals, as a table and as bars."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from .plots import Line, accuracy_figure, robustness_figure
from .result import Result

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["Accuracies", "Accuracy", "ThreatModel", "added_up", "line_of"]

NORMS = {"2": "L2", "inf": "Linf"}


@dataclass(frozen=True)
class ThreatModel:
    """The ball that images are attacked in.

    Attributes
    ----------
    constraint
        As in `robustness`: ``"2"`` or ``"inf"``.
    eps
        Its radius, for images in [0, 1].
    step_size
        Length of a step of PGD.
    why
        Where the radius is from: ``"given"``, or in words.

    Examples
    --------
    >>> print(ThreatModel("2", 0.5, 0.0625, "given"))
    L2 eps 0.5
    """

    constraint: str
    eps: float
    step_size: float
    why: str

    @property
    def norm(self) -> str:
        """What the constraint is called: ``"L2"``, ``"Linf"``."""
        return NORMS.get(self.constraint, self.constraint)

    def __str__(self) -> str:
        return f"{self.norm} eps {self.eps:.4g}"


@dataclass(frozen=True)
class Accuracy:
    """A share of correct predictions, with its Wilson interval.

    Attributes
    ----------
    name
        ``"clean"`` or ``"PGD-20"``, ...
    correct, n
        How many of how many images.
    by_class
        ``(correct, n)`` of each label, in their order; empty where only the sum was counted.
    eps
        The radius of the attack, 0 of clean images; None in files of version 0.1.
    """

    name: str
    correct: int
    n: int
    by_class: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    eps: float | None = field(default=None, repr=False)

    @property
    def share(self) -> float:
        """In [0, 1]."""
        return self.correct / self.n

    @property
    def balanced(self) -> float:
        """The mean over the classes that have images of the share of each; NaN without counts."""
        shares = [correct / n for correct, n in self.by_class if n]
        return sum(shares) / len(shares) if shares else math.nan

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's interval of the share."""
        from scipy.stats import binomtest  # slow to import: only where it is needed

        found = binomtest(self.correct, self.n).proportion_ci(confidence, method="wilson")
        return float(found.low), float(found.high)


def line_of(shares: Sequence[Accuracy], label: str = "") -> Line:
    """The shares with Wilson's 95% intervals, as figures take them."""
    low, high = zip(*(one.interval() for one in shares), strict=True)
    return Line([one.share for one in shares], low, high, label)


class Accuracies(Result, tuple[Accuracy, ...]):
    """Clean accuracy, and that under each attack: a tuple of `Accuracy`.

    Attributes
    ----------
    attack
        What the images were attacked in; None where that is not known.
    """

    attack: ThreatModel | None

    def __new__(
        cls, shares: Iterable[Accuracy] = (), attack: ThreatModel | None = None
    ) -> Accuracies:
        self = super().__new__(cls, shares)
        self.attack = attack
        return self

    def figure(self) -> Figure:
        """Bars with Wilson's 95% intervals; of several radii the curve, a line for each attack."""
        radii = sorted({one.eps for one in self[1:] if one.eps is not None})
        if len(radii) < 2:
            names = [one.name for one in self]
            return accuracy_figure(names, [line_of(self)], str(self.attack or ""))
        kinds = dict.fromkeys(one.name for one in self[1:])
        lines = [line_of([one for one in self if one.name == kind], kind) for kind in kinds]
        return robustness_figure(radii, lines, self.attack.constraint if self.attack else "2")

    def to_frame(self) -> pandas.DataFrame:
        """A row for each accuracy, with the ends of Wilson's 95% interval."""
        import pandas

        line = line_of(self)
        rows = pandas.DataFrame([vars(one) for one in self]).drop(columns="by_class")
        rows["balanced"] = [one.balanced for one in self]
        for place, (name, column) in enumerate(
            {"accuracy": line.y, "low": line.low, "high": line.high}.items()
        ):
            rows.insert(1 + place, name, list(column))
        return rows

    def _told(self) -> tuple[str, str]:
        images = self[0].n if self else 0
        told = ", ".join(f"{one.name} {100 * one.share:.1f}%" for one in self)
        under = "" if self.attack is None else f", attack {self.attack} ({self.attack.why})"
        return f"Accuracies on {images} images{under}", told

    def _parts(self) -> dict[str, Any]:
        attack = {} if self.attack is None else vars(self.attack)
        return {"accuracies": [vars(one) for one in self], "attack": attack}

    @classmethod
    def _of(cls, parts: dict[str, Any]) -> Accuracies:
        shares = parts.pop("accuracies")
        # Files of earlier versions say neither the radius of an accuracy nor the attack.
        attack = dict(parts.pop("attack")) if any("eps" in one for one in shares) else {}
        return cls(
            (
                Accuracy(**{**one, "by_class": tuple((hits, n) for hits, n in one["by_class"])})
                for one in shares
            ),
            ThreatModel(**attack) if attack else None,
        )

    def _check(self) -> None:
        if self.attack is not None:
            lengths = self.attack.eps, self.attack.step_size
            words = self.attack.constraint, self.attack.why
            if not all(type(one) is float and one >= 0 for one in lengths):
                raise ValueError("its attack has no lengths")
            if not all(isinstance(one, str) for one in words):
                raise ValueError("its attack has no constraint")
        for one in self:
            numbers = (one.correct, one.n, *chain.from_iterable(one.by_class))
            if not isinstance(one.name, str) or {type(number) for number in numbers} != {int}:
                raise ValueError("its counts are no whole numbers")
            if not 0 <= one.correct <= one.n or not one.n:
                raise ValueError(f"{one.correct} of {one.n} are right")
        if not self:
            raise ValueError("it holds no accuracies")


def added_up(counts: Iterable[Mapping[str, Any]]) -> list[Accuracy]:
    """The accuracies of all images from counts of some: rows of ``attack, correct, n, by_class``.

    Where one of them was counted without classes, so is the sum.

    Examples
    --------
    >>> from robust_reps_ext.results.accuracies import added_up
    >>> added_up([{"attack": "clean", "correct": 3, "n": 4}] * 2)
    [Accuracy(name='clean', correct=6, n=8)]
    """
    sums: dict[tuple[str, float | None], Accuracy] = {}
    for row in counts:
        classes = tuple((hits, n) for hits, n in json.loads(row.get("by_class") or "[]"))
        one = Accuracy(row["attack"], row["correct"], row["n"], classes, row.get("eps"))
        before = sums.get((one.name, one.eps))
        if before is not None:
            pairs = zip(before.by_class, one.by_class, strict=False)
            one = Accuracy(
                one.name,
                before.correct + one.correct,
                before.n + one.n,
                tuple((hits + more, n + others) for (hits, n), (more, others) in pairs),
                one.eps,
            )
        sums[one.name, one.eps] = one
    return list(sums.values())
