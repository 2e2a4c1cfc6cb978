"""A folder of work that goes on: what it was begun with decides who may go on with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..runtime.errors import InputError
from ..runtime.files import writing
from .locks import lock_of
from .records import difference

__all__ = ["agree", "digest_of", "other_settings", "read_json", "write_json"]


def agree(
    folder: Path,
    wanted: Mapping[str, Any],
    *,
    read: Callable[[], Mapping[str, Any] | None],
    begin: Callable[[], None],
    overwrite: bool,
) -> None:
    """Go on with what was begun with the settings `wanted`, begin it, or refuse another's.

    Several processes may agree on one folder at a time: one begins, the others go on.

    Parameters
    ----------
    folder
        Made where there is none.
    wanted
        All that decides the results, as JSON holds it.
    read
        What the folder was begun with; None where it was not. It is asked again once no other
        process can begin.
    begin
        Removes what is there of other settings, and writes these down.
    overwrite
        Begin anew where the settings differ.

    Raises
    ------
    InputError
        If the folder was begun with other settings, which are named, or cannot be written.
    """
    if _agreed(folder, wanted, read(), overwrite):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_of(folder / "settings")
        with FileLock(lock):
            if not _agreed(folder, wanted, read(), overwrite):
                begin()
            Path(lock).unlink(missing_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"cannot write to {folder}: {reason}; give another folder") from error


def _agreed(
    folder: Path, wanted: Mapping[str, Any], there: Mapping[str, Any] | None, overwrite: bool
) -> bool:
    if there is None or there == wanted:
        return there == wanted
    if not overwrite:
        raise other_settings(folder, there, wanted)
    return False


def other_settings(folder: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> InputError:
    """What is said where a folder was begun with other settings."""
    return InputError(
        f"{folder} was made with {difference(there, wanted)}: give these again to go on, "
        "another --out, or --overwrite (overwrite=True) to remove it and begin anew"
    )


def digest_of(settings: Mapping[str, Any]) -> str:
    """SHA-256 of settings, whatever their order: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def read_json(path: Path) -> Any:
    """What `write_json` was given; None where there is no file.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}; delete it") from error


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all."""
    with writing(path, "free some space, or give another folder") as file:
        file.write(json.dumps(value, indent=1).encode())
