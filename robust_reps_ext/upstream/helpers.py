"""Mends `robustness.tools.helpers`: accuracy, averages, batches moved to the device, label maps."""

from __future__ import annotations

from .mends import Mend

__all__ = ["MENDS"]

MENDS: tuple[Mend, ...] = ()
