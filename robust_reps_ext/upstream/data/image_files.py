"""Reads an image file from anyone as RGB, or says in one line why not."""

from __future__ import annotations

import os
import stat
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from ...runtime.errors import InputError, first_line, one_line

__all__ = ["FORMATS", "MOST_ELONGATED", "WAY_OUT", "BadImageError", "pil_loader"]

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
"""What a file may hold, whatever its name ends in. Pillow knows more: EPS, for which it starts
another program, and formats that hardly anyone's images have and few have tested."""

MOST_ELONGATED = 500
"""How many times longer than wide an image may be: resizing makes the short side 256 pixels."""

WAY_OUT = ": replace or remove the file, or pass over such with --on-bad-image skip (on_bad_image=)"


class BadImageError(InputError):
    """An image file that cannot be read; the message names it."""


def pil_loader(path: str | os.PathLike[str]) -> Image.Image:
    """Read an image file as RGB.

    The first frame counts where there are several. Transparency and EXIF data, orientation
    included, are dropped, and 16-bit grey is scaled to 8 bits.

    Raises
    ------
    BadImageError
        If the file is missing, cut short, no image of the `FORMATS`, has more than
        `PIL.Image.MAX_IMAGE_PIXELS` pixels, or is more than `MOST_ELONGATED` times as long as
        wide.
    """
    try:
        # Opening a pipe would wait for whoever writes to it.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("it is no ordinary file")
        with warnings.catch_warnings():
            # Pillow warns of damaged EXIF data and the like, which is not used here.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check_shape(*image.size)
                return _rgb(image)
    except Exception as error:  # a damaged file makes Pillow raise anything
        raise BadImageError.also(type(error))(
            f"cannot read the image {one_line(os.fspath(path))} ({_reason(error)}){WAY_OUT}"
        ) from error


def _check_shape(width: int, height: int) -> None:
    short, long = sorted((width, height))
    if short < 1 or long > MOST_ELONGATED * short:
        raise ValueError(
            f"it has {width} x {height} pixels, and one side more than {MOST_ELONGATED} times the "
            "other"
        )


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":  # convert() would make 0 to 1 black
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if image.mode.startswith("I"):  # convert() would clip all above 255 to white
        values = np.asarray(image)
        if values.max(initial=0) > 255 or image.mode != "I":
            image = Image.fromarray((values / 257).round().clip(0, 255).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, or damaged"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels, PIL.Image.MAX_IMAGE_PIXELS"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return first_line(error)
