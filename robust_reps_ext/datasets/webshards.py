"""Folders of shards as a `robustness` data set, registered as ``webshards``."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from robustness.datasets import DATASETS, DataSet
from torch.utils.data import Dataset
from torchvision import transforms

from ..runtime.errors import InputError, first_line
from ..runtime.image_files import BadImageError
from ..upstream.data.bad_images import record_of
from ..upstream.registry import is_folder
from .samples import DRAWN, open_data_set, validation_set
from .shards import INDEX, Index, damaged, read_index, read_members

__all__ = ["ShardImages", "WebShards"]

NAME = "webshards"
ARGUMENTS = ("size", "fit", "split_seed", "custom_class_args", "classes")


class ShardImages(Dataset[Any]):
    """The images of a folder of shards, in any order and with any number of workers.

    Where each image lies in its file is found out once, here; an image is then read by itself.

    Parameters
    ----------
    root
        A folder that `robustify` has written.
    transform
        Applied to each PIL image.

    Attributes
    ----------
    index : Index
        What is in the folder.
    targets : list of int
        Labels.

    Raises
    ------
    InputError
        If the folder is incomplete, or a shard is damaged. An image that cannot be read is a
        `BadImageError`, raised or given in its place as ``--on-bad-image`` says.

    Examples
    --------
    >>> image, label = ShardImages("SHARDS")[0]  # doctest: +SKIP
    >>> image.size  # doctest: +SKIP
    (64, 64)
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Callable[[Image.Image], Any] | None = None,
    ) -> None:
        self.root = Path(root).expanduser()
        self.transform = transform
        self.index = read_index(self.root)
        self._paths = [self.root / shard.name for shard in self.index.shards]
        members = [read_members(path) for path in self._paths]
        for path, shard, found in zip(self._paths, self.index.shards, members, strict=True):
            _check(path, shard.images, found.labels, self.index.num_classes)
        self._shard = np.repeat(np.arange(len(members)), [len(one.labels) for one in members])
        self._offset = np.concatenate([one.offsets for one in members])
        self._length = np.concatenate([one.lengths for one in members])
        self.targets: list[int] = np.concatenate([one.labels for one in members]).tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> Any:
        try:
            image: Any = self._image(i)
        except BadImageError as error:
            if record_of(self).action == "stop":
                raise
            return BadImageError(str(error))
        if self.transform is not None:
            image = self.transform(image)
        return image, self.targets[i]

    def _image(self, i: int) -> Image.Image:
        path = self._paths[self._shard[i]]
        try:
            with path.open("rb") as file:
                file.seek(self._offset[i])
                png = file.read(self._length[i])
            with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
                if image.size[::-1] != self.index.size:
                    raise ValueError(f"{image.size[::-1]} pixels, not {self.index.size}")
                return image.convert("L" if len(self.index.mean) == 1 else "RGB")
        except Exception as error:  # a damaged file makes Pillow raise anything
            raise BadImageError(str(damaged(path, f"image {i}: {first_line(error)}"))) from error


class WebShards(DataSet):
    """A data set that `robustify` has written, for training, evaluation and experiments.

    Number and names of classes, normaliser and image size are those of its index. Its networks,
    its augmentation and its validation images are those of the data set that it was made from,
    which is opened where the index says (``"origin"``): for critters, drawn; else read from the
    folder ``"data"`` named there.

    Parameters
    ----------
    data_path
        The folder of shards.
    **kwargs
        What to replace: `mean`, `std` (a value for each channel), `transform_train`,
        `transform_test`, `num_classes`, `label_mapping`, `custom_class`, `custom_class_args`.

    Attributes
    ----------
    classes : tuple of str
        The names, in the order of the labels.
    size : int or tuple of int
        Height and width of the images, one number for both if they are equal.
    origin : mapping
        What the index says of the data set that it was made from.

    Raises
    ------
    InputError
        If the folder is incomplete, a shard is missing or cut short, or the data set that it was
        made from is not known.

    Examples
    --------
    >>> WebShards("SHARDS").num_classes  # doctest: +SKIP
    162
    """

    def __init__(self, data_path: str | os.PathLike[str], **kwargs: Any) -> None:
        if not os.fspath(data_path):
            raise InputError(f"data set {NAME!r} is read from a folder: give it as --data (data=)")
        root = Path(data_path).expanduser()
        index = read_index(root)
        self.origin = index.origin
        self._source = _opened(root, index)
        defaults = {
            "num_classes": index.num_classes,
            "mean": torch.tensor(index.mean),
            "std": torch.tensor(index.std),
            "custom_class": self._images,
            "label_mapping": None,
            "transform_train": self._source.transform_train,
            "transform_test": self._source.transform_test,
        }
        super().__init__(NAME, str(root), **self.override_args(defaults, kwargs))
        self._source.num_classes = self.num_classes
        self.classes = index.classes
        self.size = index.size[0] if index.size[0] == index.size[1] else index.size

    def get_model(self, arch: str, pretrained: bool = False) -> torch.nn.Module:
        """Make the network `arch`, as the data set that this one was made from does.

        Raises
        ------
        InputError
            If there is no such network, or torchvision's weights are asked for.
        """
        model: torch.nn.Module = self._source.get_model(arch, pretrained)
        return model

    def _images(
        self, root: str, train: bool, download: bool, transform: Callable[..., Any]
    ) -> Dataset[Any]:
        """What upstream's loaders call for either part."""
        if train:
            # What is stored has been through the test transform already.
            as_stored = transform is self.transform_test
            return ShardImages(root, transforms.ToTensor() if as_stored else transform)
        self._source.transform_test = transform
        try:
            found: Dataset[Any] = validation_set(self._source)
        except InputError as error:
            raise InputError(
                f"no validation images for {root}: {error} ({Path(root) / INDEX} names it as "
                "origin)"
            ) from error
        return found


def _opened(root: Path, index: Index) -> DataSet:
    """The data set that the shards were made from."""
    name, data = index.origin.get("name"), index.origin.get("data")
    arguments = index.origin.get("arguments") or {}
    path = root / INDEX
    if not isinstance(name, str) or name not in DATASETS or name == NAME:
        raise InputError(
            f"{path} names {name!r} as the data set that the images come from, which is not known:"
            f" choose among {', '.join(sorted(set(DATASETS) - {NAME}))}"
        )
    if not isinstance(data, str | None) or not (
        isinstance(arguments, Mapping) and set(arguments) <= set(ARGUMENTS)
    ):
        raise InputError(
            f"{path}: origin has a data {data!r} and arguments {arguments!r}: "
            f"give a folder, and of arguments {', '.join(ARGUMENTS)} only"
        )
    if name in DRAWN:  # in the user's own place, not in one that whoever made the shards names
        data = None
    if is_folder(name):  # what it would have to be told, or measure anew
        arguments = {"size": index.size[0], "mean": index.mean, "std": index.std, **arguments}
    found = open_data_set(name, data, **arguments)
    if found.num_classes != index.num_classes:
        raise InputError(
            f"{path} says {index.num_classes} classes, {name!r} has {found.num_classes}: "
            "robustify it again"
        )
    return found


def _check(path: Path, images: int, labels: np.ndarray, num_classes: int) -> None:
    if len(labels) != images:
        raise damaged(path, f"it has {len(labels)} images, not {images}")
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if len(wrong):
        raise damaged(path, f"label {wrong[0]} is none of {num_classes} classes")
