"""The state of a module: its mode, put back after a while, its device and its tensors."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn

from .errors import InputError
from .numbers import shown

__all__ = [
    "OwnModule",
    "device_named",
    "device_of",
    "digest",
    "evaluating",
    "is_finite",
    "is_mask",
    "modes_of",
    "own_device",
    "restore_modes",
]

logger = logging.getLogger("robust_reps_ext")


class OwnModule(nn.Module):
    """A module of this package: saved as a whole, it says that it loads with the package only."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        # `torch.save` asks for protocol 2; `copy` and processes that share a model for a later one.
        if protocol.__index__() < 4:
            logger.warning(
                "%s is saved as a whole, which loads only where robust_reps_ext is installed: "
                "save model.state_dict(), or convert the checkpoint (robust-reps models convert), "
                "for a file that loads anywhere",
                type(self).__name__,
            )
        return super().__reduce_ex__(protocol)


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
        restore_modes(modes)


def restore_modes(modes: dict[nn.Module, bool]) -> None:
    """Each module in the mode that `modes_of` told."""
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


def is_finite(tensor: Tensor) -> bool:
    """Whether no entry is NaN or infinite."""
    # A sum is quick, and finite only if every entry is; the converse needs the slower look.
    return not tensor.is_floating_point() or bool(
        torch.isfinite(tensor.sum()) or torch.isfinite(tensor).all()
    )


def is_mask(tensor: Tensor) -> bool:
    """Whether it holds 0 and minus infinity and nothing else, as the masks of attention do.

    Examples
    --------
    >>> import torch
    >>> is_mask(torch.full((2, 2), -torch.inf).triu(1)), is_mask(torch.tensor([1.0, -torch.inf]))
    (True, False)
    """
    return bool(((tensor == 0) | (tensor == -torch.inf)).all())


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in whatever order they come.

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.runtime.modules import digest
    >>> digest({"a": torch.zeros(2)})[:8]
    'da53f451'
    """
    found = hashlib.sha256()
    for name in sorted(tensors):
        one = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {one.dtype} {tuple(one.shape)}\n".encode())
        found.update(one.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def device_named(device: str | torch.device | None) -> torch.device | None:
    """The device of that name, None for none; `InputError` where there is no such here."""
    if device is None:
        return None
    try:
        target = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"unknown device {shown(device)}: use cpu, cuda or cuda:<number>"
        ) from error
    if target.type == "meta":
        raise InputError(f"device {device!r} computes nothing: use cpu, cuda or cuda:<number>")
    if target.type not in ("cpu", "cuda"):
        try:
            torch.empty(1, device=target)
        except (RuntimeError, NotImplementedError, AssertionError, ImportError) as error:
            raise InputError(f"device {device!r} is not on this machine: use cpu") from error
    if target.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {device!r} needs CUDA, which this machine lacks: use cpu")
    if target.type == "cuda" and (target.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {device!r}: this machine has {torch.cuda.device_count()} cards, from cuda:0 on"
        )
    return target
