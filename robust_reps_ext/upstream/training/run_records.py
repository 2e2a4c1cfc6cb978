"""The rows that a training run writes, kept as records too: HDF5 does not survive every kill."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...results.cox_export import bring_up_to_date
from ...results.records import FOLDER, write_record

__all__ = ["keep_row", "mend"]


def keep_row(store: Any, table: str, row: Mapping[str, Any]) -> None:
    """Keep a row of a cox store's table as a record beside it, before the store gets it."""
    directory = Path(store.path)
    number = len(list(directory.glob(f"{FOLDER}/{table}-*.json"))) + 1
    write_record(directory, f"{table}-{number:05d}", [row], table=table)


def mend(directory: Path) -> None:
    """Make the store of an earlier run anew where a kill has left it damaged or behind."""
    if (directory / FOLDER).is_dir():
        bring_up_to_date(directory)
