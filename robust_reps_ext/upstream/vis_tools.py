"""Mends `robustness.tools.vis_tools`: plots of images, runs and representations."""

from __future__ import annotations

from .mends import Mend

__all__ = ["MENDS"]

MENDS: tuple[Mend, ...] = ()
