"""The model in the wrapper that trains it: one copy a rank under torchrun, else `DataParallel`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ...runtime.errors import InputError
from ...runtime.modules import device_of
from .. import distributed
from ..arguments import given
from .batch_norm import with_synced_batch_norm

__all__ = ["average_statistics", "bare", "for_evaluation", "gradients_kept", "on_devices"]


def on_devices(
    args: Any, model: nn.Module, device_ids: list[int] | None = None, *, training: bool = False
) -> nn.Module:
    """The model on CUDA if there is any, in the wrapper that gives checkpoints their prefix.

    Unless ``args.fast`` is 0, its weights lie as convolutions are fastest: channels last, which
    changes numbers by rounding only.

    Parameters
    ----------
    args
        ``fast``, and ``sync_bn``: whether batch norm in training is over the images of all ranks.
    model
        An `AttackerModel`.
    device_ids
        CUDA devices that a single process spreads batches over, the model on the first; default
        all.
    training
        Whether ranks are to average their gradients: the wrapper is `DistributedDataParallel`
        then, and every rank begins with rank 0's weights.

    Raises
    ------
    InputError
        If the model is in such a wrapper already, a card is not there, or ``sync_bn`` is asked of
        one process that uses several cards.
    """
    if isinstance(model, (nn.DataParallel, DistributedDataParallel)):
        raise InputError.also(AssertionError)(
            "the model is in DataParallel already: give model.module"
        )
    if torch.cuda.is_available():
        model.cuda(_first_of(device_ids))
    if given(args, "fast", 1):
        model.to(memory_format=torch.channels_last)
    sync_bn = bool(given(args, "sync_bn", 0))
    if not distributed.active():
        cards = torch.cuda.device_count() if device_ids is None else len(device_ids)
        if sync_bn and cards > 1:
            raise InputError(
                "--sync-bn 1 needs a process for each card: start them by torchrun, or leave it out"
            )
        return nn.DataParallel(model, device_ids=device_ids)
    if not training:
        return nn.DataParallel(model, device_ids=_own_card(model))
    if sync_bn:
        with_synced_batch_norm(model)
    # Statistics are averaged after each step instead, see average_statistics. The word for it is
    # another in newer releases of torch.
    words = inspect.signature(DistributedDataParallel).parameters
    word = "forward_sync_buffers" if "forward_sync_buffers" in words else "broadcast_buffers"
    options: dict[str, Any] = {word: False, "gradient_as_bucket_view": True}
    return DistributedDataParallel(model, device_ids=_own_card(model), **options)


def _first_of(device_ids: list[int] | None) -> int | None:
    """The card that the model is to be on: torch's wrapper wants the first."""
    if not device_ids:
        return None
    cards = torch.cuda.device_count()
    for one in device_ids:
        number = (
            torch.device("cuda", one).index if isinstance(one, int) else torch.device(one).index
        )
        if number is not None and not 0 <= number < cards:
            raise InputError(
                f"dp_device_ids={list(device_ids)}: this machine has {cards} cards, from 0 on"
            )
    return device_ids[0]


def bare(model: Any) -> Any:
    """The model without its wrapper."""
    return getattr(model, "module", model)


def for_evaluation(model: nn.Module) -> nn.Module:
    """The model in a wrapper in which no rank waits for another."""
    if isinstance(model, DistributedDataParallel):
        return nn.DataParallel(model.module, device_ids=_own_card(model))
    return model


def gradients_kept(model: nn.Module, here: bool) -> AbstractContextManager[Any]:
    """While the block runs, gradients stay on their rank if `here`; otherwise they are averaged."""
    return model.no_sync() if here and isinstance(model, DistributedDataParallel) else nullcontext()


@torch.no_grad()
def average_statistics(model: nn.Module) -> None:
    """Give every rank the mean of the running statistics that batch norm in training has kept.

    The ranks' networks are then the same between steps, in the attack as in evaluation, and a
    checkpoint of one of them holds all there is to go on from.
    """
    if not isinstance(model, DistributedDataParallel) or distributed.size() == 1:
        return
    statistics = list(_running(model))
    if not statistics:
        return
    together = torch.cat([values.flatten() for values in statistics])
    dist.all_reduce(together)
    together /= distributed.size()
    parts = together.split([values.numel() for values in statistics])
    torch._foreach_copy_(statistics, [p.view_as(v) for p, v in zip(parts, statistics, strict=True)])


def _own_card(model: nn.Module) -> list[Any] | None:
    device = device_of(model)
    return [device.index] if device.type == "cuda" else None


def _running(model: nn.Module) -> Iterator[torch.Tensor]:
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats:
            for values in (module.running_mean, module.running_var):
                if values is not None:
                    yield values
