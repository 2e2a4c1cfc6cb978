"""Trials of the scorecard on the disk: what is finished is not measured again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...results.records import difference
from ...runtime.errors import InputError
from ...runtime.files import writing
from .trial import Measured

__all__ = ["Trials"]

SETTINGS = "settings.json"


class Trials:
    """What was measured, one JSON file for each model and seed, beside what it was made with.

    Parameters
    ----------
    folder
        Of the files; made where it is not there.
    made_with
        All that decides the numbers, as JSON holds it.
    overwrite
        Begin anew where the folder holds trials of other settings.

    Raises
    ------
    InputError
        If the folder holds trials of other settings, or cannot be written.
    """

    def __init__(
        self, folder: str | os.PathLike[str], made_with: Mapping[str, Any], *, overwrite: bool
    ) -> None:
        self.folder = Path(folder)
        settings = self.folder / SETTINGS
        there = _read(settings) if settings.exists() else None
        if there == made_with:
            return
        if there is not None and not overwrite:
            raise InputError(
                f"{self.folder} was made with {difference(there, made_with)}: give these again to "
                "go on, another --out, or --overwrite (overwrite=True) to begin anew"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for file in self.folder.glob("*.json"):
                file.unlink()
        except OSError as error:
            raise InputError(f"cannot write {self.folder}: {error.strerror}") from error
        _write(settings, made_with)

    def get(self, role: str, seed: int) -> Measured | None:
        """What was measured, or None."""
        path = self._path(role, seed)
        if not path.exists():
            return None
        return {name: torch.tensor(values) for name, values in _read(path).items()}

    def keep(self, role: str, seed: int, measured: Measured) -> None:
        """Write a finished trial, whole or not at all."""
        _write(self._path(role, seed), {name: one.tolist() for name, one in measured.items()})

    def _path(self, role: str, seed: int) -> Path:
        return self.folder / f"{role}-{seed}.json"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}; delete it") from error


def _write(path: Path, what: Mapping[str, Any]) -> None:
    with writing(path, "free some space, or give another folder") as file:
        file.write(json.dumps(what, indent=1).encode())
