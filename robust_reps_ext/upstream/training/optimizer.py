"""The optimizer, its learning rates and the gradient scale: made anew, or taken up again."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR

from ...runtime.errors import InputError
from ...runtime.precision import amp_dtype
from ..arguments import given, number
from .schedules import lr_multiplier

__all__ = ["make_grad_scaler", "make_optimizer_and_schedule", "schedule_state"]


def make_optimizer_and_schedule(
    args: Any, model: nn.Module, checkpoint: dict[str, Any] | None, params: Any
) -> tuple[SGD, LambdaLR | None]:
    """SGD on `params` and its schedule, at the epoch at which `checkpoint` was written.

    The momentum comes from the checkpoint; learning rate, weight decay and schedule come from
    `args`, so that an option changed for a resume takes effect.

    Parameters
    ----------
    args
        ``lr``, ``momentum``, ``nesterov``, ``weight_decay``, ``decay_norms`` and what
        `schedules.lr_multiplier` reads.
    model
        Whose parameters are updated if `params` is None.
    checkpoint
        As `train_model` wrote it (upstream's own files too), or None.
    params
        The parameters to update, or parameter groups as torch's optimizers take them.

    Returns
    -------
    tuple
        The optimizer, and the schedule to step once an epoch (None for a constant rate, and for
        one that changes from step to step, see `course.Course.set_rate`).

    Raises
    ------
    InputError
        If the checkpoint's optimizer is for other parameters, or it lacks what is needed.
    """
    momentum = number(args.momentum or 0, "--momentum", at_least=0)
    nesterov = bool(given(args, "nesterov", 0))
    if nesterov and not momentum:
        raise InputError("--nesterov 1 needs momentum: give --momentum 0.9")
    params = list(model.parameters() if params is None else params)
    if not given(args, "decay_norms", 1):
        params = _split(params)
    optimizer = SGD(
        params,
        number(args.lr, "--lr", at_least=0),
        momentum=momentum,
        weight_decay=number(args.weight_decay or 0, "--weight-decay", at_least=0),
        nesterov=nesterov,
    )
    epoch = 0
    if checkpoint:
        wanted = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
        epoch = _restore(optimizer, checkpoint)
        for group, options in zip(optimizer.param_groups, wanted, strict=True):
            group.update(options)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    multiplier = lr_multiplier(args)
    if multiplier is None:
        return optimizer, None
    return optimizer, LambdaLR(optimizer, multiplier, last_epoch=epoch - 1)


def _split(params: list[Any]) -> list[dict[str, Any]]:
    """Weights of layers, and what is one number a channel (biases, norms), without decay."""
    if any(isinstance(one, dict) for one in params):
        raise InputError(
            "--decay-norms 0 makes parameter groups of its own: give update_params as parameters, "
            "or groups with a weight_decay of theirs and decay_norms=1"
        )
    return [
        {"params": [one for one in params if one.dim() > 1]},
        {"params": [one for one in params if one.dim() <= 1], "weight_decay": 0.0},
    ]


def make_grad_scaler(
    args: Any, device: torch.device, checkpoint: dict[str, Any] | None
) -> torch.amp.GradScaler:
    """The gradient scale of mixed precision in float16; it does nothing in other precisions."""
    enabled = bool(given(args, "mixed_precision", 0)) and amp_dtype(device) is torch.float16
    scaler = torch.amp.GradScaler(device.type, enabled=enabled)
    state = (checkpoint or {}).get("amp")
    if enabled and isinstance(state, dict) and "scale" in state:
        scaler.load_state_dict(state)
    return scaler


def schedule_state(schedule: LambdaLR | None) -> dict[str, Any] | None:
    """Where the schedule stands, in plain values that torch's own step schedule can load."""
    if schedule is None:
        return None
    return {
        "last_epoch": schedule.last_epoch,
        "base_lrs": [float(rate) for rate in schedule.base_lrs],
        "_last_lr": [float(rate) for rate in schedule.get_last_lr()],
        "_step_count": schedule.last_epoch + 1,
    }


def _restore(optimizer: SGD, checkpoint: dict[str, Any]) -> int:
    if "optimizer" not in checkpoint or "epoch" not in checkpoint:
        raise InputError.also(KeyError)(
            "the checkpoint has weights but no optimizer and epoch to go on from: "
            "start from its weights alone with --resume-optimizer 0"
        )
    try:
        optimizer.load_state_dict(checkpoint["optimizer"])
    except (ValueError, KeyError) as error:
        raise InputError.also(type(error))(
            f"the checkpoint's optimizer does not fit this model ({error}): "
            "start from its weights alone with --resume-optimizer 0"
        ) from error
    return int(checkpoint["epoch"])
