"""Mends `robustness.loaders`: the data loaders and the wrappers around them."""

from __future__ import annotations

from .mends import Mend

__all__ = ["MENDS"]

MENDS: tuple[Mend, ...] = ()
