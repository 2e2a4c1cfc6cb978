"""Mends `robustness.train`: training and evaluation without apex, with or without CUDA."""

from __future__ import annotations

import time
from types import ModuleType
from typing import Any

from robustness.tools import constants
from torch import nn

from ...runtime import random_state
from ...runtime.modules import device_of
from .. import distributed
from ..arguments import check_required_args, given, read_numbers, tell_if_refused
from ..distributed.replicas import on_devices
from ..mend import Mend
from ..training.log import log_row
from ..training.loop import model_loop
from ..training.optimizer import make_optimizer_and_schedule
from ..training.run import TrainingRun, autograd_mode

__all__ = ["MENDS", "eval_model", "train_model"]


def train_model(
    args: Any,
    model: nn.Module,
    loaders: Any,
    *,
    checkpoint: dict[str, Any] | None = None,
    dp_device_ids: list[int] | None = None,
    store: Any = None,
    update_params: Any = None,
    disable_no_grad: bool = False,
) -> nn.Module:
    """Train a model, adversarially or not, and write checkpoints.

    Parameters
    ----------
    args
        Any object with attributes; `robustness.defaults.check_and_fill_args` fills it.
        ``epochs, lr, momentum, weight_decay, adv_train, log_iters, out_dir`` are required, and
        for adversarial training or evaluation ``constraint, eps, attack_lr, attack_steps,
        use_best, random_restarts``. Optional: ``adv_eval, save_ckpt_iters, step_lr,
        save_interval, step_lr_gamma, custom_lr_multiplier, lr_interpolation, custom_eps_multiplier,
        random_start, mixed_precision, seed, adv_objective, fast, grad_accumulation, sync_bn``,
        and the functions ``custom_train_loss, custom_adv_loss, custom_accuracy, regularizer,
        iteration_hook, epoch_hook`` of upstream's documentation.
    model
        An `AttackerModel`. It is moved to CUDA if there is any.
    loaders
        (training loader, validation loader), each serving (images, labels).
    checkpoint
        What `make_and_restore_model` returned beside the model, to go on where it was written:
        epoch, momentum, best accuracy and random state are taken up.
    dp_device_ids
        CUDA devices to spread batches over; default all.
    store
        A cox store for logs, tensorboard and checkpoints; without it they go to ``out_dir``.
    update_params
        The parameters to train; default all.
    disable_no_grad
        Evaluate with autograd on.

    Returns
    -------
    AttackerModel
        `model` itself, trained, not wrapped in `DataParallel`.

    Raises
    ------
    InputError
        If an argument is missing or out of range, a checkpoint does not fit or cannot be
        written, or the loss is not finite.

    Notes
    -----
    ``checkpoint.pt.latest`` is written after every epoch. Every ``log_iters`` epochs, and after
    the last, the model is evaluated, and ``checkpoint.pt.best`` is written if its accuracy
    (adversarial, when trained so) is the highest yet. 0 or less means never. With ``seed``, each
    epoch's data order, augmentation and random starts follow from the seed and the epoch's
    number; without it, a resumed run takes up the random state of the checkpoint. Either way it
    ends, on the CPU, with the weights of an uninterrupted run.

    Every ``save_interval`` seconds (default 60, 0 for never), ``checkpoint.pt.latest`` is also
    written in the midst of an epoch, and so it is on SIGINT and SIGTERM, after the step at hand:
    `robust_reps_ext.runtime.signals.Interrupted` (a KeyboardInterrupt) is raised then. A run that
    goes on from there loads the batches that were done once more, without training on them.

    In ranks that torchrun has started, inside `robust_reps_ext.upstream.distributed.process_group`,
    gradients are averaged over the ranks, results are those of all ranks' images, and rank 0 alone
    writes; `robust_reps_ext.upstream.distributed.batches.parts_of` gives each rank its part of
    the data.
    """
    check_required_args(args)
    read_numbers(args)
    run = TrainingRun(
        args, model, loaders, checkpoint, dp_device_ids, store, update_params, disable_no_grad
    )
    if checkpoint and run.start_epoch >= run.epochs:
        print(
            f"=> nothing left to train: the checkpoint has {run.start_epoch} epochs and --epochs "
            f"is {run.epochs}; give --epochs {run.start_epoch + 1} or more to go on"
        )
        return model
    if checkpoint:
        run.take_up(checkpoint)
    for epoch in range(run.start_epoch, run.epochs):
        run.run_epoch(epoch)
    return model


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
    seed = distributed.agreed_seed(given(args, "seed"))
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


_OURS = {
    "check_required_args": check_required_args,
    "make_optimizer_and_schedule": make_optimizer_and_schedule,
    "_model_loop": model_loop,
    "eval_model": eval_model,
    "train_model": train_model,
}


def _rebind(module: ModuleType) -> None:
    for name, function in _OURS.items():
        setattr(module, name, function)


MENDS: tuple[Mend, ...] = (
    Mend(
        name="train_model",
        where="train.py:287",
        why="Training ran only with CUDA, mixed precision only with apex, options were run as "
        "code, and a resumed run lost its learning rate, best accuracy and random state.",
        present=lambda module: "eval" in module.train_model.__code__.co_names,
        apply=_rebind,
    ),
)
