"""The curve of Fig. 4, as the page draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["curve_chart"]

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 16, 48


def curve_chart(
    radii: Sequence[float],
    lines: Sequence[Mapping[str, Any]],
    mark: tuple[float, str] | None = None,
) -> dict[str, Any]:
    """Lay out relative distance against radius, the radius on a logarithmic axis.

    Parameters
    ----------
    radii
        (R,), ascending; a radius of 0 stands at the left end.
    lines
        With ``name`` and R numbers each in ``y``, ``low`` and ``high``; the latter two may be None.
    mark
        A radius to draw, and what it is called; default: none.

    Returns
    -------
    dict
        width, height, ticks of both axes, the mark or None, and for each line its points and its
        band.
    """
    positive = [radius for radius in radii if radius > 0] or [1.0]
    positive += [mark[0]] if mark else []
    first, last = math.log(min(positive)), math.log(max(positive))
    top = max(1.0, *(max(line["high"] or line["y"]) for line in lines))

    def x(radius: float) -> float:
        share = (math.log(max(radius, min(positive))) - first) / ((last - first) or 1.0)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM), 1)

    def points(values: Sequence[float]) -> list[str]:
        return [f"{x(radius)},{y(value)}" for radius, value in zip(radii, values, strict=True)]

    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "bottom": HEIGHT - BOTTOM,
        "top": TOP,
        "mark": mark and {"x": x(mark[0]), "text": mark[1], "left": x(mark[0]) > WIDTH / 2},
        "across": [{"x": x(radius), "text": f"{radius:.3g}"} for radius in radii],
        "up": [{"y": y(value), "text": f"{value:g}"} for value in _ticks(top)],
        "lines": [
            {
                "name": line["name"],
                "points": " ".join(points(line["y"])),
                "band": " ".join([*points(line["high"]), *reversed(points(line["low"]))])
                if line["high"]
                else "",
                "dots": [
                    {"x": x(radius), "y": y(value), "text": f"radius {radius:.3g}: {value:.3f}"}
                    for radius, value in zip(radii, line["y"], strict=True)
                ],
            }
            for line in lines
        ],
    }


def _ticks(top: float) -> list[float]:
    return [0.25 * i for i in range(int(4 * top) + 1)]
