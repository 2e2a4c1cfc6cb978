"""Masks of pixels as every call takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import InputError
from .image_files import read_alpha
from .numbers import shown

__all__ = ["as_mask", "check_mask", "read_mask"]

_WANTED = "give 1 (or True) where pixels may change and 0 elsewhere, (H, W), (1, 1, H, W) or "


def as_mask(mask: Any) -> Tensor:
    """A mask as bool, (1, 1, H, W) or (N, 1, H, W): True where pixels may change.

    Parameters
    ----------
    mask
        (H, W), (1, 1, H, W) or (N, 1, H, W), a tensor or an array of bool, or of 0 and 1 in any
        type of numbers. Nothing is rounded: a mask with grey in it is refused.

    Raises
    ------
    InputError
        If it is anything else, or lets no pixel change.

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.runtime.masks import as_mask
    >>> as_mask(torch.eye(4)).shape
    torch.Size([1, 1, 4, 4])
    """
    try:
        found = torch.as_tensor(np.asarray(mask) if isinstance(mask, list) else mask)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"mask is a {type(mask).__name__}: {_WANTED}(N, 1, H, W)") from None
    if found.dim() == 2:
        found = found[None, None]
    if found.dim() != 4 or found.shape[1] != 1 or not found.numel() or found.is_complex():
        raise InputError(f"mask={shown(mask)}: {_WANTED}(N, 1, H, W)")
    found = found.detach()
    if found.dtype != torch.bool:
        if not bool(((found == 0) | (found == 1)).all()):
            raise InputError(f"mask holds other values than 0 and 1: {_WANTED}(N, 1, H, W)")
        found = found == 1
    nowhere = (~found.flatten(1).any(dim=1)).nonzero().flatten().tolist()
    if nowhere:
        which = f"mask {nowhere[0]} of {len(found)}" if len(found) > 1 else "the mask"
        raise InputError(f"{which} is 0 everywhere, so that no pixel may change: give some")
    return found


def check_mask(mask: Tensor, images: Tensor) -> None:
    """`InputError` unless a mask that `as_mask` made fits images (N, C, H, W)."""
    n, _, height, width = images.shape
    if mask.shape[2:] != images.shape[2:] or len(mask) not in (1, n):
        raise InputError(
            f"mask is {len(mask)} of {mask.shape[2]} x {mask.shape[3]} pixels, for {n} images of "
            f"{height} x {width}: give one for all or one for each, of the size of the images"
        )


def read_mask(text: str, height: int, width: int) -> Tensor:
    """The mask that ``X,Y,W,H`` or a picture file is, for images of `height` x `width` pixels.

    Parameters
    ----------
    text
        A box of W x H pixels, whose upper left one is in column X and row Y, from 0; or a file:
        where its alpha channel is opaque, or without one where it is white, pixels may change (in
        between, from half on).
    height, width
        Of the images.

    Returns
    -------
    Tensor
        (1, 1, H, W), bool.

    Raises
    ------
    InputError
        If a box does not lie within the images, a picture cannot be read or is of another size,
        or no pixel may change.
    """
    numbers = text.split(",")
    if len(numbers) == 4 and all(one.strip().isdecimal() for one in numbers):
        x, y, w, h = map(int, numbers)
        if not w or not h or x + w > width or y + h > height:
            raise InputError(
                f"mask {text}: {w} x {h} pixels from column {x} and row {y} do not lie within "
                f"images of {width} x {height}"
            )
        box = torch.zeros(1, 1, height, width, dtype=torch.bool)
        box[..., y : y + h, x : x + w] = True
        return box
    if not Path(text).is_file():
        raise InputError(f"mask {text!r}: give a picture file, or a box X,Y,W,H in pixels")
    picture = read_alpha(text)
    if picture.size != (width, height):
        raise InputError(
            f"mask {text} has {picture.size[0]} x {picture.size[1]} pixels, images have "
            f"{width} x {height}: bring it to their size"
        )
    return as_mask(np.asarray(picture) >= 128)
