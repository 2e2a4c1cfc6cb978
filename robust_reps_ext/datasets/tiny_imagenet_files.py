"""The folder of Tiny ImageNet: its classes, their names, and which file is of which class."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from ..runtime.errors import InputError, listed, one_line
from ..upstream.data.folders import EXTENSIONS, find_classes, make_dataset

__all__ = ["ANNOTATIONS", "class_names", "files_of", "wnids_of"]

WNIDS, WORDS, ANNOTATIONS = "wnids.txt", "words.txt", "val_annotations.txt"

_log = logging.getLogger(__name__)


def wnids_of(root: Path) -> tuple[str, ...]:
    """The WordNet ids in ``wnids.txt``; the place of each is its label.

    Raises
    ------
    InputError
        If the file is missing, or holds anything but a WordNet id in each line, each once.
    """
    path = root / WNIDS
    if not path.is_file():
        within = sorted(root.glob(f"*/{WNIDS}"))
        hint = f"did you mean {within[0].parent}?" if within else "as Stanford CS231n publishes it"
        raise InputError(
            f"{root} has no {WNIDS}: give the folder of Tiny ImageNet, which holds {WNIDS}, "
            f"{WORDS}, train/ and val/ ({hint})"
        )
    wnids = [line.strip() for line in _lines(path) if line.strip()]
    wrong = [one for one in wnids if not re.fullmatch(r"n\d{8}", one)]
    twice = sorted({one for one in wnids if wnids.count(one) > 1})
    if wrong or twice or not wnids:
        what = f"{one_line(wrong[0])[:40]!r}, no WordNet id" if wrong else f"{listed(twice)} twice"
        raise InputError(
            f"{path} has {what if wnids else 'no line'}: give one id, such as n02124075, a line"
        )
    return tuple(wnids)


def class_names(root: Path, wnids: Sequence[str]) -> tuple[str, ...]:
    """The first synonym that ``words.txt`` has for each class.

    Those that it lacks are called by their id, and a warning says so.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    path = root / WORDS
    names = {}
    for line in _lines(path) if path.is_file() else ():
        wnid, _, synonyms = line.partition("\t")
        names[wnid.strip()] = one_line(synonyms.split(",")[0].strip())
    nameless = [wnid for wnid in wnids if not names.get(wnid)]
    if nameless:
        _log.warning("%s does not name %s: shown by their ids", path, listed(nameless))
    return tuple(names.get(wnid) or wnid for wnid in wnids)


def files_of(root: Path, split: str, wnids: Sequence[str]) -> list[tuple[str, str]]:
    """The image files of a part, each with the WordNet id of its class.

    Training images lie in ``train/<wnid>/``, at any depth. Validation images lie in
    ``val/images/``, with their classes in ``val/val_annotations.txt``, or in ``val/<wnid>/``.
    What is of no class in `wnids` is left out, and a warning names it.

    Parameters
    ----------
    root
        The folder of the data set.
    split
        ``"train"`` or ``"val"``.
    wnids
        The classes.

    Returns
    -------
    list of tuple
        (path, WordNet id), in an order that depends on names alone.

    Raises
    ------
    InputError
        If the folder is missing or holds no images, a class has no training images, or the
        annotations are missing or name a file that is not there.
    """
    folder = root / split
    if not folder.is_dir():
        raise InputError(
            f"{root} has no {split}/ folder: give the folder of Tiny ImageNet, which holds "
            f"{WNIDS}, train/ and val/"
        )
    together = folder / "images"
    if split == "val" and together.is_dir() and any(map(_is_image, os.listdir(together))):
        found = _annotated(together, folder / ANNOTATIONS, wnids)
    else:
        folders = [name for name in find_classes(folder)[0] if name != "images"]
        _ignore(folder, "folders", set(folders) - set(wnids))
        places = {wnid: place for place, wnid in enumerate(wnids)}
        found = [(path, wnids[i]) for path, i in make_dataset(folder, places, EXTENSIONS)]
    there = {wnid for _, wnid in found}
    empty = [wnid for wnid in wnids if wnid not in there]
    what = f"{folder} has no images of {len(empty)} of the {len(wnids)} classes ({listed(empty)})"
    if empty and (split == "train" or not there):
        raise InputError(f"{what}: bring them, or take their lines out of {root / WNIDS}")
    if empty:
        _log.warning("%s", what)
    return found


def _annotated(images: Path, path: Path, wnids: Collection[str]) -> list[tuple[str, str]]:
    if not path.is_file():
        raise InputError(
            f"{images} holds images, and there is no {path}, which says their classes: bring it, "
            "or put them into folders val/<wnid>/"
        )
    classes = {}
    for number, line in enumerate(_lines(path), 1):
        name, wnid, *_ = [*line.split("\t"), "", ""]
        if line.strip() and not wnid.strip():
            raise InputError(
                f"line {number} of {path} is {one_line(line)[:40]!r}: give file name, WordNet id "
                "and box, with tabs between"
            )
        classes[name.strip()] = wnid.strip()
    there = sorted(filter(_is_image, os.listdir(images)))
    wanted = [name for name, wnid in classes.items() if wnid in wnids]
    missing = sorted(set(wanted) - set(there))
    if missing:
        raise InputError(
            f"{path} names {listed(missing)}, not in {images}: bring them, or take their lines out"
        )
    _ignore(images, "images", set(there) - set(wanted))
    return [(str(images / name), classes[name]) for name in there if classes.get(name) in wnids]


def _ignore(folder: Path, what: str, names: Collection[str]) -> None:
    if names:
        _log.warning(
            "%s: ignored %d %s of no class in %s (%s)",
            *(folder, len(names), what, WNIDS, listed(sorted(names))),
        )


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise InputError(f"cannot read {path} ({reason}): bring it as published") from error
