"""Files written whole or not at all, and the digest of what they hold."""

from __future__ import annotations

import glob
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import InputError

__all__ = [
    "missing_folders",
    "remove_empty",
    "remove_unfinished",
    "replacing",
    "sha256",
    "writing",
]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write what stands at `path` once the block has ended without an error.

    A kill at any moment leaves the old file or the new one; what is written must be on the disk
    by the end of the block.
    """
    # A name that nobody can foresee: nothing is written through a link laid there.
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        yield unfinished
        os.replace(unfinished, path)
        _sync_directory(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def writing(path: str | os.PathLike[str], advice: str) -> Iterator[BinaryIO]:
    """Open a file that stands at `path` once the block has ended without an error.

    A kill at any moment leaves the old file or the new one.

    Parameters
    ----------
    path
        Where to; its directory must exist.
    advice
        The way out, for the message of the error.

    Raises
    ------
    InputError
        If the file cannot be written, for want of space or permission; what stood there is as
        it was.
    """
    try:
        with replacing(Path(path)) as unfinished, open(unfinished, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except InputError:
        raise
    except (OSError, RuntimeError) as error:
        reason = _system_error(error)
        if reason is None:
            raise
        raise InputError.also(type(error))(f"cannot write {path}: {reason}; {advice}") from error


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes have left of writing `path`; no other may be writing it now."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        left.unlink(missing_ok=True)


def sha256(file: str | os.PathLike[str] | BinaryIO) -> str:
    """The SHA-256 of a file, in hexadecimal; of an open one, of what is still to be read."""
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as opened:
            return sha256(opened)
    digest = hashlib.sha256()
    while block := file.read(2**20):
        digest.update(block)
    return digest.hexdigest()


def missing_folders(path: Path) -> list[Path]:
    """What has to be made for a folder at `path`: itself, and the folders around it."""
    path = path.absolute()
    return [one for one in (path, *path.parents) if not one.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, each of which stands in the next, as far as they are empty."""
    with suppress(OSError):
        for one in folders:
            one.rmdir()


def _system_error(error: BaseException) -> str | None:
    """The operating system's word for it, where a library has wrapped it in its own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return (cause.strerror or str(cause)).lower()
        cause = cause.__cause__ or cause.__context__
    return None


def _sync_directory(directory: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
