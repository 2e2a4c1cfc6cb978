"""Critters as folders of image files: ImageNet's 1000 classes, or one folder for each animal."""

from __future__ import annotations

import os
from operator import index
from pathlib import Path
from typing import Any

from ...runtime.errors import InputError
from ..wordnet import wordnet_ids
from .drawing import CLASSES, COATS, DATA_VERSION, HUES, TEXTURES
from .files import Picture, Progress, complete_folder, write_pictures
from .series import Series

__all__ = ["write_imagenet_layout", "write_plain_layout"]


def write_imagenet_layout(
    root: str | os.PathLike[str],
    *,
    per_class: int = 20,
    val_per_class: int | None = None,
    size: int = 224,
    seed: int = 0,
    progress: bool | Progress = False,
) -> Path:
    """Write critters as if they were ImageNet, for ``--dataset restricted_imagenet`` and others.

    ``train/`` and ``val/`` get 1000 class folders named by WordNet id. The 203 of Restricted
    ImageNet hold JPEG files of its nine super-classes, whose sub-classes differ in texture and
    hue (the eighteen coats in turn); the others stay empty. ``critters.json`` says what each
    class and each image shows.

    Parameters
    ----------
    root
        Folder to write: new, empty, or of earlier critters, which are replaced.
    per_class, val_per_class
        Images in each of the 203 classes; for validation a quarter as many by default.
    size
        Height and width in pixels, 24 to 512.
    seed
        Not negative. Image i of a class depends on `seed`, i, the class and `size` alone.
    progress
        True for a bar, or ``progress(images_done, images_in_all)``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If a number is out of range, the folder holds other files, or it cannot be written (no
        space left, no permission). Nothing is left behind then.

    Examples
    --------
    >>> write_imagenet_layout("critters224", per_class=5).name  # doctest: +SKIP
    'critters224'
    """
    counts = _counts(per_class, val_per_class, size, seed)
    from ..restricted_imagenet import sub_classes  # imports all of upstream

    coats = {
        wnid: (label, *_coat(j))
        for label, wnids in enumerate(sub_classes().values())
        for j, wnid in enumerate(wnids)
    }
    pictures = [
        Picture(
            file=f"{split}/{wnid}/{wnid}_{i}.JPEG",
            fine_label=(label * len(TEXTURES) + texture) * len(HUES) + hue,
            stream=f"imagenet {split}",
            number=i * len(coats) + place,
        )
        for split, n in counts.items()
        for place, (wnid, (label, texture, hue)) in enumerate(coats.items())
        for i in range(n)
    ]
    classes = {
        wnid: {"animal": CLASSES[label], "texture": TEXTURES[texture], "hue": HUES[hue]}
        for wnid, (label, texture, hue) in coats.items()
    }
    with complete_folder(root) as folder:
        for split in counts:
            for wnid in wordnet_ids():
                (folder / split / wnid).mkdir(parents=True)
        about = _about("imagenet", counts, classes, size, seed)
        write_pictures(folder, pictures, about, seed=seed, size=size, progress=progress)
    return Path(root)


def write_plain_layout(
    root: str | os.PathLike[str],
    *,
    per_class: int = 20,
    val_per_class: int | None = None,
    size: int = 64,
    seed: int = 0,
    progress: bool | Progress = False,
) -> Path:
    """Write critters as PNG files, one folder for each animal under ``train/`` and ``val/``.

    They are the images of `CritterImages` with the same seed and size. ``critters.json`` holds
    the factors of each. Parameters, result and errors are those of `write_imagenet_layout`.

    Examples
    --------
    >>> import tempfile
    >>> folder = write_plain_layout(tempfile.mkdtemp(), per_class=2)
    >>> sorted(path.name for path in folder.glob("train/cat/*"))
    ['000003.png', '000016.png']
    """
    counts = _counts(per_class, val_per_class, size, seed)
    pictures = [
        Picture(
            f"{split}/{CLASSES[fine_label // COATS]}/{number:06d}.png", fine_label, split, number
        )
        for split, n in counts.items()
        for number, fine_label in enumerate(
            Series(n * len(CLASSES), seed, size, split).fine_labels()
        )
    ]
    with complete_folder(root) as folder:
        about = _about("folder", counts, CLASSES, size, seed)
        write_pictures(folder, pictures, about, seed=seed, size=size, progress=progress)
    return Path(root)


def _counts(per_class: int, val_per_class: int | None, size: int, seed: int) -> dict[str, int]:
    """How many images a class has in each part, once everything is checked."""
    if val_per_class is None:
        val_per_class = max(1, index(per_class) // 4)
    for name, n in (("per_class", per_class), ("val_per_class", val_per_class)):
        if index(n) < 1:
            raise InputError(f"{name}={n} leaves the folders empty: ask for 1 or more")
    Series(1, seed, size)
    return {"train": per_class, "val": val_per_class}


def _about(
    layout: str, counts: dict[str, int], classes: Any, size: int, seed: int
) -> dict[str, Any]:
    return {
        "layout": layout,
        "version": DATA_VERSION,
        "seed": seed,
        "size": size,
        "per_class": counts["train"],
        "val_per_class": counts["val"],
        "classes": classes,
    }


def _coat(j: int) -> tuple[int, int]:
    """Texture and hue of the jth sub-class: both differ between neighbours, 18 coats in turn."""
    hue, texture = divmod(j % COATS, len(TEXTURES))
    return texture, (hue + 2 * texture) % len(HUES)
