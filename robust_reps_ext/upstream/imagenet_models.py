"""Mends `robustness.imagenet_models`: the architectures for ImageNet-sized images."""

from __future__ import annotations

from .mends import Mend

__all__ = ["MENDS"]

MENDS: tuple[Mend, ...] = ()
