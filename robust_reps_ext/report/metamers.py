"""Metamers as the page shows them: successes by layer, and where they lie in the null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["metamers_tables"]

WIDTH, HEIGHT = 160, 36


def metamers_tables(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A table for each network, a row for each layer.

    Parameters
    ----------
    metadata
        As `experiments.metamers.unit.keep_metamers` keeps it.

    Returns
    -------
    list of dict
        ``role``, ``pairs``, ``judges`` and ``rows``: the ``layer``, its ``success`` and what each
        judge recognises (``recognised``) as text, shares of a bar and its interval, and for each
        measure the outline of the ``null`` and the places of the metamers in it.
    """
    return [
        {
            "role": role,
            "pairs": one["pairs"],
            "measures": metadata["measures"],
            "judges": [*one["recognised"]],
            "rows": [
                {
                    "layer": layer,
                    "success": _share(one["successes"][i]),
                    "recognised": [_share(shares[i]) for shares in one["recognised"].values()],
                    "null": [_drawn(histogram) for histogram in one["null"][i]],
                }
                for i, layer in enumerate(one["layers"])
            ],
        }
        for role, one in metadata["networks"].items()
    ]


def _share(one: Mapping[str, Any]) -> dict[str, Any]:
    value = one["correct"] / one["n"]
    return {
        "text": f"{100 * value:.0f}%",
        "interval": f"{one['correct']} of {one['n']}, {100 * one['low']:.0f} to "
        f"{100 * one['high']:.0f}%",
        "value": value,
        "low": one["low"],
        "high": one["high"],
    }


def _drawn(histogram: Mapping[str, Any]) -> dict[str, Any]:
    low, high, counts = histogram["low"], histogram["high"], histogram["counts"]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "outline": _outline(counts),
        "marks": [round(WIDTH * (one - low) / (high - low), 1) for one in histogram["marks"]],
        "ends": (f"{low:.2g}", f"{high:.2g}"),
    }


def _outline(counts: Sequence[int]) -> str:
    """The tops of the bars, closed along the ground."""
    top, step = max([1, *counts]), WIDTH / len(counts)
    points: list[tuple[float, float]] = [(0, HEIGHT)]
    for i, count in enumerate(counts):
        y = HEIGHT * (1 - count / top)
        points += [(i * step, y), ((i + 1) * step, y)]
    points.append((WIDTH, HEIGHT))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
