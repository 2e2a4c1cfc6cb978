"""Reads image files from anyone as RGB, finds them, and brings them to one size."""

from __future__ import annotations

import glob
import os
import stat
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import InputError, first_line, one_line

__all__ = [
    "EXTENSIONS",
    "FITS",
    "FORMATS",
    "MOST_ELONGATED",
    "WAY_OUT",
    "BadImageError",
    "as_rgb",
    "fitted",
    "image_paths",
    "names_images",
    "pil_loader",
    "read_alpha",
]

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".jfif")
"""How the names of image files end, in a folder."""

FITS = ("crop", "pad", "stretch")
"""How an image becomes square, see `fitted`."""

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
"""What a file may hold, whatever its name ends in. Pillow knows more: EPS, for which it starts
another program, and formats that hardly anyone's images have and few have tested."""

MOST_ELONGATED = 500
"""How many times longer than wide an image may be: resizing makes the short side 256 pixels."""

WAY_OUT = ": replace or remove the file, or pass over such with --on-bad-image skip (on_bad_image=)"


class BadImageError(InputError):
    """An image file that cannot be read; the message names it."""


def pil_loader(path: str | os.PathLike[str], *, upright: bool = False) -> Image.Image:
    """Read an image file as RGB.

    The first frame counts where there are several. Transparency and EXIF data are dropped, and
    16-bit grey is scaled to 8 bits.

    Parameters
    ----------
    path
        The file.
    upright
        Turn the image as its EXIF data say a camera was held; default: leave it, as upstream does.

    Raises
    ------
    BadImageError
        If the file is missing, cut short, no image of the `FORMATS`, has more than
        `PIL.Image.MAX_IMAGE_PIXELS` pixels, or is more than `MOST_ELONGATED` times as long as
        wide.
    """
    return _read(path, lambda image: as_rgb(ImageOps.exif_transpose(image) if upright else image))


def read_alpha(path: str | os.PathLike[str]) -> Image.Image:
    """The alpha channel of an image file as 8 bits of grey, or its grey where it has none.

    Raises
    ------
    BadImageError
        As `pil_loader`.
    """
    return _read(path, _alpha, ": give another file")


def image_paths(given: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[str]:
    """The image files that paths mean: files, folders of images, and patterns such as ``*.jpg``.

    Files stand in the order in which they are given; those of a folder or a pattern are sorted. A
    folder means the images in it and in the folders below it.

    Raises
    ------
    InputError
        If one means no image.

    Examples
    --------
    >>> image_paths("no/such/*.jpg")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    robust_reps_ext.runtime.errors.InputError: no/such/*.jpg: no image file; give ...
    """
    found: list[str] = []
    for one in [given] if isinstance(given, (str, os.PathLike)) else given:
        if "://" in str(one):
            raise InputError(f"{one_line(one)}: an address, and nothing is loaded: give a file")
        path = Path(one).expanduser()
        if path.is_dir():
            inside = (each for each in path.rglob("*") if _is_image(each))
            some = [str(each) for each in sorted(inside)]
        elif path.exists():
            some = [str(path)]
        else:
            some = sorted(each for each in glob.glob(str(path)) if os.path.isfile(each))
        if not some:
            raise InputError(
                f"{one_line(one)}: no image file; give files, folders or patterns of images"
            )
        found += some
    return found


def names_images(text: str) -> bool:
    """Whether a text is the name of a file or folder, or a pattern that files match."""
    return Path(text).expanduser().exists() or bool(glob.glob(text))


def fitted(image: Image.Image, size: int, fit: str = "crop") -> Image.Image:
    """An image as a square of `size` pixels; one that is of that size already stays as it is.

    Parameters
    ----------
    image
        As `pil_loader` gives it.
    size
        Height and width, 1 or more.
    fit
        ``"crop"``: the middle square; ``"pad"``: all of it, on grey; ``"stretch"``: all of it,
        not to scale.

    Raises
    ------
    InputError
        If `fit` is none of these or `size` below 1.

    Examples
    --------
    >>> from PIL import Image
    >>> fitted(Image.new("RGB", (30, 20)), 8, "pad").size
    (8, 8)
    """
    if fit not in FITS:
        raise InputError(f"fit={fit!r} is not known: choose {', '.join(FITS)}")
    if size < 1 or size != int(size):
        raise InputError(f"size={size}: give a whole number of pixels, 1 or more")
    square, way = (int(size), int(size)), Image.Resampling.BICUBIC
    if image.size == square:
        return image
    if fit == "crop":
        return ImageOps.fit(image, square, way)
    if fit == "pad":
        return ImageOps.pad(image, square, way, color=(128, 128, 128))
    return image.resize(square, way)


def as_rgb(image: Image.Image) -> Image.Image:
    """Any image as RGB with 8 bits; 16-bit grey is scaled, transparency dropped.

    Raises
    ------
    ValueError
        If its pixels are floating-point numbers.
    """
    if image.mode == "F":  # convert() would make 0 to 1 black
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if image.mode.startswith("I"):  # convert() would clip all above 255 to white
        values = np.asarray(image)
        if values.max(initial=0) > 255 or image.mode != "I":
            image = Image.fromarray((values / 257).round().clip(0, 255).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()


def _check_shape(width: int, height: int) -> None:
    short, long = sorted((width, height))
    if short < 1 or long > MOST_ELONGATED * short:
        raise ValueError(
            f"it has {width} x {height} pixels, and one side more than {MOST_ELONGATED} times the "
            "other"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, or damaged"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels, PIL.Image.MAX_IMAGE_PIXELS"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return first_line(error)


def _read(
    path: str | os.PathLike[str],
    made: Callable[[Image.Image], Image.Image],
    way_out: str = WAY_OUT,
) -> Image.Image:
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
                return made(image)
    except Exception as error:  # a damaged file makes Pillow raise anything
        raise BadImageError.also(type(error))(
            f"cannot read the image {one_line(os.fspath(path))} ({_reason(error)}){way_out}"
        ) from error


def _alpha(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        return image.convert("RGBA").getchannel("A")
    return as_rgb(image).convert("L")
