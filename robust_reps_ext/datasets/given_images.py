"""A data set of images that are in memory already, which have no classes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from robustness.datasets import DataSet
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..runtime.errors import InputError

__all__ = ["GivenImages"]


class _Rows(Dataset[Any]):
    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.images[place], place


class GivenImages(DataSet):
    """Images without classes; the label of each is its place.

    Parameters
    ----------
    images
        (N, C, H, W) in [0, 1], one or more.
    names
        What each is called, N.

    Raises
    ------
    InputError
        If there is no image, or not a name for each.

    Examples
    --------
    >>> from robust_reps_ext.datasets.given_images import GivenImages
    >>> from robust_reps_ext.datasets.photographs import available, photographs
    >>> from robust_reps_ext.datasets.samples import validation_samples
    >>> data = GivenImages(photographs(2, size=64), available()[:2])
    >>> validation_samples(data, 2).images.shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(self, images: Tensor, names: Sequence[str]) -> None:
        if not len(images) or len(images) != len(names):
            raise InputError(f"{len(images)} images and {len(names)} names: give a name for each")
        pixels = images.contiguous().cpu().numpy()
        channels = images.shape[1]
        super().__init__(
            "images",
            f"sha256:{hashlib.sha256(pixels.tobytes()).hexdigest()[:16]}",
            num_classes=len(images),
            mean=torch.zeros(channels),
            std=torch.ones(channels),
            custom_class=None,
            label_mapping=None,
            transform_train=None,
            transform_test=None,
        )
        self.classes = list(names)
        self._rows = _Rows(images)

    def make_loaders(self, workers: int, batch_size: int, *_: Any, **__: Any) -> tuple[None, Any]:
        """No training images, and a loader of these."""
        return None, DataLoader(self._rows, batch_size, num_workers=workers)
