"""What the commands leave behind: tensors, a row for each image, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .result import Synthesis
    from .store import ExperimentStore

__all__ = ["class_name", "keep"]


def class_name(classes: Sequence[str], label: int) -> str:
    """The name of a label, or its number where the data set has no names."""
    return classes[label] if label < len(classes) else str(label)


def keep(
    store: ExperimentStore,
    name: str,
    result: Synthesis,
    rows: Sequence[Mapping[str, Any]],
    figure: Any,
) -> list[Path]:
    """Write tensors, a row for each image with the settings it was made with, and a picture."""
    each = {}
    for setting in ("eps", "step_size", "iterations"):
        value = result.settings[setting]
        each[setting] = value if isinstance(value, list) else [value] * len(result)
    made_with = [
        dict(zip(each, values, strict=True)) for values in zip(*each.values(), strict=True)
    ]
    said = [{**row, **own} for row, own in zip(rows, made_with, strict=True)]
    return [store.add(name, result, said), store.add_figure(name, figure)]
