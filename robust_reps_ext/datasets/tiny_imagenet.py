"""Tiny ImageNet: 64-pixel photographs of 200 ImageNet classes, or of some, or as animals.

`TinyImageNet` and `RestrictedTinyImageNet` are what `robustness` knows as ``tiny_imagenet`` and
``restricted_tiny_imagenet``; `TinyImages` is one part of the images, decoded once and kept.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from robustness import imagenet_models
from robustness.datasets import DataSet
from torchvision import transforms

from ..runtime.errors import InputError, near
from ..upstream import registry
from .augmentation import MovedAndMirrored
from .decoded import decoded
from .decoded_images import DecodedImages
from .restricted_imagenet import sub_classes
from .tiny_imagenet_files import class_names, files_of, wnids_of

__all__ = ["RestrictedTinyImageNet", "TinyImageNet", "TinyImages"]

SIZE = 64
PADDING = SIZE // 8  # what 4 is to the 32 pixels of CIFAR

# Of the 100,000 training images, as is customary.
_MEAN = (0.4802, 0.4481, 0.3975)
_STD = (0.2770, 0.2691, 0.2821)

_log = logging.getLogger(__name__)


class TinyImages(DecodedImages):
    """The training or the validation images of a folder of Tiny ImageNet.

    The first use decodes all files of the part, and keeps the pixels in the user's cache; from
    then on they are mapped into memory, see `robust_reps_ext.datasets.decoded`.

    Parameters
    ----------
    root
        The folder, see `robust_reps_ext.datasets.tiny_imagenet_files.files_of` for its layouts.
    train
        The training images, else the validation images.
    download
        What torchvision's data sets take; nothing is fetched.
    transform
        Applied to each PIL image; where it has a method `batch`, to a whole batch of a loader at
        once, see `robust_reps_ext.datasets.augmentation.transformed`.
    labels
        WordNet id -> label; images of other classes are left out. Default: the places in
        ``wnids.txt``.
    cache
        Folder to keep the pixels in; default: ``decoded`` in the user's cache, or in the folder
        that the environment variable ``ROBUST_REPS_EXT_CACHE`` names.

    Attributes
    ----------
    targets : list of int
        Labels.
    paths : list of str
        The files.

    Raises
    ------
    InputError
        If the folder is laid out otherwise, or the cache cannot be written. An image that cannot
        be read, or is not of 64 x 64 pixels, is a `BadImageError`, raised or given in its place as
        ``--on-bad-image`` says. Grey images become RGB.

    Examples
    --------
    >>> some = TinyImages("tiny-imagenet-200", train=False)  # doctest: +SKIP
    >>> some.images.shape, some.images.dtype  # doctest: +SKIP
    (torch.Size([10000, 3, 64, 64]), torch.uint8)
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        download: bool = True,
        transform: Callable[..., Any] | None = None,
        *,
        labels: Mapping[str, int] | None = None,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        self.root = Path(root).expanduser()
        wnids = wnids_of(self.root)
        if labels is None:
            labels = {wnid: label for label, wnid in enumerate(wnids)}
        split = "train" if train else "val"
        files = files_of(self.root, split, wnids)
        every = [path for path, _ in files]
        kept = decoded(every, self.root, f"tiny-imagenet-{split}", SIZE, cache=cache)
        rows = [row for row, (_, wnid) in enumerate(files) if wnid in labels]
        super().__init__(
            kept,
            [every[row] for row in rows],
            [labels[files[row][1]] for row in rows],
            transform,
            rows=rows,
        )


class TinyImageNet(DataSet):
    """Tiny ImageNet (Stanford CS231n), all of it or cut down to some classes.

    Classes are numbered in the order of ``wnids.txt`` and called by their first synonym in
    ``words.txt``. Training images are moved by up to 8 pixels over their reflected borders and
    mirrored; colours are left alone. Nothing is resized. Registered as ``tiny_imagenet``.

    Parameters
    ----------
    data_path
        The folder, which holds ``wnids.txt``, ``words.txt``, ``train/`` and ``val/``, see
        `robust_reps_ext.datasets.tiny_imagenet_files.files_of`.
    classes
        Some of its classes, by name or WordNet id, numbered in the order of ``wnids.txt``;
        default: all.
    cache
        Where decoded images are kept, see `TinyImages`.
    **kwargs
        What to replace: `mean`, `std` (3 values each), `transform_train`, `transform_test`,
        `num_classes`, `label_mapping`, `custom_class`, `custom_class_args`.

    Attributes
    ----------
    classes : tuple of str
        The names, in the order of the labels.
    size : int
        64, height and width of the images.
    description : str
        One line on which classes they are.
    arguments : dict
        Which images they are, beside the folder: `classes` as given.

    Raises
    ------
    InputError
        If the folder has no usable ``wnids.txt``, or a class is not in it.

    Examples
    --------
    >>> TinyImageNet("tiny-imagenet-200", classes=["goldfish"]).classes  # doctest: +SKIP
    ('goldfish',)
    """

    _name = "tiny_imagenet"
    size = SIZE

    def __init__(
        self,
        data_path: str | os.PathLike[str],
        *,
        classes: Sequence[str] | None = None,
        cache: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if not os.fspath(data_path):
            raise InputError(
                f"data set {self._name!r} is read from a folder: give it as --data (data=)"
            )
        root = Path(data_path).expanduser()
        wnids = wnids_of(root)
        self.names = dict(zip(wnids, class_names(root, wnids), strict=True))
        groups = self._groups(_chosen(self.names, classes))
        self.classes = tuple(name for name, _ in groups)
        self._labels = {wnid: label for label, (_, some) in enumerate(groups) for wnid in some}
        self.arguments = {} if classes is None else {"classes": list(classes)}
        defaults = {
            "num_classes": len(groups),
            "mean": torch.tensor(_MEAN),
            "std": torch.tensor(_STD),
            "custom_class": TinyImages,
            "label_mapping": None,
            "transform_train": MovedAndMirrored(SIZE, PADDING),
            "transform_test": transforms.ToTensor(),
            "custom_class_args": {"labels": self._labels, "cache": cache},
        }
        super().__init__(self._name, str(root), **self.override_args(defaults, kwargs))

    def _groups(self, wnids: Sequence[str]) -> list[tuple[str, list[str]]]:
        """The name of each label, and the WordNet ids that have it."""
        self.description = f"{len(wnids)} classes of Tiny ImageNet"
        return [(self.names[wnid], [wnid]) for wnid in wnids]

    def super_classes(self) -> dict[str, list[int]]:
        """Those of Restricted ImageNet's animals that are there -> the labels that they stand for.

        What accuracies of the animals are counted with, see the `group` of
        `robust_reps_ext.evaluate`. Labels of no animal are in none.
        """
        there = _animals([*self._labels])
        return {
            name: sorted({self._labels[wnid] for wnid in some})
            for name, some in there.items()
            if some
        }

    def left_out(self) -> list[tuple[str, str]]:
        """The validation images that have no label: path and name of the class."""
        files = files_of(Path(self.data_path), "val", [*self.names])
        return [(path, self.names[wnid]) for path, wnid in files if wnid not in self._labels]

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


class RestrictedTinyImageNet(TinyImageNet):
    """Those of Restricted ImageNet's nine animals that a folder of Tiny ImageNet has classes of.

    Labels are numbered in the paper's order (Table 1) without those that are missing; classes of
    none of the nine are left out, and are what ``--targets held-out`` inverts. Registered as
    ``restricted_tiny_imagenet``. Parameters and attributes are those of `TinyImageNet`;
    `description` says which animals there are, of how many classes each, and which are missing.

    Examples
    --------
    >>> RestrictedTinyImageNet("tiny-imagenet-200").classes  # doctest: +SKIP
    ('dog', 'cat', 'frog', 'bird', 'primate', 'insect')
    """

    _name = "restricted_tiny_imagenet"

    def _groups(self, wnids: Sequence[str]) -> list[tuple[str, list[str]]]:
        every = _animals(wnids)
        there = [(name, some) for name, some in every.items() if some]
        missing = [name for name, some in every.items() if not some]
        if not there:
            raise InputError(
                f"none of these {len(wnids)} classes is one of Restricted ImageNet's "
                f"({', '.join(missing)}): take --dataset tiny_imagenet"
            )
        counts = ", ".join(
            f"{name} ({len(some)} {'classes' if len(some) > 1 else 'class'})"
            for name, some in there
        )
        self.description = counts + (f"; no {', '.join(missing)}" if missing else "")
        _log.log(
            logging.WARNING if missing else logging.INFO, "%s: %s", self._name, self.description
        )
        return there


def _animals(wnids: Sequence[str]) -> dict[str, list[str]]:
    """The paper's nine animals (Table 1) -> those of the WordNet ids that are of them."""
    return {name: [one for one in wnids if one in some] for name, some in sub_classes().items()}


def _chosen(names: Mapping[str, str], classes: Sequence[str] | None) -> list[str]:
    """The WordNet ids of the classes that are asked for, in the order of `names`."""
    if classes is None:
        return [*names]
    if isinstance(classes, str) or not classes:
        raise InputError(f"classes={classes!r}: give a list of names or WordNet ids")
    for one in classes:
        if one not in names and one not in names.values():
            raise InputError(
                f"classes={one!r} is none of this folder's: try {near(one, names.values())}"
            )
    return [wnid for wnid, name in names.items() if wnid in classes or name in classes]
