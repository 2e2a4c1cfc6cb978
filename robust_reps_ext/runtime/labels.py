"""Labels as every call takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import InputError

__all__ = ["as_labels"]


def as_labels(labels: Any, n: int, classes: int | None = None) -> Tensor:
    """Labels as int64, (n,).

    Parameters
    ----------
    labels
        Integers of any type, (n,) or (n, 1), as a tensor, an array or a list.
    n
        How many images there are.
    classes
        Labels are 0 to `classes` - 1; default: not known.

    Raises
    ------
    InputError
        If they are anything else; one-hot labels are told apart.
    """
    try:
        found = torch.as_tensor(np.asarray(labels) if isinstance(labels, list) else labels)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"labels are a {type(labels).__name__}: give integers, one for each image"
        ) from None
    told = f"labels have shape {tuple(found.shape)} and type {str(found.dtype)[6:]}"
    if found.shape == (n, 1):
        found = found[:, 0]
    if found.shape != (n,):
        hot = found.dim() == 2 and len(found) == n
        way_out = "one-hot labels are given as labels.argmax(1)" if hot else "give one for each"
        raise InputError(f"{told}, for {n} images: {way_out}, ({n},) of integers")
    if found.dtype.is_floating_point or found.dtype.is_complex or found.dtype == torch.bool:
        raise InputError(f"{told}: give integers, labels.long() if they are whole numbers")
    found = found.long()
    low, high = int(found.min()), int(found.max())
    if low < 0 or (classes is not None and high >= classes):
        there = "0 or more" if classes is None else f"0 to {classes - 1}, as the model has classes"
        raise InputError(f"{told}, and values from {low} to {high}: give {there}")
    return found
