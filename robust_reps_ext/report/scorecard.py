"""The scorecard as the page and the terminal show it: numbers in words, and where bars stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["scorecard_rows"]

ROLES = ("robust", "standard")
FORMATS: Mapping[str, Callable[[float], str]] = {
    "share": lambda value: f"{100 * value:.0f}%",
    "degrees": lambda value: f"{value:.0f}°",
    "radius": lambda value: f"{2**value:.3g}",
    "number": lambda value: f"{value:.2f}".replace("-", "−"),
}


def scorecard_rows(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The claims, each with its measures.

    Parameters
    ----------
    metadata
        ``claims`` as `experiments.scorecard.Scorecard` holds them.

    Returns
    -------
    list of dict
        Of each claim its words and ``measures``: name, ``meaning``, ``texts`` of the two models and
        their difference, ``chance``, ``ceiling``, ``verdict``, ``n`` (seeds and images of each),
        and ``marks``: role -> low, value and high, as shares of the width of an axis, which all
        measures of a unit share.
    """
    every = [one for claim in metadata["claims"] for one in claim["measures"]]
    axes = {
        unit: _axis(unit, [one for one in every if one["unit"] == unit])
        for unit in {one["unit"] for one in every}
    }
    return [
        {
            **{key: claim[key] for key in ("name", "section", "statement")},
            "measures": [_measure(one, axes[one["unit"]]) for one in claim["measures"]],
        }
        for claim in metadata["claims"]
    ]


def _measure(one: Mapping[str, Any], axis: tuple[float, float]) -> dict[str, Any]:
    show = FORMATS[one["unit"]]
    low, high = axis
    width = (high - low) or 1.0
    chance, ceiling = one["chance"], one.get("ceiling")
    return {
        "name": one["name"],
        "meaning": one.get("meaning", ""),
        "n": " × ".join(map(str, one.get("n", []))),
        "better": {True: "more is better", False: "less is better", None: ""}[one["larger"]],
        "texts": {
            **{role: _text(one[role], show) for role in ROLES},
            "difference": _text(one["difference"], _difference(one["unit"], show)),
        },
        "chance": "" if chance is None else show(chance),
        "ceiling": "" if ceiling is None else show(ceiling),
        "mark_of_chance": None if chance is None else (chance - low) / width,
        "marks": {
            role: {key: (value - low) / width for key, value in one[role].items()} for role in ROLES
        },
        "ends": (show(low), show(high)),
        "verdict": one["verdict"] or "",
    }


def _difference(unit: str, show: Callable[[float], str]) -> Callable[[float], str]:
    """A difference of logarithms is a factor; others carry their sign."""
    if unit == "radius":
        return lambda value: f"×{2**value:.2f}"
    return lambda value: ("+" if value >= 0 else "−") + show(abs(value))


def _text(estimate: Mapping[str, float], show: Callable[[float], str]) -> str:
    value, low, high = (show(estimate[key]) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _axis(unit: str, measures: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """From 0 to 1 for shares, else as far as the intervals of all measures of the unit reach."""
    if unit == "share":
        return 0.0, 1.0
    ends = [one[role][key] for one in measures for role in ROLES for key in ("low", "high")]
    ends += [one["chance"] for one in measures if one["chance"] is not None]
    room = 0.08 * (max(ends) - min(ends))
    low = min(ends) - room
    return max(0.0, low) if unit == "degrees" else low, max(ends) + room
