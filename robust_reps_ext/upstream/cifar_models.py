"""Mends `robustness.cifar_models`: the architectures for CIFAR-sized images."""

from __future__ import annotations

from .mends import Mend

__all__ = ["MENDS"]

MENDS: tuple[Mend, ...] = ()
