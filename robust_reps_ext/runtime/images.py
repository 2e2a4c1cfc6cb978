"""Images as every call takes them: what can be known of them is checked at the door."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate
from tqdm import tqdm

from .errors import InputError
from .image_files import image_paths
from .labels import as_labels
from .memory import Fastest
from .numbers import check_progress, shown, whole
from .pictures import Reading

__all__ = ["Batches", "Images", "as_images", "batches", "load_images", "read_images"]

Images = Tensor | np.ndarray[Any, Any] | Sequence[Any] | Any
"""What `as_images` takes; `Any` is a PIL image, a data set or a loader."""

# What batches that are dicts call their images and labels, in the libraries that make such.
IMAGES = ("image", "images", "pixel_values", "img", "inputs", "x")
LABELS = ("label", "labels", "target", "targets", "fine_label", "y")
ANY = Reading()
# Of a data set that was given in a loader's place.
BATCH = 32


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


class Batches:
    """One pass through a data set, which tells how far it is and may be ended early.

    Parameters
    ----------
    loader, reading, batch_size, fastest
        See `batches`.
    progress
        True for a bar, or ``progress(images_done, images_in_all, value)`` after each batch; the
        pass ends where it returns True. Where the loader does not tell how many images there are
        in all, that is how many are done.

    Attributes
    ----------
    value
        What is told beside the numbers; whoever goes through the batches keeps it up to date.
    stopped
        Whether the pass was ended.
    """

    def __init__(
        self,
        loader: Any,
        reading: Reading = ANY,
        *,
        batch_size: Any = None,
        fastest: Fastest | None = None,
        progress: bool | Callable[[int, int, float], Any] = False,
    ) -> None:
        check_progress(progress)
        self._batches = batches(loader, reading, batch_size, fastest)
        self._in_all = _count(loader)
        self._progress = progress
        self.value, self.stopped = float("nan"), False

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        done = 0
        bar = tqdm(total=self._in_all or None, unit="image", disable=self._progress is not True)
        with bar:
            for images, labels in self._batches:
                yield images, labels
                done += len(images)
                bar.update(len(images))
                if callable(self._progress):
                    told = self._progress(done, max(done, self._in_all), self.value)
                    self.stopped = told is True
                if self.stopped:
                    return


def batches(
    loader: Any,
    reading: Reading = ANY,
    batch_size: Any = None,
    fastest: Fastest | None = None,
) -> Iterator[tuple[Tensor, Any]]:
    """The batches of a loader: images as `as_images` gives them, and labels, None without any.

    Parameters
    ----------
    loader
        Gives batches ``images``, ``(images, labels, ...)``, or dicts with a key such as
        ``image`` or ``pixel_values`` and one such as ``label``; or a data set, which is gone
        through 32 images at a time.
    reading
        How files and PIL images become what a network takes; here `several` is the size of all,
        as a batch does not know of the others.
    batch_size
        The most images of a batch: larger ones are cut. Default: as the loader gives them.
        ``"auto"`` for what `fastest` finds out.
    fastest
        What is done with a batch.

    Raises
    ------
    InputError
        If it gives anything else, or `batch_size` is no whole number.
    """
    if fastest is not None and isinstance(batch_size, str) and batch_size == "auto":
        return _batches(loader, reading, None, fastest)
    text = fastest is not None and isinstance(batch_size, str)
    wanted = 'a whole number, or "auto"' if text else None
    size = None if batch_size is None else whole("batch_size", batch_size, 1, wanted=wanted)
    return _batches(loader, reading, size, None)


def _batches(
    loader: Any, reading: Reading, size: int | None, fastest: Fastest | None
) -> Iterator[tuple[Tensor, Any]]:
    reading = replace(reading, size=reading.size or reading.several)
    if isinstance(loader, (str, bytes)) or not isinstance(
        loader, Iterable | torch.utils.data.Dataset
    ):
        raise InputError(
            f"the data is a {type(loader).__name__}: give a loader, whose batches are "
            "(images, labels)"
        )
    if isinstance(loader, (Tensor, np.ndarray)):
        raise InputError(
            f"the data is {shown(loader)}: give a list of batches, [(images, labels)], a data set "
            "or a loader"
        )
    if isinstance(loader, tuple) and len(loader) == 2 and _is_pair(*loader):
        raise InputError("the data is one pair: give a list of such, [(images, labels)]")
    if isinstance(loader, Dataset) and not isinstance(loader, IterableDataset):
        most = size or (BATCH if fastest is None else fastest.most)
        # A loader without its own draws a seed from the global one at each pass.
        loader = DataLoader(loader, most, generator=torch.Generator(), collate_fn=_together)
    for batch in _told(loader):
        images, labels = _pair(batch)
        images = read_images("images", images, reading)
        if size is None and fastest is not None:
            size = fastest.size(images, labels)
        if size is None or len(images) <= size:
            yield images, labels
            continue
        labels = None if labels is None else as_labels(labels, len(images))
        for first in range(0, len(images), size):
            rows = slice(first, first + size)
            yield images[rows], None if labels is None else labels[rows]


def _is_pair(images: Any, labels: Any) -> bool:
    """Whether it is a batch of images and its labels, and not two batches."""
    shapes = [getattr(one, "ndim", None) for one in (images, labels)]
    return shapes[0] == 4 and (shapes[1] in (1, 2) or isinstance(labels, (list, tuple)))


def _together(items: list[Any]) -> Any:
    """A batch of what a data set gives one by one, PIL images too."""
    if not _is_picture(_pair(items[0])[0]):
        return default_collate(items)
    images, labels = zip(*map(_pair, items), strict=True)
    return list(images), None if labels[0] is None else default_collate(list(labels))


def _told(loader: Iterable[Any]) -> Iterator[Any]:
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


def _count(loader: Any) -> int:
    """How many images a loader has in all; 0 where it does not tell."""
    data = getattr(loader, "dataset", loader)
    if isinstance(data, Dataset):
        return len(data) if isinstance(data, Sized) else 0
    if isinstance(data, (list, tuple)):
        images = [_pair(batch)[0] for batch in data]
        return sum(len(some) if isinstance(some, Sized) else 1 for some in images)
    return 0


def _pair(batch: Any) -> tuple[Any, Any]:
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


def _tensor(name: str, images: Any, reading: Reading) -> Tensor:
    if isinstance(images, Tensor):
        return images
    if isinstance(images, np.ndarray):
        return _from_array(name, images)
    if isinstance(images, (str, os.PathLike)):
        images = [images]
    if _is_picture(images):
        images = [images]
    if isinstance(images, DataLoader):
        return torch.cat([each for each, _ in batches(images, reading)])
    if isinstance(images, Dataset) and isinstance(images, Sized):
        images = [_pair(images[i])[0] for i in range(len(images))]
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


def _is_picture(image: Any) -> bool:
    return hasattr(image, "convert") and hasattr(image, "getbands")


def _one(name: str, image: Any, reading: Reading) -> Tensor:
    """One image of a list, (C, H, W)."""
    if isinstance(image, Tensor):
        made = image
    elif isinstance(image, np.ndarray):
        made = _from_array(name, image[None])[0]
    elif isinstance(image, (str, os.PathLike)):
        made = reading.file(name, image)
    elif _is_picture(image):
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
