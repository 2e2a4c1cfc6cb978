"""Accuracy and loss of a model, without training it."""

from __future__ import annotations

import time
from typing import Any

import torch
from robustness.attacker import Attacker
from robustness.tools import constants
from torch import nn

from ...runtime import random_state
from ...runtime.modules import device_of
from .. import distributed
from ..arguments import (
    check_required_args,
    given,
    ours,
    read_numbers,
    tell_if_refused,
    whole_number,
)
from ..distributed.replicas import on_devices
from .log import log_row
from .loop import model_loop

__all__ = ["autograd_mode", "eval_model", "seed_of"]


def eval_model(args: Any, model: nn.Module, loader: Any, store: Any = None) -> dict[str, Any]:
    """Accuracy and loss on clean images and, with ``adv_eval``, on attacked ones.

    Parameters
    ----------
    args
        ``adv_eval`` and, if it is set, what the adversary needs (see `train_model`). With
        ``seed``, data order and random starts follow from it.
    model
        An `AttackerModel`. It is moved to CUDA if there is any.
    loader
        Serves (images, labels).
    store
        A cox store to log in, or None.

    Returns
    -------
    dict
        ``nat_prec1, adv_prec1`` (percent), ``nat_loss, adv_loss``, ``time`` (seconds), ``epoch``
        0; NaN for what was not evaluated.

    Raises
    ------
    InputError
        If an argument is missing or out of range.
    """
    check_required_args(args, eval_only=True)
    read_numbers(args)
    parallel = on_devices(args, model)
    tell_if_refused(args, device_of(model))
    writer = store.tensorboard if store else None
    seed = distributed.agreed_seed(seed_of(args))
    began = time.time()
    row: dict[str, Any] = dict.fromkeys(constants.LOGS_SCHEMA, float("nan"))
    row["epoch"] = 0
    for adv in (False, True) if args.adv_eval else (False,):
        if seed is not None:
            random_state.seed_epoch(seed, 0, [loader], distributed.rank())
        with autograd_mode(model, adv):
            prec1, loss = model_loop(args, "val", loader, parallel, None, 0, adv, writer)
        kind = "adv" if adv else "nat"
        row |= {f"{kind}_prec1": prec1, f"{kind}_loss": loss}
    row["time"] = time.time() - began
    log_row(store, row)
    return row


def autograd_mode(model: nn.Module, adv: bool, disable_no_grad: bool = False) -> Any:
    """Autograd on or off for evaluation: only an attacker that is not ours needs it on."""
    ours = isinstance(getattr(model, "attacker", None), Attacker)
    return torch.set_grad_enabled(disable_no_grad or (adv and not ours))


def seed_of(args: Any, default: int | None = None) -> int | None:
    """The seed that `args` asks for, or `default`; False is none."""
    if given(args, "seed") is False:
        return default
    return ours(args, "seed", default, lambda: whole_number(args, "seed", None, at_least=0))
