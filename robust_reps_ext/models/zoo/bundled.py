"""The models that come with the package, by name."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

__all__ = ["bundled", "card", "percentages"]

_FOLDER = "weights"


def bundled() -> dict[str, Path]:
    """Name of each bundled model -> its safetensors file.

    Examples
    --------
    >>> from robust_reps_ext.models.zoo.bundled import bundled
    >>> sorted(bundled())  # doctest: +NORMALIZE_WHITESPACE
    ['critters-robust', 'critters-standard', 'critters-vgg', 'photographs-judge',
     'photographs-robust', 'photographs-standard']
    """
    folder = Path(str(resources.files(__package__) / _FOLDER))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def card(name: str) -> dict[str, Any]:
    """What is known of a bundled model: data, training command, accuracies, digest.

    Raises
    ------
    KeyError
        If no bundled model has that name.
    """
    found: dict[str, Any] = json.loads(bundled()[name].with_suffix(".json").read_text("utf-8"))
    return found


def percentages(card: dict[str, Any]) -> dict[str, float]:
    """The accuracies of a card in percent, without their intervals."""
    return {
        name: round(100 * float(one["accuracy"]), 2)
        for name, one in card.get("accuracies", {}).items()
    }
