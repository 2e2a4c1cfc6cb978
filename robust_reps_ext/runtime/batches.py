"""Passes through data, batch by batch, with their labels where there are any."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate
from tqdm import tqdm

from .errors import InputError
from .image_files import image_paths, names_images
from .images import batches_told, is_picture, pair_of, read_images
from .labels import as_labels
from .memory import Fastest
from .numbers import check_progress, shown, whole
from .pictures import Reading

__all__ = ["Batches", "batches"]

ANY = Reading()
BATCH = 32
"""Images of a data set or of files that are given in a loader's place."""


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
        loader = _files(loader) or loader  # a folder is listed once
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
        through 32 images at a time; or files or PIL images, which have no labels.
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
    if files := _files(loader):
        some = size or BATCH
        loader = [(files[i : i + some], None) for i in range(0, len(files), some)]
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
    for batch in batches_told(loader):
        images, labels = pair_of(batch)
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


def _files(given: Any) -> list[Any]:
    """The files or PIL images that are given in a loader's place; none where it is one."""
    if isinstance(given, (str, os.PathLike)) and names_images(os.fspath(given)):
        return list(image_paths(given))
    if not isinstance(given, (list, tuple)):
        return []
    alone = (isinstance(one, (str, os.PathLike)) or is_picture(one) for one in given)
    return list(given) if all(alone) else []


def _is_pair(images: Any, labels: Any) -> bool:
    """Whether it is a batch of images and its labels, and not two batches."""
    shapes = [getattr(one, "ndim", None) for one in (images, labels)]
    return shapes[0] == 4 and (shapes[1] in (1, 2) or isinstance(labels, (list, tuple)))


def _together(items: list[Any]) -> Any:
    """A batch of what a data set gives one by one, PIL images too."""
    if not is_picture(pair_of(items[0])[0]):
        return default_collate(items)
    images, labels = zip(*map(pair_of, items), strict=True)
    return list(images), None if labels[0] is None else default_collate(list(labels))


def _count(loader: Any) -> int:
    """How many images a loader has in all; 0 where it does not tell."""
    data = getattr(loader, "dataset", loader)
    if isinstance(data, Dataset):
        return len(data) if isinstance(data, Sized) else 0
    if files := _files(data):
        return len(files)
    if isinstance(data, (list, tuple)):
        images = [pair_of(batch)[0] for batch in data]
        return sum(len(some) if isinstance(some, Sized) else 1 for some in images)
    return 0
