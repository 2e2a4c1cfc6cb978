"""Names of labels in the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["class_name", "named"]


def named(
    rows: list[dict[str, Any]], classes: Sequence[str], positions: Sequence[int]
) -> list[dict[str, Any]]:
    """The rows with the names of labels, and indices that count the whole validation set."""
    for row in rows:
        for end in ("most", "least"):
            row[end] = [class_name(classes, label) for label in row.pop(f"{end}_label")]
            row[f"{end}_index"] = [positions[i] for i in row[f"{end}_index"]]
    return rows


def class_name(classes: Sequence[str], label: int) -> str:
    """The name of a label, or its number where the data set has no names."""
    return classes[label] if label < len(classes) else str(label)
