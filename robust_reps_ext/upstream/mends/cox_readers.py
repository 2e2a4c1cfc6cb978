"""Mends `cox.readers`: collections of stores."""

from __future__ import annotations

import sys
from types import ModuleType

from ..mend import Mend, bind, derive, mentions
from ..stores.reader import CollectionReader

__all__ = ["MENDS"]


def _read_each_by_its_schema(module: ModuleType) -> None:
    # Upstream's own Store is here where cox.store was mended after it had been imported.
    bind(Store=sys.modules["cox.store"].Store)(module)
    derive("CollectionReader", CollectionReader)(module)


MENDS: tuple[Mend, ...] = (
    Mend(
        "CollectionReader",
        "readers.py:8",
        "Only the first store's object columns are decoded, a table that is nowhere ends in 'No "
        "objects to concatenate', and a reader that fails to open leaves stores open and fails "
        "again when it is deleted.",
        mentions("CollectionReader.df", "candidates"),
        _read_each_by_its_schema,
    ),
)
