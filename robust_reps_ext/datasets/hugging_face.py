"""Data sets of the `datasets` library as a folder of images, which is a data set here.

What is written is the image files themselves, so that everything that `folder` can do follows.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from ..results.locks import claimed
from ..runtime.environment import cache_folder
from ..runtime.errors import InputError, listed

__all__ = ["as_folder"]

_log = logging.getLogger(__name__)

_ADVICE = "give a data set with a column of images and one of class labels"
_PARTS = {"train": ("train",), "val": ("validation", "val", "valid", "test")}


def as_folder(path: str, *, cache: str | os.PathLike[str] | None = None) -> Path:
    """The folder of image files that hold what the data set at `path` does; made once.

    Its splits become ``train/`` and ``val/``; a data set with one split alone becomes a folder for
    each class. Images are kept as their files are, or as PNG.

    Parameters
    ----------
    path
        What `datasets.load_dataset` takes: a folder of parquet files or images, or the name of a
        public data set. No code of a data set is run.
    cache
        Where the folder is kept; default: ``hf`` in `runtime.environment.cache_folder`.

    Raises
    ------
    InputError
        If the library is not installed, it cannot read the data set, or that has no images with
        labels.

    Examples
    --------
    >>> as_folder("beans").name  # doctest: +SKIP
    'beans-1f0c6e02'
    """
    splits = _loaded(path)
    columns = {name: _columns(path, part) for name, part in splits.items()}
    digest = hashlib.sha256()
    for name, part in splits.items():
        digest.update(f"{name} {len(part)} {part._fingerprint}\n".encode())
    root = cache_folder() / "hf" if cache is None else Path(cache).expanduser()
    kept = root / f"{Path(path).name}-{digest.hexdigest()[:8]}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with closing(claimed([kept], finished=Path.exists)) as mine:
            for one in mine:
                _log.info("writing the images of %s once, into %s", path, one)
                unfinished = one.with_name(f".{one.name}.unfinished")
                shutil.rmtree(unfinished, ignore_errors=True)
                for name, part in splits.items():
                    _write(part, *columns[name], unfinished / name)
                unfinished.replace(one)
    except OSError as error:
        raise InputError(
            f"the images of hf:{path} cannot be kept in {root} ({error.strerror or error}): free "
            "some space, or set ROBUST_REPS_EXT_CACHE to another folder"
        ) from error
    return kept


def _loaded(path: str) -> dict[str, Any]:
    """The splits, called as the parts of a folder; one alone has no name."""
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise InputError(
            f"--dataset hf:{path} needs the datasets library: pip install 'robust_reps_ext[hf]'"
        ) from error
    try:
        found = load_dataset(os.path.expanduser(path))
    except Exception as error:  # of many kinds, all of which say that it cannot be had
        said = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"hf:{path} cannot be loaded: {said[:200]}") from error
    parts = {
        part: next((found[name] for name in names if name in found), None)
        for part, names in _PARTS.items()
    }
    there = {part: one for part, one in parts.items() if one is not None}
    if not there:
        raise InputError(f"hf:{path} has the splits {listed([*found])}: give one with train")
    return there if len(there) == 2 else {"": next(iter(there.values()))}


def _columns(path: str, part: Any) -> tuple[str, str]:
    """The column of images, and that of labels."""
    from datasets import ClassLabel, Image

    kinds = part.features.items()
    images = [name for name, kind in kinds if isinstance(kind, Image)]
    labels = [name for name, kind in kinds if isinstance(kind, ClassLabel)]
    if not images:
        raise InputError(
            f"hf:{path} has no column of images ({listed([*part.features])}): {_ADVICE}"
        )
    numbers = [name for name in ("label", "labels", "fine_label") if name in part.features]
    if not (labels or numbers):
        raise InputError(
            f"hf:{path} has no column of labels ({listed([*part.features])}): {_ADVICE}"
        )
    preferred = [name for name in numbers if name in labels]
    return images[0], (preferred or labels or numbers)[0]


def _write(part: Any, image: str, label: str, folder: Path) -> None:
    from datasets import Image
    from PIL import Image as Pillow

    names = getattr(part.features[label], "names", None)
    files = part.cast_column(image, Image(decode=False))
    for number in range(len(part)):
        named = files[number]
        kind = names[named[label]] if names else str(named[label])
        target = folder / _as_folder_name(kind)
        target.mkdir(parents=True, exist_ok=True)
        found = named[image]
        data = found["bytes"]
        if data is None:
            data = Path(found["path"]).read_bytes()
        ending = _ending(data)
        if ending is not None:
            (target / f"{number:07d}{ending}").write_bytes(data)
            continue
        picture: Pillow.Image = part[number][image]
        picture.convert("RGB").save(target / f"{number:07d}.png")


def _ending(data: bytes) -> str | None:
    """That of the file, where it is of a kind that a folder is read for."""
    kinds = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"BM": ".bmp"}
    return next((ending for begin, ending in kinds.items() if data.startswith(begin)), None)


def _as_folder_name(label: str) -> str:
    """A label as the name of one folder, wherever it comes from."""
    name = "".join("_" if one in '/\\:*?"<>|' or ord(one) < 32 else one for one in label).strip(
        " ."
    )
    return name or "_"
