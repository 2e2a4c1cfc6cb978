"""PIL images and files of images as tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import InputError, first_line
from .image_files import as_rgb, fitted, pil_loader

__all__ = ["Reading"]


@dataclass(frozen=True)
class Reading:
    """How files and PIL images become what a network takes.

    Attributes
    ----------
    channels
        Read as grey where it is 1, else as RGB; None: any number will do.
    size, fit
        Height and width, None: as they are; and how they are reached, see `load_images`.
    several
        The size of images that are not all of one, where `size` is None.
    """

    channels: int | None = None
    size: int | None = None
    fit: str = "crop"
    several: int | None = None

    def file(self, name: str, path: Any) -> Tensor:
        """(C, H, W), uint8."""
        return self.picture(name, pil_loader(path, upright=True))

    def picture(self, name: str, image: Any) -> Tensor:
        """(C, H, W), uint8."""
        try:
            image = as_rgb(image)
        except Exception as error:  # what a lazily opened file holds, only now shows
            raise InputError(
                f"{name} holds a PIL image that cannot be read: {first_line(error)}"
            ) from error
        if self.size is not None:
            image = fitted(image, self.size, self.fit)
        if self.channels == 1:
            return torch.from_numpy(np.array(image.convert("L")))[None]
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
