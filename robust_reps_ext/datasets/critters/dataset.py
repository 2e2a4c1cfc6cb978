"""Critters as `robustness` data sets, registered as ``critters`` and ``critters_fine``."""

from __future__ import annotations

import os
from typing import Any

import torch
from robustness import cifar_models, imagenet_models
from robustness.datasets import DataSet
from torchvision import transforms

from ...upstream import registry
from ..augmentation import MovedAndMirrored
from .drawing import CLASSES, FINE_CLASSES
from .images import CritterImages
from .series import Series

__all__ = ["CrittersDataSet", "CrittersFineDataSet"]

# Measured over the 16,200 training images of seed 0.
_MEAN = (0.5096, 0.5063, 0.5037)
_STD = (0.2606, 0.2542, 0.2606)


class CrittersDataSet(DataSet):
    """Nine animals, drawn at first use.

    Parameters
    ----------
    data_path
        Folder to keep the images in, see `CritterImages`.
    size
        Height and width in pixels, 24 to 512.
    **kwargs
        What to replace: `mean`, `std` (3 values each), `transform_train`, `transform_test`,
        `num_classes`, `label_mapping`, `custom_class`, and `custom_class_args`, which are added
        to ours (``{"n_train": 1620}``, see `CritterImages`).

    Attributes
    ----------
    classes : tuple of str
        The names, in the order of the labels.
    size : int
        Height and width of the images.
    arguments : dict
        Which images they are, beside the folder: `size` and `custom_class_args` as given.

    Raises
    ------
    InputError
        If the size is out of range.

    Examples
    --------
    >>> CrittersDataSet(size=32).classes[:3]
    ('dog', 'cat', 'frog')
    """

    _name = "critters"
    _fine = False
    classes: tuple[str, ...] = CLASSES

    def __init__(
        self, data_path: str | os.PathLike[str] | None = None, *, size: int = 64, **kwargs: Any
    ) -> None:
        Series(1, size=size)  # checks the size
        own_args = {"fine": self._fine, "size": size}
        defaults = {
            "num_classes": len(self.classes),
            "mean": torch.tensor(_MEAN),
            "std": torch.tensor(_STD),
            "custom_class": CritterImages,
            "label_mapping": None,
            "transform_train": MovedAndMirrored(size, padding=max(1, size // 16)),
            "transform_test": transforms.ToTensor(),
            "custom_class_args": own_args,
        }
        self.size = size
        self.arguments = {"size": size, "custom_class_args": kwargs.get("custom_class_args") or {}}
        chosen = self.override_args(defaults, kwargs)
        chosen["custom_class_args"] = {**own_args, **(chosen["custom_class_args"] or {})}
        super().__init__(self._name, "" if data_path is None else os.fspath(data_path), **chosen)

    def get_model(self, arch: str, pretrained: bool = False) -> torch.nn.Module:
        """Make the network `arch`: ours for small images, or upstream's.

        Upstream's are those of `robustness.imagenet_models`, and at 32 pixels those of
        `robustness.cifar_models`, which take no other size.

        Raises
        ------
        InputError
            If there is no such network, or torchvision's weights are asked for.
        """
        known = registry.networks_with_ours(imagenet_models)
        if self.size == 32:
            known |= registry.networks(cifar_models)
        model: torch.nn.Module = registry.network(self, arch, known, pretrained)
        return model


class CrittersFineDataSet(CrittersDataSet):
    """The same images with 162 labels: animal, texture and hue."""

    _name = "critters_fine"
    _fine = True
    classes = FINE_CLASSES
