"""PIL images and files of images as tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import InputError, first_line
from .image_files import as_rgb, fitted, pil_loader

__all__ = ["Reader"]


@dataclass(frozen=True)
class Reader:
    """How files and PIL images are read."""

    name: str
    channels: int | None
    size: int | None
    fit: str

    def file(self, path: Any) -> Tensor:
        """(C, H, W), uint8."""
        return self.picture(pil_loader(path, upright=True))

    def picture(self, image: Any) -> Tensor:
        """(C, H, W), uint8."""
        try:
            image = as_rgb(image)
        except Exception as error:  # what a lazily opened file holds, only now shows
            raise InputError(
                f"{self.name} holds a PIL image that cannot be read: {first_line(error)}"
            ) from error
        if self.size is not None:
            image = fitted(image, self.size, self.fit)
        if self.channels == 1:
            return torch.from_numpy(np.array(image.convert("L")))[None]
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
