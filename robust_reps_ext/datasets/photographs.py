"""Photographs that come with scikit-image: everyday things that no small data set holds."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..runtime.errors import InputError

__all__ = ["PHOTOGRAPHS", "photographs"]

PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "retina.jpg",
    "ihc.png",
)
"""Colour images inside scikit-image, those of everyday things first."""

_log = logging.getLogger(__name__)


def photographs(n: int, *, size: int = 224) -> Tensor:
    """Take photographs that come with scikit-image, cut to their middle square and resized.

    A log line says so.

    Parameters
    ----------
    n
        How many, 1 to 8, in the order of `PHOTOGRAPHS`.
    size
        Height and width in pixels, 8 or more.

    Returns
    -------
    Tensor
        (n, 3, size, size), float32 in [0, 1].

    Raises
    ------
    InputError
        If scikit-image is not installed, or there are not that many.

    Examples
    --------
    >>> from robust_reps_ext.datasets.photographs import photographs
    >>> photographs(2, size=64).shape  # doctest: +SKIP
    torch.Size([2, 3, 64, 64])
    """
    if not 1 <= n <= len(PHOTOGRAPHS):
        raise InputError(f"n={n}: there are {len(PHOTOGRAPHS)} photographs; ask for 1 to that many")
    if size < 8:
        raise InputError(f"size={size}: a photograph needs 8 pixels or more")
    found = find_spec("skimage")
    if found is None or found.origin is None:
        raise InputError("the photographs are scikit-image's: pip install 'scikit-image>=0.22'")
    folder = Path(found.origin).parent / "data"
    taken = torch.stack([_square(folder / name, size) for name in PHOTOGRAPHS[:n]])
    _log.info("photographs are cut to their middle square and resized to %d x %d", size, size)
    return taken


def _square(path: Path, size: int) -> Tensor:
    """The middle of a photograph, (3, size, size)."""
    try:
        with Image.open(path) as image:
            side = min(image.size)
            left, top = ((length - side) // 2 for length in image.size)
            box = (left, top, left + side, top + side)
            middle = image.convert("RGB").crop(box)
            small = middle.resize((size, size), Image.Resampling.LANCZOS)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error}; install scikit-image 0.22 or later anew"
        ) from error
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255
