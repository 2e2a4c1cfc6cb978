"""A folder of work that goes on: what it was begun with decides who may go on with it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..runtime.errors import InputError
from ..runtime.files import writing
from .locks import check_alone, check_idle, claimed, lock_of
from .records import difference

__all__ = ["WorkFolder", "digest_of", "read_json", "remove", "write_json"]


class WorkFolder:
    """A folder that several calls work on, now or one after the other, with the same settings.

    Goes on with what was begun with these settings, begins it, or refuses the settings. Of several
    processes that come at a time, one begins.

    Parameters
    ----------
    path
        Made where there is none.
    settings
        All that decides the results, as JSON holds it.
    begun
        What there is, and the settings that each was begun with, the newest last; None where
        nothing was.
    begin
        Removes what there is of other settings, and writes these down.
    overwrite
        Begin anew where the settings differ.
    name
        Of a lock in the folder, where it holds other work too.

    Raises
    ------
    InputError
        If the folder was begun with other settings, which are named, or cannot be written; and if
        several processes of ``torchrun`` are to overwrite it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from robust_reps_ext.results.folder import WorkFolder, read_json, write_json
    >>> def squares(out, settings):
    ...     kept = out / "settings.json"
    ...     folder = WorkFolder(
    ...         out,
    ...         settings,
    ...         begun=lambda: {out: read_json(kept)},
    ...         begin=lambda: write_json(kept, settings),
    ...     )
    ...     for path in folder.shared([out / str(n) for n in range(settings["n"])]):
    ...         print(path.name, path.write_text(str(int(path.name) ** 2)))
    >>> out = Path(tempfile.mkdtemp())
    >>> squares(out, {"n": 2})
    0 1
    1 1
    >>> squares(out, {"n": 2})
    >>> squares(out, {"n": 3})
    Traceback (most recent call last):
    ...
    robust_reps_ext.runtime.errors.InputError: ... was made with n=2 (now 3): give these again ...
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        *,
        begun: Callable[[], Mapping[Path, Mapping[str, Any] | None]],
        begin: Callable[[], None],
        overwrite: bool = False,
        name: str = "settings",
    ) -> None:
        self.path, self.settings, self._begun = path, settings, begun
        self._lock = lock_of(path / name)
        if overwrite:
            check_alone()
        if self._agrees(overwrite):
            return
        with self._locked():
            # Another process may have begun in between.
            if not self._agrees(overwrite):
                begin()

    def shared(
        self, units: Sequence[Path], *, finished: Callable[[Path], bool] = Path.exists
    ) -> Generator[Path, None, None]:
        """The units that are not finished, see `robust_reps_ext.results.locks.claimed`.

        Raises
        ------
        InputError
            If another call has begun the folder anew with other settings.
        """
        with closing(claimed(units, finished=finished)) as free:
            for unit in free:
                with self._locked():
                    if not self._agrees():
                        raise InputError(f"{self.path} was begun anew: give another folder")
                yield unit

    def _agrees(self, overwrite: bool = False) -> bool:
        """Whether it has these settings; not if it is empty, or others may be overwritten."""
        begun = {path: there for path, there in self._begun().items() if there is not None}
        # By digest too: what is not a number is not equal to itself.
        digests = map(digest_of, begun.values())
        if self.settings in begun.values() or digest_of(self.settings) in digests:
            return True
        if begun and not overwrite:
            newest, there = list(begun.items())[-1]
            raise InputError(
                f"{newest} was made with {difference(there, self.settings)}: give these again to "
                "go on, another --out, or --overwrite (overwrite=True) to remove it and begin anew"
            )
        return False

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock):
                try:
                    yield
                finally:
                    Path(self._lock).unlink(missing_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError(
                f"cannot write to {self.path}: {reason}; give another folder"
            ) from error


def remove(folder: Path, paths: Iterable[Path]) -> None:
    """Remove what a folder holds of other settings.

    Parameters
    ----------
    folder
        The locks of its units are in it.
    paths
        Files and folders.

    Raises
    ------
    InputError
        If another process works on a unit.
    """
    check_idle(folder)
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def digest_of(settings: Mapping[str, Any]) -> str:
    """SHA-256 of settings, whatever their order: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def read_json(path: Path) -> dict[str, Any] | None:
    """What `write_json` was given; None where there is no file.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}; delete it") from error
    return found


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a value as JSON, whole or not at all."""
    with writing(path, "free some space, or give another folder") as file:
        file.write(json.dumps(value, indent=1).encode())
