"""What the commands leave behind: a row for each image, with the settings it was made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..results.synthesis import Synthesis

__all__ = ["SHOWN", "class_name", "made_with"]

SHOWN = 32
"""Images in a picture, and rows on the terminal; the rest is in the store."""


def class_name(classes: Sequence[str], label: int) -> str:
    """The name of a label, or its number where the data set has no names."""
    return classes[label] if label < len(classes) else str(label)


def made_with(result: Synthesis, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each with the settings its image was made with."""
    each = {}
    for setting in ("eps", "step_size", "iterations"):
        value = result.settings[setting]
        each[setting] = value if isinstance(value, list) else [value] * len(result)
    own = [dict(zip(each, values, strict=True)) for values in zip(*each.values(), strict=True)]
    return [{**row, **settings} for row, settings in zip(rows, own, strict=True)]
