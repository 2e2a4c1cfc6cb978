"""The state of a module: its mode, put back after a while, and its device."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["device_of", "evaluating", "modes_of", "own_device"]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` in evaluation mode inside the block, whatever happens there.

    `model.train()` afterwards would also switch submodules that were frozen in evaluation mode.
    """
    modes = modes_of(model)
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def modes_of(model: nn.Module) -> dict[nn.Module, bool]:
    """Whether each module is in training mode."""
    return {module: module.training for module in model.modules()}


def device_of(model: nn.Module) -> torch.device:
    """Where the model's parameters (or, without any, its buffers) are."""
    for tensors in (model.parameters(), model.buffers()):
        for tensor in tensors:
            return tensor.device
    return torch.device("cpu")


def own_device() -> str:
    """The card of this process, each of which has one under ``torchrun``; without CUDA, the CPU."""
    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
