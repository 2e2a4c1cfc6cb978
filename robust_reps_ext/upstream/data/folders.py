"""Which folders are classes, and which files are images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...runtime.errors import InputError, one_line
from ...runtime.image_files import EXTENSIONS

__all__ = ["EXTENSIONS", "find_classes", "make_dataset"]


def find_classes(folder: str | os.PathLike[str]) -> tuple[list[str], dict[str, int]]:
    """Class folders in `folder`, sorted, and the position of each; hidden folders are no classes.

    A link to a folder is a folder.

    Raises
    ------
    InputError
        If `folder` is missing or has no class folder, or the name of one is no text.
    """
    try:
        with os.scandir(folder) as entries:
            classes = sorted(
                entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
            )
    except OSError as error:
        raise InputError.also(type(error))(
            f"cannot read the folder {folder}: {error.strerror}"
        ) from error
    if not classes:
        raise InputError.also(RuntimeError)(
            f"{folder} has no class folders: put the images of each class in one"
        )
    for name in classes:
        if one_line(name) != name:
            raise InputError(
                f"{folder} has a class folder {one_line(name)}, with control characters or no text "
                "in its name: rename it"
            )
    return classes, {name: position for position, name in enumerate(classes)}


def make_dataset(
    dir: str | os.PathLike[str], class_to_idx: Mapping[str, int], extensions: Sequence[str]
) -> list[tuple[str, int]]:
    """Every image under the class folders, as (path, label), sorted by folder and path.

    Links to files are followed; links to folders only where they are class folders.

    Raises
    ------
    InputError
        If there is none, or a folder cannot be read.
    """
    root = Path(dir).expanduser()
    images = [
        (path, class_to_idx[name])
        for name in sorted(class_to_idx)
        for path in _files(root / name)
        if path.lower().endswith(tuple(extensions))
    ]
    if not images:
        raise InputError.also(RuntimeError)(
            f"no images in the {len(class_to_idx)} class folders of {root}: "
            f"they must end in {', '.join(extensions)}"
        )
    return images


def _files(folder: Path) -> Iterator[str]:
    for parent, _, names in sorted(os.walk(folder, onerror=_stop)):
        for name in sorted(names):
            if not name.startswith("."):  # macOS leaves "._photo.jpg" beside photo.jpg
                yield os.path.join(parent, name)


def _stop(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # a class without a folder has no images
        raise InputError.also(type(error))(
            f"cannot read the folder {error.filename}: {error.strerror}"
        ) from error
