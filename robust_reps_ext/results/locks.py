"""Units of work that several processes share: each is made once, whoever takes it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from ..runtime.errors import InputError

__all__ = ["check_alone", "check_idle", "claimed", "lock_of", "rank_and_world"]


def claimed(
    units: Sequence[str | os.PathLike[str]],
    *,
    finished: Callable[[Path], bool] = Path.exists,
    wait: bool = True,
    interval: float = 0.2,
) -> Generator[Path, None, None]:
    """Go through the units that are not finished, each while no other process has it.

    A unit is claimed by a lock on a file beside it, which the operating system lets go when the
    process ends, however it ends: what a killed process had claimed is taken up by another. Under
    ``torchrun`` each process begins at another place of the list (``RANK``, ``WORLD_SIZE``), so
    that they seldom meet; elsewhere all begin at its head.

    Parameters
    ----------
    units
        Files. The body of the loop makes the one that it gets, and puts it in its place when it
        is complete (`robust_reps_ext.runtime.files.writing`).
    finished
        Whether a unit needs no work; default: it is there.
    wait
        At the end, wait for the units that other processes have, and take them up if those die.
        Else leave them.
    interval
        Seconds between two looks at them.

    Yields
    ------
    pathlib.Path
        A unit that is unfinished and this process's own until the next one is asked for. No unit
        is given twice, even if the body of the loop leaves it unfinished.

    Notes
    -----
    A loop that may be left by an exception goes ``with contextlib.closing(claimed(...)) as units``:
    the traceback would keep the lock otherwise.

    Raises
    ------
    InputError
        If the lock cannot be made, because the directory may not be written, say.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from robust_reps_ext.results.locks import claimed
    >>> units = [Path(tempfile.mkdtemp(), name) for name in ("first", "second")]
    >>> for unit in claimed(units):
    ...     print(unit.name, unit.write_text("made"))
    first 4
    second 4
    >>> list(claimed(units))
    []
    """
    left = _from_own_place([Path(unit) for unit in units])
    while left:
        held_by_others = []
        for unit in left:
            if finished(unit):
                continue
            lock = FileLock(lock_of(unit))
            try:
                lock.acquire(blocking=False)
            except Timeout:
                held_by_others.append(unit)
                continue
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise InputError(
                    f"cannot claim {unit}: {reason}; give a directory that can be written"
                ) from error
            try:
                # Again: it may have been finished between the first look and the lock.
                if not finished(unit):
                    yield unit
                if finished(unit):
                    # Nobody works on it any more, whoever holds the lock of the same name.
                    Path(lock_of(unit)).unlink(missing_ok=True)
            finally:
                lock.release()
        left = held_by_others if wait else []
        if left:
            time.sleep(interval)


def lock_of(unit: str | os.PathLike[str]) -> str:
    """The file that is locked while a process has the unit; gone when the unit is finished."""
    path = Path(unit)
    return str(path.with_name(f".{path.name}.lock"))


def _from_own_place(units: list[Path]) -> list[Path]:
    rank, world = rank_and_world()
    first = rank * len(units) // world
    return units[first:] + units[:first]


def rank_and_world() -> tuple[int, int]:
    """Which of how many processes ``torchrun`` has made of this one; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), max(1, int(os.environ.get("WORLD_SIZE", "1")))


def check_alone() -> None:
    """Refuse to overwrite results in several processes of ``torchrun``.

    Raises
    ------
    InputError
        If there are several processes.
    """
    world = rank_and_world()[1]
    if world > 1:
        raise InputError(
            f"--overwrite (overwrite=True): {world} processes would remove each other's results, "
            "and each restart all of them; begin anew in one process, or give a new folder"
        )


def check_idle(folder: Path) -> None:
    """Refuse to remove what another process is making in a folder.

    Raises
    ------
    InputError
        If a unit is claimed there, at any depth.
    """
    for lock in folder.rglob(".*.lock"):
        if lock == Path(lock_of(folder / "settings")):
            continue  # of the process that asks
        try:
            with FileLock(lock, blocking=False):
                pass
        except Timeout:
            raise InputError(
                f"another process works in {folder}: wait until it has ended, or end it, and begin "
                "anew then"
            ) from None
