"""Mends `robustness.tools.folder`: which files are images, and how one is read."""

from __future__ import annotations

from .mends import Mend

__all__ = ["MENDS"]

MENDS: tuple[Mend, ...] = ()
