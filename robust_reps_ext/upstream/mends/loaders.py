"""Mends `robustness.loaders`: what it makes, and the wrappers around it."""

from __future__ import annotations

import inspect
from types import ModuleType

from ..data import loader_wrappers
from ..data.loader import make_loaders
from ..mend import Mend

__all__ = ["MENDS"]


def _source(module: ModuleType, name: str) -> str:
    return inspect.getsource(getattr(module, name))


MENDS: tuple[Mend, ...] = (
    Mend(
        name="make_loaders",
        where="loaders.py:23",
        why="Order and augmentation cannot be fixed, a subset differs each time or is ignored.",
        present=lambda module: "pin_memory=True" in _source(module, "make_loaders"),
        apply=lambda module: module.__dict__.update(make_loaders=make_loaders),
    ),
    Mend(
        name="LambdaLoader",
        where="loaders.py:138",
        why="An epoch that was left early goes on in the next one, and only pairs are taken.",
        present=lambda module: "raise StopIteration" in _source(module, "LambdaLoader"),
        apply=lambda module: module.__dict__.update(LambdaLoader=loader_wrappers.LambdaLoader),
    ),
    Mend(
        name="PerEpochLoader",
        where="loaders.py:101",
        why="An epoch cannot be left early, and all is computed once more after the last.",
        present=lambda module: "raise StopIteration" in _source(module, "PerEpochLoader"),
        apply=lambda module: module.__dict__.update(PerEpochLoader=loader_wrappers.PerEpochLoader),
    ),
    Mend(
        name="TransformedLoader",
        where="loaders.py:190",
        why="A fraction takes one batch too many; workers and batch_size have no usable default.",
        present=lambda module: "<= fraction" in _source(module, "TransformedLoader"),
        apply=lambda module: module.__dict__.update(
            TransformedLoader=loader_wrappers.TransformedLoader
        ),
    ),
)
