"""The feature walls: for each model its coordinates, from every seed, and what activates them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safetensors.torch import load_file

from ..results.synthesis import Synthesis
from ..results.units import FinishedUnit
from .cells import Images, Row, row

__all__ = ["walls"]

Extremes = dict[tuple[str, int], list[Row]]


def walls(
    unit: str,
    runs: Mapping[str, Synthesis],
    metadata: Mapping[str, Any],
    encode: Images,
    activating: FinishedUnit | None,
) -> dict[str, Any]:
    """Fig. 7, with Fig. 8 behind each coordinate."""
    extremes = {} if activating is None else _extremes(activating, encode)
    models = []
    for run, synthesis in runs.items():
        coordinates = metadata["coordinates"][run]
        k, images = len(coordinates), encode(synthesis.images)
        starts = row("seed", encode(synthesis.start[::k]))
        wall = []
        for i, coordinate in enumerate(coordinates):
            chosen = range(i, len(images), k)
            seen = metadata["predicted"][run] if "predicted" in metadata else None
            result = row(
                "result",
                [images[j] for j in chosen],
                seen and [seen[j] for j in chosen],
                run=f"{unit}-{run}",
                positions=chosen,
            )
            more = extremes.get((run, coordinate), [])
            wall.append({"coordinate": coordinate, "rows": [starts, result, *more]})
        models.append({"name": run, "wall": wall})
    return {"models": models}


def _extremes(unit: FinishedUnit, encode: Images) -> Extremes:
    """(model, coordinate) -> rows of the most and least activating images."""
    found: Extremes = {}
    metadata = unit.manifest["metadata"]
    for picture in unit.manifest["pictures"]:
        run, end = picture.rsplit("-", 1)
        images = encode(load_file(unit.path / "pictures" / f"{picture}.safetensors")["images"])
        captions = [
            f"{value:.2f}: {label}"
            for value, label in zip(
                metadata["values"][picture], metadata["labels"][picture], strict=True
            )
        ]
        coordinates = metadata["coordinates"][run]
        k = len(images) // len(coordinates)
        for i, coordinate in enumerate(coordinates):
            part = slice(i * k, (i + 1) * k)
            one = row(f"{end} activating", images[part], captions[part])
            found.setdefault((run, coordinate), []).append(one)
    return found
