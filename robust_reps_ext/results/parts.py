"""Parts of an experiment: what one process makes at a time, while the others make theirs."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from ..runtime.errors import InputError
from ..runtime.files import remove_unfinished
from .locks import claimed
from .records import record_path

__all__ = ["Part", "begun", "shared_parts", "snapshot_of"]

SNAPSHOTS = "snapshots"
# What versions before 0.2 called the same folder.
_PLACES = "places"


@dataclass(frozen=True)
class Part:
    """A part of an experiment that is worked on: images `first` to `stop` of a whole.

    Attributes
    ----------
    name
        Names its files.
    group
        The whole.
    first, stop
        Its images are ``[first:stop]``.
    snapshot
        The file in which a run keeps how far it is.
    """

    name: str
    group: str
    first: int
    stop: int
    snapshot: Path

    def __len__(self) -> int:
        return self.stop - self.first

    @property
    def images(self) -> slice:
        """Which of the whole."""
        return slice(self.first, self.stop)


def snapshot_of(experiment: Path, name: str) -> Path:
    """Where the run behind a part keeps how far it is."""
    return experiment / SNAPSHOTS / f"{name}.safetensors"


def begun(experiment: Path) -> bool:
    """Whether any part has been begun and is not finished."""
    folder = experiment / SNAPSHOTS
    return folder.is_dir() and any(folder.glob("*.safetensors"))


def shared_parts(experiment: Path, group: str, n: int, size: int) -> Generator[Part, None, None]:
    """The parts of a whole that are not finished, see `store.ExperimentStore.parts`."""
    if n < 1:
        raise InputError(f"n={n}: ask for 1 or more")
    folder = experiment / SNAPSHOTS
    with suppress(OSError):  # there is none, or another process has renamed it
        (experiment / _PLACES).rename(folder)
    folder.mkdir(exist_ok=True)
    parts = {}
    for first in range(0, n, size):
        name = group if n <= size else f"{group}-{first:07d}"
        part = Part(name, group, first, min(n, first + size), snapshot_of(experiment, name))
        parts[record_path(experiment, name)] = part
    with closing(claimed(list(parts))) as records:
        for record in records:
            part = parts[record]
            for path in (part.snapshot, experiment / f"{part.name}.safetensors", record):
                remove_unfinished(path)
            yield part
