"""Images of a data set's validation part, by name and in an order that a seed fixes."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError

import torch
from robustness.datasets import DATASETS, DataSet
from torch import Tensor

from ..errors import InputError

__all__ = ["ALL", "Samples", "open_data_set", "validation_samples", "validation_set"]

DRAWN = ("critters", "critters_fine")
ALL = slice(None)


@dataclass(frozen=True)
class Samples:
    """Some images of a data set.

    Attributes
    ----------
    images
        (N, C, H, W) in [0, 1], as the data set's test transform gives them.
    labels
        (N,), int64.
    names
        N names of the labels; the numbers themselves where the data set has no names.
    indices
        (N,), the place of each image in the validation set.
    """

    images: Tensor
    labels: Tensor
    names: tuple[str, ...]
    indices: Tensor


def open_data_set(name: str, data: str | os.PathLike[str] | None = None) -> DataSet:
    """The data set that `robustness` knows as `name`, with its files in the folder `data`.

    Raises
    ------
    InputError
        If there is no such data set, or it needs a folder, or more than a folder.

    Examples
    --------
    >>> from robust_reps_ext.datasets.samples import open_data_set
    >>> open_data_set("critters").num_classes
    9
    """
    if name not in DATASETS:
        close = difflib.get_close_matches(name, list(DATASETS), n=3) or sorted(DATASETS)
        raise InputError(f"unknown data set {name!r}: try {', '.join(close)}")
    folder = "" if data is None else os.fspath(data)
    try:
        found = DATASETS[name](folder)
    except (AssertionError, TypeError) as error:
        reason = str(error) or "it needs more than a folder"
        raise InputError(f"data set {name!r} cannot be opened by name: {reason}") from error
    if not folder and name not in DRAWN:
        raise InputError(f"data set {name!r} is read from a folder: give it as --data (data=)")
    return found


def validation_set(data_set: DataSet) -> Any:
    """The images of the validation part, with their labels.

    Raises
    ------
    InputError
        If its files are neither in the folder nor can be fetched.

    Examples
    --------
    >>> from robust_reps_ext.datasets.samples import open_data_set, validation_set
    >>> image, label = validation_set(open_data_set("critters"))[0]
    >>> image.shape
    torch.Size([3, 64, 64])
    """
    try:
        _, loader = data_set.make_loaders(0, 1, only_val=True, shuffle_val=False)
    except URLError as error:
        raise InputError(
            f"the files of data set {data_set.ds_name!r} are not in {data_set.data_path} and "
            "cannot be fetched: put them there, or give another folder"
        ) from error
    return loader.dataset


def validation_samples(
    data_set: DataSet, n: int, *, skip: int = 0, seed: int = 0, part: slice = ALL
) -> Samples:
    """Take `n` validation images in a random order that `seed` fixes.

    Parameters
    ----------
    data_set
        As `open_data_set` returns it.
    n
        How many, 1 or more.
    skip
        How many to pass by first: with the same seed, ``skip=n`` gives `n` others.
    seed
        Fixes the order.
    part
        Which of the `n` to load.

    Raises
    ------
    InputError
        If there are not that many, or their files are missing or damaged.

    Examples
    --------
    >>> from robust_reps_ext.datasets.samples import open_data_set, validation_samples
    >>> validation_samples(open_data_set("critters"), 2).images.shape
    torch.Size([2, 3, 64, 64])
    """
    if n < 1:
        raise InputError(f"n={n}: ask for 1 image or more")
    found = validation_set(data_set)
    if skip + n > len(found):
        beside = f" beside {skip} others" if skip else ""
        raise InputError(
            f"n={n}{beside}: the validation set of {data_set.ds_name!r} has {len(found)} images; "
            "ask for fewer"
        )
    generator = torch.Generator().manual_seed(seed)
    indices = torch.randperm(len(found), generator=generator)[skip : skip + n][part]
    images, labels = zip(*(found[i] for i in indices.tolist()), strict=True)
    known = _class_names(data_set, found)
    numbers = [int(label) for label in labels]
    return Samples(
        images=torch.stack(images),
        labels=torch.tensor(numbers),
        names=tuple(known[number] if known else str(number) for number in numbers),
        indices=indices,
    )


def _class_names(data_set: Any, found: Any) -> list[str]:
    names = getattr(data_set, "classes", None) or getattr(found, "classes", None) or ()
    return [str(name) for name in names]
