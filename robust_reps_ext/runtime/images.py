"""Images as every call takes them: what can be known of them is checked at the door."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .errors import InputError
from .image_files import image_paths
from .numbers import whole
from .pictures import Reading

__all__ = [
    "Images",
    "as_images",
    "batches_told",
    "is_picture",
    "load_images",
    "pair_of",
    "read_images",
    "side_of",
]

Images = Tensor | np.ndarray[Any, Any] | Sequence[Any] | Any
"""What `as_images` takes; `Any` is a PIL image, a data set or a loader."""

# What batches that are dicts call their images and labels, in the libraries that make such.
IMAGES = ("image", "images", "pixel_values", "img", "inputs", "x")
LABELS = ("label", "labels", "target", "targets", "fine_label", "y")


def load_images(images: Images, *, size: int | None = None, fit: str = "crop") -> Tensor:
    """Images of any kind as float32, (N, C, H, W) in [0, 1], files and PIL images of one size.

    Every call does this with the images that it is given, at the size that its network was
    trained on where that is known (`robust_reps_ext.models.inputs.images_for`).

    Parameters
    ----------
    images
        Files, folders or patterns of files (turned as their EXIF data say, and RGB); PIL images;
        or anything else that `robust_reps_ext.runtime.images.as_images` takes.
    size
        Height and width of files and PIL images; default: as they are.
    fit
        ``"crop"`` for the middle square, ``"pad"`` for all of it on grey, ``"stretch"`` for all
        of it, not to scale.

    Raises
    ------
    InputError
        If a file cannot be read, or images are of several sizes without `size`.

    Examples
    --------
    >>> from PIL import Image
    >>> photographs = [Image.new("RGB", (40, 30)), Image.new("L", (64, 64))]
    >>> load_images(photographs, size=32).shape
    torch.Size([2, 3, 32, 32])
    """
    return as_images("images", images, size=size, fit=fit)


def as_images(
    name: str,
    images: Any,
    channels: int | None = None,
    *,
    size: int | None = None,
    fit: str = "crop",
) -> Tensor:
    """Images as float32, (N, C, H, W) in [0, 1], on the device that they are on.

    Parameters
    ----------
    name
        What the caller calls them, for errors.
    images
        A tensor (N, C, H, W), of floats in [0, 1] or of uint8; a NumPy array, also (N, H, W, C);
        a PIL image; a path: a file, a folder or a pattern; a list of images of one size,
        (C, H, W) each if they are tensors, or of paths; or a data set or a loader, all of whose
        images are taken.
    channels
        How many the model takes; default: any number. Files and PIL images are read as grey
        where it is one, else as RGB; grey tensors are no RGB.
    size, fit
        See `load_images`.

    Raises
    ------
    InputError
        If they are anything else, a file cannot be read, or values leave [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> as_images("targets", np.full((2, 8, 8, 3), 255, dtype=np.uint8)).shape
    torch.Size([2, 3, 8, 8])
    """
    size = None if size is None else whole("size", size, 1)
    return read_images(name, images, Reading(channels, size, fit))


def side_of(images: Tensor) -> int | None:
    """Height and width of images, (N, C, H, W), which others are to have; None unless squares."""
    height, width = images.shape[-2:]
    return height if height == width else None


def read_images(name: str, images: Any, reading: Reading) -> Tensor:
    """`as_images`, files and PIL images in the way of `reading`."""
    images = _tensor(name, images, reading)
    channels = reading.channels
    if images.dim() == 3:
        raise InputError(
            f"{name} has shape {tuple(images.shape)}, which is one image: give {name}[None], "
            "(N, C, H, W) with N = 1"
        )
    if images.dim() != 4 or not images.numel():
        raise InputError(
            f"{name} has shape {tuple(images.shape)}: give images as (N, C, H, W) with N >= 1"
        )
    if channels is not None and images.shape[1] != channels:
        last = images.shape[-1] == channels
        way_out = (
            "they look like (N, H, W, C): give them as permute(0, 3, 1, 2)"
            if last
            else f"grey ones are given as {name}.expand(-1, {channels}, -1, -1)"
            if images.shape[1] == 1
            else "convert them"
        )
        raise InputError(
            f"{name} has shape {tuple(images.shape)}, and the model takes images of {channels} "
            f"channel{'s' * (channels != 1)}, (N, {channels}, H, W): {way_out}"
        )
    if images.dtype == torch.uint8:
        return images.float() / 255
    images = images.detach().float()
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"{name} has values from {low:.4g} to {high:.4g}: bring images into [0, 1] "
            "(0 to 255: divide by 255; normalised images: give them before normalisation)"
        )
    return images


def pair_of(batch: Any) -> tuple[Any, Any]:
    """The images of a batch, and its labels, None without any."""
    if isinstance(batch, Mapping):
        images = next((batch[key] for key in IMAGES if key in batch), None)
        if images is None:
            raise InputError(
                f"a batch has the keys {', '.join(map(str, batch))}, and none of "
                f"{', '.join(IMAGES)}: give batches (images, labels)"
            )
        return images, next((batch[key] for key in LABELS if key in batch), None)
    if isinstance(batch, (tuple, list)):
        if not batch:
            raise InputError("a batch is empty: give batches (images, labels)")
        return batch[0], batch[1] if len(batch) > 1 else None
    return batch, None


def batches_told(loader: Iterable[Any]) -> Iterator[Any]:
    """The batches; one line where a loader cannot put PIL images into one."""
    try:
        yield from loader
    except TypeError as error:
        if "collate" not in str(error) or "PIL" not in str(error):
            raise
        raise InputError.also(TypeError)(
            "the loader cannot put PIL images into batches: give the data set itself, or one with "
            "transform=ToTensor()"
        ) from error


def _tensor(name: str, images: Any, reading: Reading) -> Tensor:
    if isinstance(images, Tensor):
        return images
    if isinstance(images, np.ndarray):
        return _from_array(name, images)
    if isinstance(images, (str, os.PathLike)):
        images = [images]
    if is_picture(images):
        images = [images]
    if isinstance(images, DataLoader):
        found = (pair_of(batch)[0] for batch in batches_told(images))
        return torch.cat([read_images(name, each, reading) for each in found])
    if isinstance(images, Dataset) and isinstance(images, Sized):
        images = [pair_of(images[i])[0] for i in range(len(images))]
    if isinstance(images, (list, tuple)) and images:
        files = [isinstance(one, (str, os.PathLike)) for one in images]
        if all(files):
            images = image_paths(images)
        made = [_one(name, one, reading) for one in images]
        sizes = {tuple(one.shape) for one in made}
        if len(sizes) > 1 and reading.size is None and reading.several is not None:
            reading = replace(reading, size=reading.several)
            made = [_one(name, one, reading) for one in images]
            sizes = {tuple(one.shape) for one in made}
        if len(sizes) > 1:
            told = ", ".join(str(size) for size in sorted(sizes)[:3])
            raise InputError(
                f"{name} are of several sizes ({told}): resize them to one, files and PIL images "
                "by rr.load_images(..., size=224)"
            )
        return torch.stack(made)
    raise InputError(
        f"{name} is a {type(images).__name__}: give images as a tensor (N, C, H, W) in [0, 1], a "
        "NumPy array, files, or a list of images"
    )


def is_picture(image: Any) -> bool:
    """Whether it is a PIL image."""
    return hasattr(image, "convert") and hasattr(image, "getbands")


def _one(name: str, image: Any, reading: Reading) -> Tensor:
    """One image of a list, (C, H, W)."""
    if isinstance(image, Tensor):
        made = image
    elif isinstance(image, np.ndarray):
        made = _from_array(name, image[None])[0]
    elif isinstance(image, (str, os.PathLike)):
        made = reading.file(name, image)
    elif is_picture(image):
        made = reading.picture(name, image)
    else:
        raise InputError(
            f"{name} holds a {type(image).__name__}: give a list of tensors, arrays, PIL images or "
            "files"
        )
    if made.dim() != 3:
        raise InputError(f"{name} holds an image of shape {tuple(made.shape)}: give (C, H, W) each")
    return made.float() / 255 if made.dtype == torch.uint8 else made


def _from_array(name: str, array: np.ndarray[Any, Any]) -> Tensor:
    """(N, C, H, W) from (N, C, H, W), or from (N, H, W, C) and (N, H, W) as NumPy's users have."""
    if array.dtype == object or not np.issubdtype(array.dtype, np.number):
        raise InputError(f"{name} is an array of {array.dtype}: give numbers")
    made = torch.from_numpy(np.array(array))
    if made.dim() == 3 and made.shape[0] == 1:
        return made[:, None]
    if made.dim() == 4 and made.shape[-1] in (1, 3, 4) and made.shape[1] not in (1, 3, 4):
        return made.permute(0, 3, 1, 2).contiguous()
    return made
