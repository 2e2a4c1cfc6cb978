"""Mends `robustness.tools.custom_modules`: the layers that the architectures share."""

from __future__ import annotations

from ..mend import Mend

__all__ = ["MENDS"]

MENDS: tuple[Mend, ...] = ()
