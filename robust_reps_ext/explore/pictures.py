"""The images that one may choose, and those that are dropped on the page."""

from __future__ import annotations

import io
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..results.figures import Channels, as_colors
from ..runtime.errors import InputError, one_line
from ..runtime.image_files import WAY_OUT, BadImageError, pil_loader
from ..runtime.images import as_images

__all__ = [
    "MOST_BYTES",
    "MOST_DROPPED",
    "Gallery",
    "Picture",
    "pixels",
    "png",
    "read_dropped",
    "too_large",
]

MOST_BYTES = 20 * 2**20
"""Of a file that is dropped on the page."""

MOST_DROPPED = 24
"""Files that a page may drop; of more, the first go."""

_one_at_a_time = threading.Lock()  # decoding takes up to half a gigabyte


@dataclass(frozen=True)
class Picture:
    """An image in the size of each network.

    Attributes
    ----------
    name
        What it is called.
    by_shape
        (channels, side) of networks -> (1, C, H, W), float32 in [0, 1].
    index
        Its place among them.
    """

    name: str
    by_shape: dict[tuple[int, int], Tensor] = field(repr=False)
    index: int = 0

    def at(self, shape: tuple[int, int]) -> Tensor:
        """As a network takes it, (1, C, H, W)."""
        return self.by_shape[shape]


class Gallery:
    """The images that every page may choose, in their order.

    Parameters
    ----------
    pictures
        At least one.
    origin
        Where they are from, in a word or two.
    """

    def __init__(self, pictures: Sequence[Picture], origin: str) -> None:
        if not pictures:
            raise InputError("there is no image to begin with: give --images FILE|DIR|GLOB")
        self.pictures, self.origin = list(pictures), origin

    def __getitem__(self, number: int) -> Picture:
        return self.pictures[number]

    def __len__(self) -> int:
        return len(self.pictures)

    def at(self, shape: tuple[int, int]) -> Tensor:
        """All of them, (N, C, H, W)."""
        return torch.cat([one.at(shape) for one in self.pictures])


def read_dropped(
    name: str, data: bytes, shapes: Sequence[tuple[int, int]], fit: str = "crop"
) -> Picture:
    """An image from the bytes of a file, of which nothing is kept.

    Parameters
    ----------
    name
        Of the file, for errors.
    data
        What is in it.
    shapes
        (channels, side) of the networks that will see it.
    fit
        How it becomes square, see `robust_reps_ext.runtime.image_files.fitted`.

    Raises
    ------
    InputError
        If it is larger than `MOST_BYTES`, or no image as `pil_loader` reads it.

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.explore.pictures import png, read_dropped
    >>> file = png(torch.zeros(1, 3, 20, 30))
    >>> read_dropped("black.png", file, [(3, 8)]).at((3, 8)).shape
    torch.Size([1, 3, 8, 8])
    """
    name = one_line(name)[:80] or "image"
    if len(data) > MOST_BYTES:
        raise InputError(too_large(name))
    with _one_at_a_time, tempfile.TemporaryDirectory(prefix="explore-") as folder:
        path = Path(folder, "dropped")
        path.write_bytes(data)
        try:
            image = pil_loader(path, upright=True)
        except BadImageError as error:
            said = str(error).replace(str(path), name).removesuffix(WAY_OUT)
            raise InputError(f"{said}: choose another file") from None
    made = {
        shape: as_images("images", [image], shape[0], size=shape[1], fit=fit)
        for shape in dict.fromkeys(shapes)
    }
    return Picture(name, made)


def too_large(name: str) -> str:
    """The line for a file above the limit."""
    return f"{name} has more than {MOST_BYTES >> 20} MB: make it smaller, or choose another file"


def pixels(image: Tensor, channels: Channels | None = None) -> np.ndarray[Any, Any]:
    """One image (1, C, H, W) in [0, 1] as bytes, (H, W, 3)."""
    shown = (as_colors(image[:1], channels)[0][0] * 255).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(shown, (*shown.shape[:2], 3)))


def png(image: Tensor, channels: Channels | None = None) -> bytes:
    """One image (1, C, H, W) in [0, 1] as a PNG file, which loses nothing of 8 bits a channel."""
    buffer = io.BytesIO()
    Image.fromarray(pixels(image, channels)).save(buffer, format="PNG")
    return buffer.getvalue()
