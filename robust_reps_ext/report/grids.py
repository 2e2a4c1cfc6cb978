"""The sections that compare images in rows: inversions, additions, Fig. 4 and 5, interpolations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..results.synthesis import Synthesis
from .cells import Images, Row, row

__all__ = ["curve", "curve_chart", "grid", "interpolation"]

Runs = Mapping[str, Synthesis]
Metadata = Mapping[str, Any]


def grid(unit: str, runs: Runs, metadata: Metadata, encode: Images) -> dict[str, Any]:
    """Target and start once, then what each model made of them."""
    first = next(iter(runs.values()))
    labels = metadata.get("labels")
    rows = []
    if first.target_images is not None:
        rows.append(row("target", encode(first.target_images), labels))
        labels = None
    # All noise looks alike, and the frames begin with it.
    if metadata.get("start") != "noise":
        rows.append(row("start", encode(first.start), labels))
    for run, synthesis in runs.items():
        rows.append(
            row(
                metadata.get("names", {}).get(run, run),
                encode(synthesis.images),
                metadata["captions"][run] if "captions" in metadata else _distances(synthesis),
                run=f"{unit}-{run}",
            )
        )
    frames = any(synthesis.frames is not None for synthesis in runs.values())
    return {"rows": rows, "frames": frames}


def curve(unit: str, runs: Runs, metadata: Metadata, encode: Images) -> dict[str, Any]:
    """The curve of Fig. 4, and for each pair the images of Fig. 5 between source and target."""
    radii, n = metadata["radii"], len(metadata["labels"])
    heads = ["source", *(f"{radius:.3g}" for radius in radii), "target"]
    encoded = {run: encode(synthesis.images) for run, synthesis in runs.items()}
    first = next(iter(runs.values()))
    starts = encode(first.start[:n])
    targets = starts if first.target_images is None else encode(first.target_images[:n])
    pairs = []
    for i in range(n):
        rows: list[Row] = []
        for run, synthesis in runs.items():
            chosen = range(i, n * len(radii), n)
            distances = _distances(synthesis)
            rows.append(
                row(
                    run,
                    [starts[i], *(encoded[run][j] for j in chosen), targets[i]],
                    ["", *(distances[j] for j in chosen), ""],
                    run=f"{unit}-{run}",
                    positions=[-1, *chosen, -1],
                    heads=None if rows else heads,
                )
            )
        pairs.append({"label": metadata["labels"][i], "rows": rows})
    return {"chart": curve_chart(radii, metadata["lines"]), "pairs": pairs}


def interpolation(unit: str, runs: Runs, metadata: Metadata, encode: Images) -> dict[str, Any]:
    """For each pair a row of each model, and the pixel blend."""
    weights = metadata["weights"]
    steps = len(weights)
    encoded = {run: encode(synthesis.images) for run, synthesis in runs.items()}
    blend = encode(next(iter(runs.values())).start)
    pairs = []
    for i, (left, right) in enumerate(zip(metadata["left"], metadata["right"], strict=True)):
        chosen = range(i * steps, (i + 1) * steps)
        rows: list[Row] = []
        for run, synthesis in runs.items():
            distances = _distances(synthesis)
            rows.append(
                row(
                    run,
                    [encoded[run][j] for j in chosen],
                    [distances[j] for j in chosen],
                    run=f"{unit}-{run}",
                    positions=chosen,
                    heads=None if rows else [f"{weight:.2g}" for weight in weights],
                )
            )
        rows.append(row("pixel blend", [blend[j] for j in chosen]))
        pairs.append({"left": left, "right": right, "rows": rows})
    return {"pairs": pairs}


def _distances(synthesis: Synthesis) -> list[str]:
    return [f"{value:.2f}" for value in synthesis.objective.tolist()]


WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 16, 40


def curve_chart(radii: Sequence[float], lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Lay out relative distance against radius, the radius on a logarithmic axis.

    Parameters
    ----------
    radii
        (R,), ascending; a radius of 0 stands at the left end.
    lines
        With ``name`` and R numbers each in ``y``, ``low`` and ``high``.

    Returns
    -------
    dict
        width, height, ticks of both axes, and for each line its points and its band.
    """
    positive = [radius for radius in radii if radius > 0] or [1.0]
    first, last = math.log(positive[0]), math.log(positive[-1])
    top = max(1.0, *(max(line["high"]) for line in lines))

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
                "band": " ".join([*points(line["high"]), *reversed(points(line["low"]))]),
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
