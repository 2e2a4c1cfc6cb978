"""Trials of the scorecard on the disk: what is finished is not measured again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from ...results.folder import agree, read_json, write_json
from ...results.locks import claimed
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

        def begin() -> None:
            for file in self.folder.glob("*.json"):
                file.unlink()
            write_json(settings, made_with)

        agree(
            self.folder,
            made_with,
            read=lambda: read_json(settings),
            begin=begin,
            overwrite=overwrite,
        )

    def shared(self, trials: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
        """Of trials those that are not there: each is this process' own while it is worked on.

        At the end those are waited for that other processes work on.
        """
        named = {self._path(*trial): trial for trial in trials}
        with closing(claimed(list(named))) as free:
            yield from (named[path] for path in free)

    def has(self, role: str, seed: int) -> bool:
        """Whether a trial is finished."""
        return self._path(role, seed).exists()

    def get(self, role: str, seed: int) -> Measured:
        """What was measured."""
        measured = read_json(self._path(role, seed))
        return {name: torch.tensor(values) for name, values in measured.items()}

    def keep(self, role: str, seed: int, measured: Measured) -> None:
        """Write a finished trial, whole or not at all."""
        write_json(self._path(role, seed), {name: one.tolist() for name, one in measured.items()})

    def _path(self, role: str, seed: int) -> Path:
        return self.folder / f"{role}-{seed}.json"
