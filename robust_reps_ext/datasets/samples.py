"""Images of a data set's validation part, by name and in an order that a seed fixes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

import torch
from robustness.datasets import DataSet
from torch import Tensor

from ..runtime.errors import InputError
from ..runtime.numbers import shown
from ..runtime.randomness import shuffled
from ..upstream import registry
from ..upstream.data.bad_images import BadImages, readable, record_of
from .wordnet import named

__all__ = [
    "ALL",
    "Samples",
    "class_names",
    "open_data_set",
    "training_set",
    "validation_places",
    "validation_samples",
    "validation_set",
]

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

    images: Tensor = field(repr=False)
    labels: Tensor
    names: tuple[str, ...]
    indices: Tensor

    def rows(self, places: Sequence[int]) -> Samples:
        """Those at some places, in that order."""
        return Samples(
            self.images[list(places)],
            self.labels[list(places)],
            tuple(self.names[place] for place in places),
            self.indices[list(places)],
        )


def open_data_set(
    name: str,
    data: str | os.PathLike[str] | None = None,
    *,
    on_bad_image: str = "stop",
    **arguments: Any,
) -> DataSet:
    """The data set that `robustness` knows as `name`, with its files in the folder `data`.

    Parameters
    ----------
    name
        A key of `robustness.datasets.DATASETS`, or ``"hf:PATH"`` for what `datasets.load_dataset`
        finds at that path.
    data
        The folder; critters do without one.
    on_bad_image
        ``"stop"``: an image file that cannot be read is an error. ``"skip"``: it is passed over,
        a log line names it, and ``bad_images.skipped`` of the data set holds it.
    **arguments
        What else its class takes.

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
    folder = "" if data is None else os.fspath(data)
    found: DataSet = registry.data_set(name, folder, **arguments)
    if not folder and name not in DRAWN and not name.startswith(registry.HF):
        raise InputError(f"data set {name!r} is read from a folder: give it as --data (data=)")
    found.bad_images = BadImages(on_bad_image)
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
    ==> Preparing dataset critters..
    >>> image.shape
    torch.Size([3, 64, 64])
    """
    if data_set not in _opened:
        _opened[data_set] = _loaders(data_set, only_val=True)[1].dataset
    return _opened[data_set]


def training_set(data_set: DataSet) -> Any:
    """The images of the training part with their labels, as the test transform gives them.

    Raises
    ------
    InputError
        If its files are neither in the folder nor can be fetched.

    Examples
    --------
    >>> from robust_reps_ext.datasets.critters import CrittersDataSet
    >>> from robust_reps_ext.datasets.samples import training_set
    >>> len(training_set(CrittersDataSet(custom_class_args={"n_train": 9, "n_val": 9})))
    ==> Preparing dataset critters..
    9
    """
    return _loaders(data_set, only_val=False)[0].dataset


def _loaders(data_set: DataSet, *, only_val: bool) -> tuple[Any, Any]:
    if not hasattr(data_set, "make_loaders"):
        raise InputError(
            f"the data set is {shown(data_set)}: give one of robustness, as "
            "open_data_set(name, folder) makes it"
        )
    loaders: tuple[Any, Any] = data_set.make_loaders(
        0, 1, data_aug=False, only_val=only_val, shuffle_train=False, shuffle_val=False
    )
    return loaders


# A folder takes long to list, and is listed once.
_opened: WeakKeyDictionary[DataSet, Any] = WeakKeyDictionary()


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
        If there are not that many, or their files are missing or damaged. (Damaged ones are passed
        over where the data set was opened so.)

    Examples
    --------
    >>> from robust_reps_ext.datasets.samples import open_data_set, validation_samples
    >>> validation_samples(open_data_set("critters"), 2).images.shape
    ==> Preparing dataset critters..
    torch.Size([2, 3, 64, 64])
    """
    indices = validation_places(data_set, n, skip=skip, seed=seed)[part]
    found = validation_set(data_set)
    images, labels = zip(*(found[i] for i in indices), strict=True)
    known = class_names(data_set, found)
    numbers = [int(label) for label in labels]
    return Samples(
        images=torch.stack(images),
        labels=torch.tensor(numbers),
        names=tuple(known[number] if known else str(number) for number in numbers),
        indices=torch.tensor(indices),
    )


def validation_places(
    data_set: DataSet, n: int | None, *, skip: int = 0, seed: int = 0
) -> list[int]:
    """The places of `n` validation images in a random order that `seed` fixes.

    Where the data set passes over images that cannot be read, all that are asked for are read
    once to find these; else none is.

    Parameters
    ----------
    data_set
        As `open_data_set` returns it.
    n
        How many; None for all.
    skip
        How many to pass by first.
    seed
        Fixes the order.

    Raises
    ------
    InputError
        If there are none, or not that many, that can be read.

    Examples
    --------
    >>> from robust_reps_ext.datasets.samples import open_data_set, validation_places
    >>> len(validation_places(open_data_set("critters"), 3))
    ==> Preparing dataset critters..
    3
    """
    if n is not None and n < 1:
        raise InputError(f"n={n}: ask for 1 image or more")
    found = validation_set(data_set)
    needed = skip + (n or 1)
    beside = f" beside {skip} others" if skip else ""
    asked = "" if n is None else f"n={n}{beside}: "
    if needed > len(found):
        raise InputError(
            f"{asked}the validation set of {data_set.ds_name!r} has {len(found)} images; give a "
            "folder with more, or ask for fewer"
        )
    if record_of(found).action == "skip":
        places = list(_readable_places(data_set, None if n is None else needed, seed))
    else:
        places = shuffled(len(found), seed=seed)
    if len(places) < needed:
        raise InputError(
            f"{asked}{len(places)} of the {len(found)} validation images of "
            f"{data_set.ds_name!r} can be read; ask for fewer, or mend them"
        )
    return places[skip:][:n]


@lru_cache(maxsize=8)
def _readable_places(data_set: DataSet, n: int | None, seed: int) -> tuple[int, ...]:
    found = validation_set(data_set)
    order = shuffled(len(found), seed=seed)
    return tuple(islice((place for place, _ in readable(found, order)), n))


def class_names(data_set: Any, found: Any = None) -> list[str]:
    """Names of the labels, of the data set or of its images; empty where neither has some.

    Folders that are called by WordNet id have ImageNet's names.
    """
    names = getattr(data_set, "classes", None) or getattr(found, "classes", None) or ()
    return named([str(name) for name in names])
