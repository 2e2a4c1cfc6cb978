"""Tensors that gradients are asked of, wherever they were made."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["differentiable", "leaf"]


def differentiable(value: Any) -> Any:
    """Tensors, or tuples of such, that a graph may hold: of those of `inference_mode`, copies."""
    if isinstance(value, tuple):
        return tuple(map(differentiable, value))
    if not (isinstance(value, Tensor) and value.is_inference()):
        return value
    with torch.inference_mode(False):
        return value.clone()


def leaf(images: Tensor) -> Tensor:
    """A copy that requires a gradient, as the images of an attack do."""
    with torch.inference_mode(False):
        return images.detach().clone().requires_grad_()
