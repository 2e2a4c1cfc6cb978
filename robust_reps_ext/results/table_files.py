"""Tables as CSV files, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.files import writing

if TYPE_CHECKING:
    import pandas

__all__ = ["write_table"]


def write_table(frame: pandas.DataFrame, path: Path) -> Path:
    """Write the rows of a table as CSV, without its index; what stood at `path` is replaced.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    text = frame.to_csv(index=False)
    with writing(path, "make room, or choose another place") as file:
        file.write(text.encode())
    return path
