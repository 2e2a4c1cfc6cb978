"""Mends `robustness.tools.folder`: which files are images, and what of one that is not."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ...runtime.image_files import BadImageError, pil_loader
from ..data.bad_images import record_of
from ..data.folders import EXTENSIONS, find_classes, make_dataset
from ..mend import Mend, bind, mentions

__all__ = ["MENDS"]


def _know_more_extensions(module: ModuleType) -> None:
    known = module.IMG_EXTENSIONS
    known.extend(extension for extension in EXTENSIONS if extension not in known)


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
    Mend.replacing(
        pil_loader,
        "tools/folder.py:163",
        "A corrupt file stops the run without being named, and 16-bit grey turns white.",
        mentions("pil_loader", "convert"),
    ),
    Mend.replacing(
        make_dataset,
        "tools/folder.py:38",
        "Files whose names start with a dot are taken for images.",
        mentions("make_dataset", "has_file_allowed_extension"),
    ),
    Mend(
        name="DatasetFolder._find_classes",
        where="tools/folder.py:107",
        why="A hidden folder becomes a class and moves the labels of those after it.",
        present=mentions("DatasetFolder._find_classes", "scandir"),
        apply=bind("DatasetFolder", _find_classes=lambda self, dir: find_classes(dir)),
    ),
    Mend(
        name="DatasetFolder.__getitem__",
        where="tools/folder.py:129",
        why="An image that cannot be read ends a run of days, and cannot be passed over.",
        present=mentions("DatasetFolder.__getitem__", "samples"),
        apply=_give_errors_where_asked,
    ),
)
