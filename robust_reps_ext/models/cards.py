"""What is known of a model: its card, which `load_model` gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robustness.attacker import AttackerModel

__all__ = ["card_of", "trained_size"]


def card_of(model: AttackerModel) -> dict[str, Any]:
    """The card of a model; empty for one that `load_model` did not make."""
    return getattr(model, "card", None) or {}


def trained_size(card: Mapping[str, Any]) -> int | None:
    """Height and width of the images that a network was trained on, where its card says it."""
    size = card.get("size") or card.get("data_set", {}).get("size")
    return int(size) if size else None
