"""Which images activate each coordinate most and least: the result, and its rows in a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Activations", "Extreme", "from_rows", "to_rows"]


@dataclass(frozen=True)
class Extreme:
    """The k images at one end, for each of C coordinates, the most extreme first.

    Of images with equal values, the one that comes first in the data does here too.

    Attributes
    ----------
    images
        (C, k, channels, H, W); (C, k, 0), which holds nothing, where they are not kept.
    value
        (C, k), R(x)_i.
    index
        (C, k), position in the data.
    label
        (C, k), the data's label, -1 where the data has none.
    """

    images: Tensor
    value: Tensor
    index: Tensor
    label: Tensor


@dataclass(frozen=True)
class Activations:
    """The images that activate each coordinate most and least.

    Attributes
    ----------
    coordinates
        (C,), as asked for.
    most, least
        The two ends.
    seen
        How many images were looked at.
    k
        How many are kept at each end, if there are as many.
    """

    coordinates: Tensor
    most: Extreme
    least: Extreme
    seen: int
    k: int


def to_rows(found: Activations) -> list[dict[str, Any]]:
    """For each coordinate what was found, as JSON holds it: without images."""
    rows: list[dict[str, Any]] = [
        {"coordinate": i, "seen": found.seen} for i in found.coordinates.tolist()
    ]
    for end, kept in {"most": found.most, "least": found.least}.items():
        for name in ("value", "index", "label"):
            for row, values in zip(rows, getattr(kept, name).tolist(), strict=True):
                row[f"{end}_{name}"] = values
    return rows


def from_rows(rows: Sequence[Mapping[str, Any]], k: int) -> Activations:
    """What `to_rows` was given, without its images."""
    most, least = (
        Extreme(
            torch.empty(len(rows), len(rows[0][f"{end}_index"]), 0),
            torch.tensor([row[f"{end}_value"] for row in rows], dtype=torch.float32),
            torch.tensor([row[f"{end}_index"] for row in rows]),
            torch.tensor([row[f"{end}_label"] for row in rows]),
        )
        for end in ("most", "least")
    )
    coordinates = torch.tensor([int(row["coordinate"]) for row in rows])
    return Activations(coordinates, most, least, seen=int(rows[0]["seen"]), k=k)
