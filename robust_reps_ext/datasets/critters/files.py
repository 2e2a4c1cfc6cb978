"""Writes critters as image files into a folder that appears only when it is complete."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import joblib
from PIL import Image
from tqdm import tqdm

from ...runtime.errors import InputError
from .drawing import draw_one
from .series import picture_rng

__all__ = ["RECORD", "Picture", "Progress", "complete_folder", "write_pictures"]

Progress = Callable[[int, int], None]
"""``progress(images_done, images_in_all)``."""

RECORD = "critters.json"

_MADE_BY = "robust_reps_ext critters"
_CHUNK = 64


class Picture(NamedTuple):
    """One file to write: its place in the folder, and what to draw."""

    file: str
    fine_label: int
    stream: str
    number: int


@contextmanager
def complete_folder(root: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder beside `root` that takes its place at the end; on any error nothing is left.

    Raises
    ------
    InputError
        If `root` holds anything but earlier critters, or the files cannot be written.
    """
    given = Path(root).expanduser()
    _check_free(given)
    place = given.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as beside:
            new = Path(beside) / "new"
            new.mkdir()
            yield new
            _swap(new, place, Path(beside) / "old")
    except InputError:
        raise
    except OSError as error:
        reason, way_out = error.strerror or str(error), "give another folder"
        if error.errno == errno.ENOSPC:
            reason, way_out = "no space left", "free some, or give another folder"
        raise InputError(f"critters cannot be written to {place} ({reason}): {way_out}") from error


def write_pictures(
    folder: Path,
    pictures: Sequence[Picture],
    about: dict[str, Any],
    *,
    seed: int,
    size: int,
    progress: bool | Progress,
) -> None:
    """Draw and save `pictures` under `folder` on every core, and record `about` and the factors."""
    for name in sorted({os.path.dirname(picture.file) for picture in pictures}):
        (folder / name).mkdir(parents=True, exist_ok=True)
    chunks = [pictures[start : start + _CHUNK] for start in range(0, len(pictures), _CHUNK)]
    cores = joblib.cpu_count() if len(chunks) > 4 else 1
    results = joblib.Parallel(n_jobs=cores, return_as="generator")(
        joblib.delayed(_write_some)(folder, chunk, seed, size) for chunk in chunks
    )
    factors: dict[str, Any] = {}
    with tqdm(total=len(pictures), unit="image", disable=progress is not True) as bar:
        for chunk, records in zip(chunks, results, strict=True):
            factors.update(zip((picture.file for picture in chunk), records, strict=True))
            bar.update(len(chunk))
            if callable(progress):
                progress(len(factors), len(pictures))
    record = {"made_by": _MADE_BY, **about, "images": factors}
    (folder / RECORD).write_text(json.dumps(record), encoding="utf-8")


def _write_some(
    folder: Path, pictures: Sequence[Picture], seed: int, size: int
) -> list[dict[str, Any]]:
    records = []
    for picture in pictures:
        rng = picture_rng(seed, picture.stream, picture.number)
        pixels, factors = draw_one(rng, picture.fine_label, size)
        Image.fromarray(pixels).save(folder / picture.file, quality=95)
        records.append(vars(factors))
    return records


def _swap(new: Path, place: Path, old: Path) -> None:
    if not place.exists():
        new.rename(place)
        return
    place.rename(old)
    try:
        new.rename(place)
    except OSError:
        old.rename(place)
        raise


def _check_free(place: Path) -> None:
    if not place.exists():
        return
    if not place.is_dir():
        raise InputError(f"{place} is a file: give a folder for the critters")
    names = {path.name for path in place.iterdir()}
    if names and not (names <= {"train", "val", RECORD} and _is_ours(place / RECORD)):
        raise InputError(
            f"{place} holds other files ({', '.join(sorted(names)[:3])}): give a new or an empty "
            "folder"
        )


def _is_ours(record: Path) -> bool:
    try:
        with record.open(encoding="utf-8") as file:
            return file.read(len(_MADE_BY) + 20).startswith(f'{{"made_by": "{_MADE_BY}"')
    except (OSError, UnicodeDecodeError):
        return False
