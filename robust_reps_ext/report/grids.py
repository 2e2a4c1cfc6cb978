"""The curve of Fig. 4, as the page draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["curve_chart"]

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 16, 40


def curve_chart(radii: Sequence[float], lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Lay out relative distance against radius, the radius on a logarithmic axis.

    Parameters
    ----------
    radii
        (R,), ascending; a radius of 0 stands at the left end.
    lines
        With ``name`` and R numbers each in ``y``, ``low`` and ``high``; the latter two may be None.

    Returns
    -------
    dict
        width, height, ticks of both axes, and for each line its points and its band.
    """
    positive = [radius for radius in radii if radius > 0] or [1.0]
    first, last = math.log(positive[0]), math.log(positive[-1])
    top = max(1.0, *(max(line["high"] or line["y"]) for line in lines))

    def x(radius: float) -> float:
        share = (math.log(max(radius, positive[0])) - first) / ((last - first) or 1.0)
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
