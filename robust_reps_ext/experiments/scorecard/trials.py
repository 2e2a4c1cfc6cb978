"""Trials of the scorecard on the disk: what is finished is not measured again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from ...results.folder import agree, read_json, write_json
from ...results.locks import claimed
from .result import PAIR
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

    def shared(self, seeds: Sequence[int]) -> Iterator[tuple[str, int]]:
        """The trials that are not there: each is this process' own while it is worked on.

        At the end those are waited for that other processes work on.
        """
        trials = {self._path(role, k): (role, k) for k in seeds for role in PAIR}
        with closing(claimed(list(trials))) as free:
            yield from (trials[path] for path in free)

    def get(self, role: str, seed: int) -> Measured:
        """What was measured."""
        path = self._path(role, seed)
        return {name: torch.tensor(values) for name, values in read_json(path).items()}

    def keep(self, role: str, seed: int, measured: Measured) -> None:
        """Write a finished trial, whole or not at all."""
        write_json(self._path(role, seed), {name: one.tolist() for name, one in measured.items()})

    def _path(self, role: str, seed: int) -> Path:
        return self.folder / f"{role}-{seed}.json"
