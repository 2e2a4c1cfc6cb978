"""Rows of images as the page's templates read them, and the traces behind the images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from ..results.synthesis import Synthesis

__all__ = ["Images", "Row", "blocks", "row", "trace"]

Images = Callable[[Tensor], list[str]]
"""Images (N, C, H, W) in [0, 1] -> N data URIs."""

Row = dict[str, Any]

MOST_COLUMNS = 11


def row(
    name: str,
    images: Sequence[str],
    captions: Sequence[str] | None = None,
    *,
    run: str = "",
    positions: Sequence[int] | None = None,
    heads: Sequence[str] | None = None,
) -> Row:
    """A row of cells.

    Parameters
    ----------
    name
        What stands beside the row; its first word may be the role of a model.
    images, captions, heads
        Data URIs, and the texts under and above each; default none.
    run, positions
        Whose trace is behind each image, and which of its images that is; default the first ones.
    """
    places = range(len(images)) if positions is None else positions
    nothing = [""] * len(images)
    cells = [
        {"src": src, "caption": caption, "head": head, "run": run, "position": place}
        for src, caption, head, place in zip(
            images, captions or nothing, heads or nothing, places, strict=True
        )
    ]
    return {"name": name, "role": name.split()[0].strip(","), "cells": cells}


def blocks(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that are too long for a screen, cut into blocks of equal width."""
    n = len(rows[0]["cells"])
    size = math.ceil(n / math.ceil(n / MOST_COLUMNS))
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
