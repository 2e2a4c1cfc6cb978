"""Trials of the scorecard on the disk: what is finished is not measured again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..atomic import writing
from ..errors import InputError
from .scorecard_trial import Measured

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
                f"{self.folder} holds trials of other settings ({_difference(there, made_with)}): "
                "choose another folder, or begin anew with --overwrite (overwrite=True)"
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


def _difference(there: Any, here: Any) -> str:
    """The first few settings that differ, each with both values."""
    first, second = _flat(there), _flat(here)
    found = [
        f"{name} {first.get(name)} there, {second.get(name)} here"
        for name in sorted({*first, *second})
        if first.get(name) != second.get(name)
    ]
    more = f", and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(found[:3]) + more


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(settings, dict):
        return {prefix[:-1]: settings}
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{prefix}{name}.")
    return found
