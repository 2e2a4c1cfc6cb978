"""Small images moved and mirrored at random: torchvision's pixels, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms

__all__ = ["MovedAndMirrored", "transformed"]

_MIRRORED = 0.5


class MovedAndMirrored:
    """`RandomCrop` of the reflected image, `RandomHorizontalFlip` and `ToTensor`.

    Parameters
    ----------
    size
        Height and width of the images.
    padding
        How many pixels an image moves at most.

    Examples
    --------
    >>> import numpy as np
    >>> from robust_reps_ext.datasets.augmentation import MovedAndMirrored
    >>> MovedAndMirrored(8, padding=1).batch(np.zeros((4, 3, 8, 8), np.uint8)).shape
    torch.Size([4, 3, 8, 8])
    """

    def __init__(self, size: int, padding: int) -> None:
        self.size, self.padding = size, padding
        self._one = transforms.Compose(
            [
                transforms.RandomCrop(size, padding=padding, padding_mode="reflect"),
                transforms.RandomHorizontalFlip(_MIRRORED),
                transforms.ToTensor(),
            ]
        )

    def __call__(self, image: Any) -> Tensor:
        """One PIL image as float32 (3, H, W) in [0, 1]."""
        moved: Tensor = self._one(image)
        return moved

    def batch(self, pixels: np.ndarray) -> Tensor:
        """Images (N, 3, H, W) of uint8 as float32 (N, 3, H, W) in [0, 1].

        Draws what N calls draw, in their order: the same seed gives the same pixels.
        """
        around, size = self.padding, self.size
        padded = np.pad(pixels, ((0, 0), (0, 0), (around,) * 2, (around,) * 2), mode="reflect")
        moved = np.empty(pixels.shape, np.uint8)
        place, chance = torch.empty(2, dtype=torch.int64), torch.empty(1)
        for image, source in zip(moved, padded, strict=True):
            top, left = place.random_(0, 2 * around + 1).tolist()
            part = source[:, top : top + size, left : left + size]
            image[:] = part[:, :, ::-1] if chance.uniform_() < _MIRRORED else part
        return torch.from_numpy(moved).float().div_(255)


def transformed(transform: Callable[[Any], Any] | None, pixels: np.ndarray) -> list[Any]:
    """What a data set gives for each of its images: a batch at once where the transform can.

    Parameters
    ----------
    transform
        Takes a PIL image; one with a method `batch` takes pixels, as `MovedAndMirrored` does. None
        leaves PIL images as they are.
    pixels
        (N, 3, H, W), uint8.
    """
    together = getattr(transform, "batch", None)
    if together is not None:
        return list(together(pixels))
    if type(transform) is transforms.ToTensor:
        return list(torch.from_numpy(np.ascontiguousarray(pixels)).float().div_(255))
    images = [Image.fromarray(np.ascontiguousarray(one.transpose(1, 2, 0))) for one in pixels]
    return images if transform is None else [transform(image) for image in images]
