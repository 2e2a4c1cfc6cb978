"""Accuracies in the head of the page, and which networks are hardly better than guessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..results.units import FinishedUnit

__all__ = ["accuracies", "near_chance"]

SHARE = 0.1
"""Near chance is what is less than a tenth of the way from guessing to all right."""


def accuracies(units: Sequence[FinishedUnit], models: Mapping[str, Any]) -> dict[str, str]:
    """Role -> its accuracies in words, of the networks that have these weights.

    Parameters
    ----------
    units
        Those of the page; the table of accuracies may be among them.
    models
        ``models`` of the page's ``study``.
    """
    found: dict[str, str] = {}
    for unit in units:
        if unit.manifest["kind"] != "table":
            continue
        metadata, study = unit.manifest["metadata"], unit.manifest["study"]
        for role, shares in metadata.get("rows", {}).items():
            if _weights(study["models"], role) == _weights(models, role):
                each = zip(metadata["columns"], shares, strict=True)
                found[role] = ", ".join(f"{name} {100 * one['share']:.0f}%" for name, one in each)
    return found


def near_chance(units: Sequence[FinishedUnit]) -> list[str]:
    """A sentence for each network whose clean accuracy is that of guessing, or hardly more."""
    said = []
    for unit in units:
        metadata = unit.manifest["metadata"]
        classes = metadata.get("classes") or _groups(unit.manifest["study"])
        if unit.manifest["kind"] != "table" or not classes:
            continue
        chance = 1 / classes
        for role, (clean, *_) in metadata.get("rows", {}).items():
            if clean["interval"][0] < chance + SHARE * (1 - chance):
                said.append(
                    f"The {role} network is right on {100 * clean['share']:.1f}% of "
                    f"{metadata['images']} clean images, and guessing among {classes} classes is "
                    f"on {100 * chance:.1f}%. What it keeps of an image says little about what a "
                    "trained network keeps."
                )
    return said


def _groups(study: Mapping[str, Any]) -> int:
    return 1 + max(study.get("grouped") or [-1])


def _weights(models: Mapping[str, Any], role: str) -> Any:
    return models.get(role, {}).get("weights")
