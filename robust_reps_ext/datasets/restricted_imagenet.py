"""Restricted ImageNet: 203 ImageNet classes as nine animals, labelled by WordNet id."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from robustness import data_augmentation, imagenet_models
from robustness.datasets import DataSet

from ..runtime.errors import InputError
from ..upstream import registry
from ..upstream.data.label_maps import restricted_label_mapping
from .wordnet import wordnet_ids

__all__ = ["SUPER_CLASSES", "RestrictedImageNet", "label_mapping", "sub_classes"]

# Paper, Table 1: first and last ImageNet class of each, inclusive; the order is the labels'.
SUPER_CLASSES = {
    "dog": (151, 268),
    "cat": (281, 285),
    "frog": (30, 32),
    "turtle": (33, 37),
    "bird": (80, 100),
    "primate": (365, 382),
    "fish": (389, 397),
    "crab": (118, 121),
    "insect": (300, 319),
}

_MEAN = (0.4717, 0.4499, 0.3837)
_STD = (0.2600, 0.2516, 0.2575)

_log = logging.getLogger(__name__)


def sub_classes() -> dict[str, tuple[str, ...]]:
    """WordNet ids of each super-class, 203 in all.

    Examples
    --------
    >>> sub_classes()["frog"]
    ('n01641577', 'n01644373', 'n01644900')
    """
    wnids = wordnet_ids()
    return {name: wnids[first : last + 1] for name, (first, last) in SUPER_CLASSES.items()}


def label_mapping(
    classes: Sequence[str], class_to_idx: Mapping[str, int]
) -> tuple[list[str], dict[str, int]]:
    """Label the class folders of an ImageNet tree, for `robustness.loaders.make_loaders`.

    Parameters
    ----------
    classes
        The folders, sorted. Kept for upstream's signature; `class_to_idx` says the same.
    class_to_idx
        The folders and their positions. Labels go by WordNet id where folders bear them.

    Returns
    -------
    tuple
        The nine names, and the label (0 to 8) of each folder that Restricted ImageNet uses.

    Raises
    ------
    InputError
        If the folders are not ImageNet's, or a super-class has none of its folders.
    """
    _, mapping = restricted_label_mapping(classes, class_to_idx, [*SUPER_CLASSES.values()])
    wanted = sub_classes()
    labels = set(mapping.values())
    empty = [name for label, name in enumerate(wanted) if label not in labels]
    if empty:
        raise InputError(
            f"Restricted ImageNet has no folder for {', '.join(empty)}: add at least one of "
            f"{', '.join(wanted[empty[0]][:3])}, ... for {empty[0]}"
        )
    every = [wnid for wnids in wanted.values() for wnid in wnids]
    if len(mapping) < len(every):
        absent = [wnid for wnid in every if wnid not in mapping]
        _log.warning(
            "%d of the %d classes of Restricted ImageNet have no folder (%s, ...)",
            *(len(absent), len(every), absent[0]),
        )
    return list(wanted), mapping


class RestrictedImageNet(DataSet):
    """Nine animals from an ImageNet folder tree, as in the paper (Table 1).

    Images are cropped to 224 px by upstream's ImageNet transforms. Registered as
    ``--dataset restricted_imagenet`` and as `robustness.datasets.RestrictedImageNet`.

    Parameters
    ----------
    data_path
        Folder that holds ``train/`` and ``val/`` with one folder an ImageNet class, named by
        WordNet id. Folders that Restricted ImageNet does not use may be absent; so may some of
        the 203 that it does, with a warning, as long as each of the nine has images. Folders
        under other names are taken by position if there are exactly 1000.
    **kwargs
        What to replace: `mean`, `std` (3 values each), `transform_train`, `transform_test`,
        `num_classes`, `label_mapping`, `custom_class`, `custom_class_args`.

    Attributes
    ----------
    classes : tuple of str
        The nine names, in the order of the labels.

    Examples
    --------
    >>> RestrictedImageNet("/data/imagenet").classes[:3]
    ('dog', 'cat', 'frog')
    """

    def __init__(self, data_path: str, **kwargs: Any) -> None:
        defaults = {
            "num_classes": len(SUPER_CLASSES),
            "mean": torch.tensor(_MEAN),
            "std": torch.tensor(_STD),
            "custom_class": None,
            "label_mapping": label_mapping,
            "transform_train": data_augmentation.TRAIN_TRANSFORMS_IMAGENET,
            "transform_test": data_augmentation.TEST_TRANSFORMS_IMAGENET,
        }
        super().__init__("restricted_imagenet", data_path, **self.override_args(defaults, kwargs))
        self.classes = tuple(SUPER_CLASSES)

    def get_model(self, arch: str, pretrained: bool = False) -> torch.nn.Module:
        """Make the network `arch` of `robustness.imagenet_models` with nine outputs.

        Raises
        ------
        InputError
            If there is no such network, or torchvision's weights are asked for.
        """
        known = registry.networks(imagenet_models)
        model: torch.nn.Module = registry.network(self, arch, known, pretrained)
        return model

    def make_loaders(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Make the training and validation loaders, see `robustness.loaders.make_loaders`.

        Raises
        ------
        InputError
            As upstream's; and if one of the nine has no images.
        """
        loaders: tuple[Any, Any] = super().make_loaders(*args, **kwargs)
        for loader in loaders:
            if loader is not None and self.label_mapping is label_mapping:
                images = getattr(loader.dataset, "dataset", loader.dataset)  # within a Subset
                _check_images(images, self.classes)
        return loaders


def _check_images(images: Any, classes: Sequence[str]) -> None:
    targets = getattr(images, "targets", None)
    if targets is None:
        return
    count = Counter(targets)
    empty = [name for label, name in enumerate(classes) if not count[label]]
    if empty:
        raise InputError(
            f"{images.root} has no images of {', '.join(empty)}: "
            f"put some under {sub_classes()[empty[0]][0]} or its sister classes"
        )
