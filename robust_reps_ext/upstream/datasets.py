"""Mends `robustness.datasets`: our data sets by name, and what upstream's classes refuse."""

from __future__ import annotations

import importlib.util
from collections import UserDict
from types import ModuleType
from typing import Any

from . import registration
from .mends import Mend

__all__ = ["MENDS", "DataSets"]


class DataSets(UserDict):  # type: ignore[type-arg]
    """Upstream's table of data sets, in which an entry may be an address, loaded at first use.

    Our data sets subclass upstream's `DataSet`, so they cannot be imported while
    `robustness.datasets` is still on its way.
    """

    def __getitem__(self, name: str) -> Any:
        entry = self.data[name]
        if isinstance(entry, str):
            entry = self.data[name] = registration.load(entry)
        return entry


def _register(module: ModuleType) -> None:
    ours = {
        name: address
        for name, address in registration.DATA_SETS.items()
        if importlib.util.find_spec(address.partition(":")[0]) is not None
    }
    module.DATASETS = DataSets({**module.DATASETS, **ours})  # type: ignore[attr-defined]


MENDS: tuple[Mend, ...] = (
    Mend(
        name="DATASETS",
        where="datasets.py:466",
        why="Restricted ImageNet is labelled by the position of folders, and critters are unknown",
        present=lambda module: not isinstance(module.DATASETS, DataSets),
        apply=_register,
    ),
)
