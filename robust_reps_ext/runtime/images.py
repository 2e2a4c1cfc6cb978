"""Images as every call takes them: what can be known of them is checked where they come in."""

from __future__ import annotations

from torch import Tensor

from .errors import InputError

__all__ = ["check_images"]


def check_images(name: str, images: Tensor) -> Tensor:
    """`images` as float32; `InputError` unless they are (N, C, H, W) with values in [0, 1]."""
    if images.dim() != 4 or not len(images):
        raise InputError(
            f"{name} has shape {tuple(images.shape)}: give images as (N, C, H, W) with N >= 1"
        )
    images = images.detach().float()
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"{name} has values from {low:.4g} to {high:.4g}: bring images into [0, 1] "
            "(uint8 images: divide by 255; normalised images: give them before normalisation)"
        )
    return images
