"""Trials of the scorecard on the disk: what is finished is not measured again."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from ...results.folder import WorkFolder, read_json, remove, write_json
from .trial import Measured

__all__ = ["Trials", "begun_without_resemblance"]

SETTINGS = "settings.json"


def begun_without_resemblance(folder: str | os.PathLike[str]) -> bool:
    """Whether it holds trials of a version that did not measure resemblance: they go on so."""
    begun = read_json(Path(folder, SETTINGS))
    return begun is not None and "resemblance" not in begun


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
        self.path = Path(folder)
        settings = self.path / SETTINGS

        def begin() -> None:
            remove(self.path, self.path.glob("*.json"))
            write_json(settings, made_with)

        self._folder = WorkFolder(
            self.path,
            made_with,
            begun=lambda: {self.path: read_json(settings)},
            begin=begin,
            overwrite=overwrite,
        )

    def shared(self, trials: Iterable[tuple[str, int]]) -> Generator[tuple[str, int], None, None]:
        """Of trials those that are not there: each is this process' own while it is worked on.

        At the end those are waited for that other processes work on.
        """
        named = {self._file(*trial): trial for trial in trials}
        with closing(self._folder.shared(list(named))) as free:
            yield from (named[path] for path in free)

    def get(self, role: str, seed: int) -> Measured | None:
        """What was measured; None where it was not."""
        measured = read_json(self._file(role, seed))
        return measured and {name: torch.tensor(values) for name, values in measured.items()}

    def keep(self, role: str, seed: int, measured: Measured) -> None:
        """Write a finished trial, whole or not at all."""
        write_json(self._file(role, seed), {name: one.tolist() for name, one in measured.items()})

    def _file(self, role: str, seed: int) -> Path:
        return self.path / f"{role}-{seed}.json"
