"""Photographs that come with installed packages: everyday things that no small data set holds."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..runtime.errors import InputError

__all__ = ["PHOTOGRAPHS", "available", "photographs"]

EVERYDAY = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
UNUSUAL = ("hubble_deep_field.jpg", "retina.jpg", "ihc.png")
PHOTOGRAPHS = (*EVERYDAY, *UNUSUAL)
"""Colour images inside scikit-image, those of everyday things first."""

ALWAYS = {
    "china.jpg": ("sklearn", "datasets/images"),
    "flower.jpg": ("sklearn", "datasets/images"),
    "grace_hopper.jpg": ("matplotlib", "mpl-data/sample_data"),
}
"""Of scikit-learn and matplotlib, without which this package is not installed."""

_log = logging.getLogger(__name__)


def available() -> tuple[str, ...]:
    """The photographs that are here, those of everyday things first.

    Three come with scikit-learn and matplotlib, eight with scikit-image, where it is installed.

    Examples
    --------
    >>> from robust_reps_ext.datasets.photographs import available
    >>> [name for name in available() if name in ("china.jpg", "flower.jpg", "grace_hopper.jpg")]
    ['china.jpg', 'flower.jpg', 'grace_hopper.jpg']
    """
    return tuple(ALWAYS) if _folder("skimage", "data") is None else (*EVERYDAY, *ALWAYS, *UNUSUAL)


def photographs(n: int, *, size: int = 224) -> Tensor:
    """Take photographs that come with packages, cut to their middle square and resized.

    A log line says so.

    Parameters
    ----------
    n
        How many, in the order of `available`: 1 to 3, with scikit-image to 11.
    size
        Height and width in pixels, 8 or more.

    Returns
    -------
    Tensor
        (n, 3, size, size), float32 in [0, 1].

    Raises
    ------
    InputError
        If there are not that many.

    Examples
    --------
    >>> from robust_reps_ext.datasets.photographs import photographs
    >>> photographs(2, size=64).shape
    torch.Size([2, 3, 64, 64])
    """
    names = available()
    if not 1 <= n <= len(names):
        more = "" if len(names) > len(ALWAYS) else ", or pip install 'scikit-image>=0.22' for more"
        raise InputError(f"n={n}: there are {len(names)} photographs; ask for 1 to that many{more}")
    if size < 8:
        raise InputError(f"size={size}: a photograph needs 8 pixels or more")
    taken = torch.stack([_square(name, size) for name in names[:n]])
    _log.info("photographs are cut to their middle square and resized to %d x %d", size, size)
    return taken


def _folder(package: str, within: str) -> Path | None:
    found = find_spec(package)
    return None if found is None or found.origin is None else Path(found.origin).parent / within


def _square(name: str, size: int) -> Tensor:
    """The middle of a photograph, (3, size, size)."""
    package, within = ALWAYS.get(name, ("skimage", "data"))
    path = (_folder(package, within) or Path()) / name
    try:
        with Image.open(path) as image:
            side = min(image.size)
            left, top = ((length - side) // 2 for length in image.size)
            box = (left, top, left + side, top + side)
            middle = image.convert("RGB").crop(box)
            small = middle.resize((size, size), Image.Resampling.LANCZOS)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}; install {package} anew") from error
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255
