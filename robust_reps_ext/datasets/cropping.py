"""Square crops of photographs, enlarged and mirrored at random, a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

__all__ = ["CroppedAndMirrored"]

_MIRRORED = 0.5


class CroppedAndMirrored:
    """A square crop of random place and side, in the size of the image, half of them mirrored.

    Parameters
    ----------
    size
        Height and width of the images.
    smallest
        The side of the smallest crop in pixels.

    Examples
    --------
    >>> import numpy as np
    >>> CroppedAndMirrored(8, smallest=5).batch(np.zeros((4, 8, 8, 3), np.uint8)).shape
    torch.Size([4, 3, 8, 8])
    """

    def __init__(self, size: int, smallest: int) -> None:
        self.size, self.smallest = size, smallest

    def __call__(self, image: Any) -> Tensor:
        """One PIL image as float32 (3, H, W) in [0, 1]."""
        return self._crops(pil_to_tensor(image)[None])[0]

    def batch(self, pixels: np.ndarray) -> Tensor:
        """Images (N, H, W, 3) of uint8 as float32 (N, 3, H, W) in [0, 1].

        Draws what N calls draw, in their order: the same seed gives the same pixels.
        """
        return self._crops(torch.from_numpy(pixels).permute(0, 3, 1, 2))

    def _crops(self, images: Tensor) -> Tensor:
        drawn = torch.stack([torch.rand(4) for _ in images])
        side = self.smallest + (drawn[:, 0] * (self.size - self.smallest + 1)).floor()
        # Corners of whole pixels: a crop of full size is the image itself.
        left, top = ((drawn[:, i] * (self.size - side + 1)).floor() for i in (1, 2))
        scale = side / self.size
        mirrored = torch.where(drawn[:, 3] < _MIRRORED, -1.0, 1.0)
        theta = torch.zeros(len(images), 2, 3)
        theta[:, 0, 0], theta[:, 1, 1] = scale * mirrored, scale
        theta[:, 0, 2] = (2 * left + side) / self.size - 1
        theta[:, 1, 2] = (2 * top + side) / self.size - 1
        grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
        # Within the image, a crop's border is continued: bilinear weights sum to one everywhere.
        return nn.functional.grid_sample(
            images.float().div_(255), grid, padding_mode="border", align_corners=False
        ).clamp_(0, 1)
