"""Mends `robustness.tools.folder`: which files are images, and what of one that is not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ...runtime.errors import InputError, one_line
from ..data.bad_images import record_of
from ..data.image_files import BadImageError, pil_loader
from ..mend import Mend

__all__ = ["EXTENSIONS", "MENDS", "find_classes", "make_dataset"]

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".jfif")


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
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from error
    if not classes:
        raise InputError(f"{folder} has no class folders: put the images of each class in one")
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
        raise InputError(
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
        raise InputError(f"cannot read the folder {error.filename}: {error.strerror}") from error


def _know_more_extensions(module: ModuleType) -> None:
    module.IMG_EXTENSIONS.extend(
        extension for extension in EXTENSIONS if extension not in module.IMG_EXTENSIONS
    )


def _find_classes_by(module: ModuleType) -> None:
    def _find_classes(self: Any, dir: str) -> tuple[list[str], dict[str, int]]:
        return find_classes(dir)

    module.DatasetFolder._find_classes = _find_classes


def _give_errors_where_asked(module: ModuleType) -> None:
    upstream = module.DatasetFolder.__getitem__

    def __getitem__(self: Any, index: int) -> Any:
        try:
            return upstream(self, index)
        except BadImageError as error:
            if record_of(self).action == "stop":
                raise
            return BadImageError(str(error))

    module.DatasetFolder.__getitem__ = __getitem__


MENDS: tuple[Mend, ...] = (
    Mend(
        name="IMG_EXTENSIONS",
        where="tools/folder.py:160",
        why="Images that end in .webp, .tiff or .jfif are left out without a word.",
        present=lambda module: ".webp" not in module.IMG_EXTENSIONS,
        apply=_know_more_extensions,
    ),
    Mend(
        name="pil_loader",
        where="tools/folder.py:163",
        why="A corrupt file stops the run without being named, and 16-bit grey turns white.",
        present=lambda module: module.pil_loader is not pil_loader,
        apply=lambda module: module.__dict__.update(pil_loader=pil_loader),
    ),
    Mend(
        name="make_dataset",
        where="tools/folder.py:38",
        why="Files whose names start with a dot are taken for images.",
        present=lambda module: module.make_dataset is not make_dataset,
        apply=lambda module: module.__dict__.update(make_dataset=make_dataset),
    ),
    Mend(
        name="DatasetFolder._find_classes",
        where="tools/folder.py:107",
        why="A hidden folder becomes a class and moves the labels of those after it.",
        present=lambda module: "sys" in module.DatasetFolder._find_classes.__code__.co_names,
        apply=_find_classes_by,
    ),
    Mend(
        name="DatasetFolder.__getitem__",
        where="tools/folder.py:129",
        why="An image that cannot be read ends a run of days, and cannot be passed over.",
        present=lambda module: (
            "BadImageError" not in module.DatasetFolder.__getitem__.__code__.co_names
        ),
        apply=_give_errors_where_asked,
    ),
)
