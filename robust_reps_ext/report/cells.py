"""Panels of images as the page's templates read them, and the traces behind the images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from ..results.figures import Panel, Row
from ..results.synthesis import Synthesis

__all__ = ["Images", "blocks", "shown", "trace"]

Images = Callable[[Tensor], list[str]]
"""Images (N, C, H, W) in [0, 1] -> N data URIs."""

MOST_COLUMNS = 11


def shown(panels: Sequence[Panel], unit: str, encode: Images) -> list[dict[str, Any]]:
    """Panels as the templates read them: title, whether rows may be cut, and rows of cells.

    A cell has the image, the texts over and under it, and whose trace is behind it: the run of the
    unit, and which of its images.
    """
    return [
        {
            "title": panel.title,
            "wraps": panel.wraps,
            "rows": [_row(row, unit, encode) for row in panel.rows],
        }
        for panel in panels
    ]


def _row(row: Row, unit: str, encode: Images) -> dict[str, Any]:
    images = encode(row.images)
    nothing = [""] * len(images)
    places = range(len(images)) if row.positions is None else row.positions
    texts = (row.captions or nothing, row.heads or nothing)
    cells = [
        {
            "src": src,
            "caption": caption.replace("\n", " "),
            "head": head,
            "run": f"{unit}-{row.run}" if row.run and place >= 0 else "",
            "position": place,
        }
        for src, caption, head, place in zip(images, *texts, places, strict=True)
    ]
    name = row.label.replace("\n", ", " if "," not in row.label else " ")
    return {"name": name, "role": name.split(",")[0], "cells": cells}


def blocks(panel: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """The rows of a panel; where it wraps and they are too long for a screen, cut into blocks."""
    rows = panel["rows"]
    n = len(rows[0]["cells"])
    size = math.ceil(n / math.ceil(n / MOST_COLUMNS)) if panel["wraps"] else n
    return [
        [{**one, "cells": one["cells"][first : first + size]} for one in rows]
        for first in range(0, n, size)
    ]


def trace(synthesis: Synthesis, encode: Images) -> Mapping[str, Any]:
    """The objective of each image on the way, how it was run, and its frames where it has some."""
    settings, n = synthesis.settings, len(synthesis)
    found: dict[str, Any] = {
        "steps": [int(step) for step in synthesis.trace_steps.tolist()],
        "values": [[round(v, 4) for v in column] for column in synthesis.trace.T.tolist()],
        "eps": _each(settings["eps"], n),
        "step_size": _each(settings["step_size"], n),
        **{name: settings[name] for name in ("iterations", "precision", "schedule")},
        "objective": str(settings["objective"]).replace("_", " "),
    }
    if synthesis.frames is not None and synthesis.frame_steps is not None:
        # The last frame is the result itself, which the page shows already.
        found["frame_steps"] = [int(step) for step in synthesis.frame_steps.tolist()]
        found["frames"] = [encode(frame.float() / 255) for frame in synthesis.frames[:-1]]
    return found


def _each(value: Any, n: int) -> list[float]:
    return [round(float(v), 3) for v in (value if isinstance(value, list) else [value] * n)]
