"""Critters moved and mirrored at random: torchvision's pixels, a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import transforms

__all__ = ["MovedAndMirrored"]

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
    >>> MovedAndMirrored(8, padding=1).batch(np.zeros((4, 8, 8, 3), np.uint8)).shape
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
        """Images (N, H, W, 3) of uint8 as float32 (N, 3, H, W) in [0, 1].

        Draws what N calls draw, in their order: the same seed gives the same pixels.
        """
        around, size = self.padding, self.size
        padded = np.pad(pixels, ((0, 0), (around,) * 2, (around,) * 2, (0, 0)), mode="reflect")
        moved = np.empty_like(pixels)
        for image, source in zip(moved, padded, strict=True):
            top, left = (int(torch.randint(0, 2 * around + 1, (1,))) for _ in range(2))
            part = source[top : top + size, left : left + size]
            image[:] = part[:, ::-1] if torch.rand(1) < _MIRRORED else part
        return torch.from_numpy(moved).permute(0, 3, 1, 2).contiguous().float().div_(255)
