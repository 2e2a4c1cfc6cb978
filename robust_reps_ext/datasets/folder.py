"""Anyone's photographs in a folder, with a folder for each class.

`FolderDataSet` is what `robustness` knows as ``folder``; `FolderImages` is one part of the images.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from robustness import imagenet_models
from robustness.datasets import DataSet
from torchvision import transforms

from ..runtime.errors import InputError, listed
from ..runtime.image_files import FITS
from ..runtime.randomness import shuffled
from ..upstream import registry
from ..upstream.data.folders import EXTENSIONS, find_classes, make_dataset
from .augmentation import MovedAndMirrored
from .decoded import decoded
from .decoded_images import DecodedImages

__all__ = ["FolderDataSet", "FolderImages", "Parts", "parts_of"]

VALIDATION_SHARE = 0.2
# Enough for the mean of each channel to four digits.
MEASURED = 2000


class Parts(NamedTuple):
    """The images of a folder: names of the classes, and (path, label) of each part."""

    classes: tuple[str, ...]
    train: list[tuple[str, int]]
    val: list[tuple[str, int]]


class FolderImages(DecodedImages):
    """The training or the validation images of a folder, as squares of one size.

    Files are turned as their EXIF data say, decoded at the first use, and kept in the user's
    cache, see `robust_reps_ext.datasets.decoded`.

    Parameters
    ----------
    root
        The folder, laid out as `parts_of` says.
    train
        The training images, else the validation images.
    download
        What torchvision's data sets take; nothing is fetched.
    transform
        See `DecodedImages`.
    size, fit
        See `robust_reps_ext.runtime.image_files.fitted`.
    split_seed
        Which images are for validation, where the folder does not say.
    cache
        Where pixels are kept; default: ``decoded`` in the user's cache.
    facts
        What a checkpoint is to keep of the data.

    Raises
    ------
    InputError
        If the folder is laid out otherwise, or the part has no images.

    Examples
    --------
    >>> FolderImages("photographs", train=False, size=64).images.shape  # doctest: +SKIP
    torch.Size([60, 3, 64, 64])
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        download: bool = True,
        transform: Callable[..., Any] | None = None,
        *,
        size: int,
        fit: str = "crop",
        split_seed: int = 0,
        cache: str | os.PathLike[str] | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        self.root = folder = Path(root).expanduser()
        parts = parts_of(folder, split_seed)
        part = "train" if train else "val"
        files = getattr(parts, part)
        if not files:
            raise InputError(
                f"{folder} has no {part}/ folder: it needs one, with the class folders"
            )
        paths = [path for path, _ in files]
        kept = decoded(paths, folder, f"folder-{part}-{size}-{fit}", size, fit=fit, cache=cache)
        super().__init__(kept, paths, [label for _, label in files], transform, fit=fit)
        self.classes, self.facts = parts.classes, facts


class FolderDataSet(DataSet):
    """Photographs in a folder. Registered as ``folder``.

    Training images are moved by up to an eighth of their side over their reflected borders and
    mirrored; colours are left alone.

    Parameters
    ----------
    data_path
        The folder, see `parts_of` for its layouts.
    size
        Height and width that every image is brought to.
    fit
        How: ``"crop"`` (default) for the middle square, ``"pad"`` for all of it on grey,
        ``"stretch"`` for all of it, not to scale.
    mean, std
        Of the three channels, in [0, 1]; default: measured on the training images (2,000 of them,
        if there are more).
    classes
        What the classes must be; default: whatever the folders are called, sorted.
    split_seed
        Which fifth of the images of each class is for validation, where the folder has no train/
        and val/.
    cache
        Where decoded images are kept, see `FolderImages`.
    **kwargs
        What to replace: `transform_train`, `transform_test`, `num_classes`, `label_mapping`,
        `custom_class`, `custom_class_args`.

    Attributes
    ----------
    classes : tuple of str
        Names of the folders, in the order of the labels.
    size : int
        Height and width of the images.
    arguments : dict
        Of `fit` and `split_seed`, those that are not the defaults: shards that are made of it keep
        them, and open it with them and the size of their images.
    facts : dict
        Name, size, fit, classes, mean, std and split_seed, as a checkpoint of training keeps them
        as ``data_set``; as keywords they give the same data set again.

    Raises
    ------
    InputError
        If there is no `size`, the folder is laid out otherwise or has other classes.

    Examples
    --------
    >>> FolderDataSet("photographs", size=64).classes  # doctest: +SKIP
    ('cat', 'dog')
    """

    def __init__(
        self,
        data_path: str | os.PathLike[str],
        *,
        size: int | None = None,
        fit: str | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        classes: Sequence[str] | None = None,
        split_seed: int | None = None,
        cache: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if not os.fspath(data_path):
            raise InputError("data set 'folder' is read from a folder: give it as --data (data=)")
        if size is None:
            raise InputError(
                "data set 'folder' needs the size of its images: give --size (size=), such as 64"
            )
        if size < 8 or size != int(size):
            raise InputError(f"size={size}: give a whole number of pixels, 8 or more")
        self.size, self.fit = int(size), "crop" if fit is None else fit
        if self.fit not in FITS:
            raise InputError(f"fit={fit!r} is not known: choose {', '.join(FITS)}")
        if (mean is None) != (std is None):
            raise InputError("give both --mean and --std, or none to have them measured")
        root = Path(data_path).expanduser()
        seed = 0 if split_seed is None else int(split_seed)
        parts = parts_of(root, seed)
        self.classes = parts.classes
        if classes is not None and tuple(classes) != self.classes:
            apart = sorted({*classes} ^ {*self.classes})
            raise InputError(
                f"{root} has other classes than the model was trained on ({listed(apart)}): give "
                "the folder of its training, or one with the same class folders"
            )
        how: dict[str, Any] = {
            "size": self.size,
            "fit": self.fit,
            "split_seed": seed,
            "cache": cache,
        }
        if mean is None or std is None:
            mean, std = _measured(FolderImages(root, train=bool(parts.train), **how))
        given = torch.as_tensor(mean).flatten().float(), torch.as_tensor(std).flatten().float()
        if any(len(one) != 3 for one in given) or not bool((given[1] > 0).all()):
            raise InputError(f"mean={mean}, std={std}: give three numbers each, std above 0")
        self.arguments: dict[str, Any] = {"fit": self.fit} if self.fit != FITS[0] else {}
        if seed:
            self.arguments["split_seed"] = seed
        self.facts = {
            "name": "folder",
            "size": self.size,
            "fit": self.fit,
            "classes": list(self.classes),
            "mean": given[0].tolist(),
            "std": given[1].tolist(),
            "split_seed": seed,
        }
        defaults = {
            "num_classes": len(self.classes),
            "mean": given[0],
            "std": given[1],
            "custom_class": FolderImages,
            "label_mapping": None,
            "transform_train": MovedAndMirrored(self.size, self.size // 8),
            "transform_test": transforms.ToTensor(),
            "custom_class_args": {**how, "facts": self.facts},
        }
        super().__init__("folder", str(root), **self.override_args(defaults, kwargs))

    def get_model(self, arch: str, pretrained: bool = False) -> torch.nn.Module:
        """Make the network `arch`: one of ours for small images, or of `imagenet_models`.

        Raises
        ------
        InputError
            If there is no such network, or torchvision's weights are asked for.
        """
        known = registry.networks_with_ours(imagenet_models)
        model: torch.nn.Module = registry.network(self, arch, known, pretrained)
        return model


def parts_of(root: Path, split_seed: int = 0) -> Parts:
    """The training and the validation images of a folder.

    Parameters
    ----------
    root
        Holds ``train/`` and ``val/`` (or ``test/``), with a folder for each class in both; one of
        the two alone, of which the other part is empty; or a folder for each class.
    split_seed
        In the last case, fixes which fifth of the images of each class is for validation.

    Raises
    ------
    InputError
        If there is no such folder, train/ and val/ have different classes, or a class has too few
        images to be split.

    Examples
    --------
    >>> parts_of(Path("photographs")).classes  # doctest: +SKIP
    ('cat', 'dog')
    """
    if not root.is_dir():
        raise InputError.also(FileNotFoundError)(
            f"no folder {root}: give the folder of the images as --data (data=)"
        )
    train = root / "train"
    val = root / "val" if (root / "val").is_dir() else root / "test"
    there = [folder for folder in (train, val) if folder.is_dir()]
    if not there:
        return _split(root, split_seed)
    classes, labels = find_classes(there[0])
    for folder in there[1:]:
        apart = sorted({*classes} ^ {*find_classes(folder)[0]})
        if apart:
            raise InputError(
                f"{root}: {len(apart)} class folders are in only one of {train.name}/ and "
                f"{val.name}/ ({listed(apart)}), so labels would differ: give both the same folders"
            )
    found = {folder: make_dataset(folder, labels, EXTENSIONS) for folder in there}
    return Parts(tuple(classes), found.get(train, []), found.get(val, []))


def _split(root: Path, seed: int) -> Parts:
    if not any(one.is_dir() and not one.name.startswith(".") for one in root.iterdir()):
        raise InputError(
            f"{root} has no class folders: put the images of each class in one; commands that "
            "need no classes take such a folder as --images"
        )
    classes, labels = find_classes(root)
    train: list[tuple[str, int]] = []
    val: list[tuple[str, int]] = []
    for name in classes:
        files = make_dataset(root, {name: labels[name]}, EXTENSIONS)
        if len(files) < 2:
            raise InputError(
                f"{root / name} has one image, and training and validation need one each: add some"
            )
        order = shuffled(len(files), seed=seed)
        held_out = set(order[: max(1, round(VALIDATION_SHARE * len(files)))])
        train += [file for i, file in enumerate(files) if i not in held_out]
        val += [file for i, file in enumerate(files) if i in held_out]
    return Parts(tuple(classes), train, val)


def _measured(images: FolderImages) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel over images."""
    chosen = sorted(shuffled(len(images), seed=0)[:MEASURED])
    sums, counted = np.zeros((2, 3)), 0
    for start in range(0, len(chosen), 64):
        pixels = images.good_pixels(chosen[start : start + 64]) / 255
        counted += pixels.size // 3
        sums += pixels.sum((0, 2, 3)), (pixels**2).sum((0, 2, 3))
    if not counted:
        raise InputError(f"{images.root}: none of {len(chosen)} images can be read")
    mean, square = sums / counted
    # A channel of one value throughout has no deviation to divide by.
    std = np.sqrt(np.maximum(square - mean**2, 1e-8))
    return [round(float(one), 6) for one in mean], [round(float(one), 6) for one in std]
