"""A training run, epoch by epoch: train, evaluate, log, step the schedule, save."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice
from typing import Any

from torch import nn

from ...runtime import random_state
from ...runtime.modules import device_of
from ...runtime.signals import Interrupted, deferred
from .. import distributed
from ..arguments import (
    check_required_args,
    function_given,
    given,
    number,
    ours,
    read_numbers,
    tell_if_refused,
    whole_number,
)
from ..distributed.batches import share_of
from ..distributed.replicas import bare, on_devices
from .attack_facts import attack_facts
from .averaging import Average, decay_of
from .course import Course
from .evaluation import autograd_mode, seed_of
from .log import NO_ADVERSARY, TrainingRecord
from .loop import length, model_loop
from .optimizer import make_grad_scaler, make_optimizer_and_schedule, schedule_state
from .progress import WITHIN_EPOCH, EpochProgress, state_of_this_rank, states_of_all_ranks

__all__ = ["SAVE_INTERVAL", "TrainingRun", "train_model"]

SAVE_INTERVAL = 60
"""Seconds between checkpoints in the midst of an epoch."""


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
        those of the fast recipe (docs/training.md) ``minutes, ema, label_smoothing, nesterov,
        decay_norms, eps_warmup, image_sizes, random_radius``, and the functions
        ``custom_train_loss, custom_adv_loss, custom_accuracy, regularizer, iteration_hook,
        epoch_hook`` of upstream's documentation.
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
    if checkpoint and run.course.ended(run.start_epoch):
        print(f"=> nothing left to train: {run.course.how_to_go_on(run.start_epoch)}")
        return model
    if checkpoint:
        run.take_up(checkpoint)
    epoch = run.start_epoch
    while not run.course.ended(epoch):
        run.run_epoch(epoch)
        epoch += 1
    if run.average is not None:
        run.average.swap()
    return model


class TrainingRun:
    """Everything `train_model` works with; see there for the arguments."""

    def __init__(
        self,
        args: Any,
        model: nn.Module,
        loaders: Any,
        checkpoint: dict[str, Any] | None,
        device_ids: list[int] | None,
        store: Any,
        update_params: Any,
        disable_no_grad: bool,
    ) -> None:
        self.args = args
        self.log_iters = whole_number(args, "log_iters", None, at_least=None)
        self.save_ckpt_iters = whole_number(args, "save_ckpt_iters", -1, at_least=None)
        self.adv_train = bool(args.adv_train)
        self.adv_eval = self.adv_train or bool(given(args, "adv_eval", 0))
        self.disable_no_grad = disable_no_grad
        self.loaders = tuple(loaders)
        self.train_loader, self.val_loader = self.loaders
        self.model = model
        self.parallel = on_devices(args, model, device_ids, training=True)
        tell_if_refused(args, device_of(model))
        self.opt, self.schedule = make_optimizer_and_schedule(
            args, model, checkpoint, update_params
        )
        self.scaler = make_grad_scaler(args, device_of(model), checkpoint)
        begun = checkpoint or {}
        self.course = Course(args, length(self.train_loader), begun.get("course"))
        self.average = self._average(begun)
        self.record = TrainingRecord(args, store)
        self.seed = distributed.agreed_seed(seed_of(args, (checkpoint or {}).get("seed")))
        self.start_epoch = int(checkpoint["epoch"]) if checkpoint else 0
        self.within_epoch: dict[str, Any] | None = None
        self.save_interval = ours(
            args,
            "save_interval",
            SAVE_INTERVAL,
            lambda: number(args.save_interval or 0, "--save-interval", at_least=0),
        )
        self._next_save = time.monotonic() + self.save_interval

    def _average(self, begun: dict[str, Any]) -> Average | None:
        """The averaged weights, where there are to be any; the model has those in training."""
        decay = ours(self.args, "ema", 0.0, partial(decay_of, given(self.args, "ema")))
        average = Average(self.model, decay, begun.get("averaged", 0)) if decay else None
        if "training_weights" in begun:
            bare(self.parallel).load_state_dict(begun["training_weights"])
        return average

    def take_up(self, checkpoint: dict[str, Any]) -> None:
        """Take up the best accuracy and the random state of a checkpoint."""
        if not self.record.take_up_best(checkpoint):
            self.record.best, _ = self._validate(self.start_epoch - 1, self.adv_train, None)
        self.record.take_up_log(checkpoint)
        if WITHIN_EPOCH & checkpoint.keys():
            self.within_epoch = state_of_this_rank(checkpoint)
        elif self.seed is None and "random_state" in checkpoint:
            random_state.restore(checkpoint["random_state"], self.loaders)

    def run_epoch(self, epoch: int) -> None:
        """Train for one epoch and leave its checkpoint."""
        args, record = self.args, self.record
        within_epoch, self.within_epoch = self.within_epoch, None
        if within_epoch is not None:
            random_state.restore(within_epoch["epoch_began"], self.loaders)
            if self.seed is not None and distributed.rank():
                random_state.seed_epoch(self.seed, epoch, rank=distributed.rank())
        elif self.seed is not None:
            random_state.seed_epoch(self.seed, epoch, self.loaders, distributed.rank())
        began = random_state.capture(self.loaders)

        def save_within_epoch(progress: EpochProgress) -> None:
            now = states_of_all_ranks(began, progress.state(), self.loaders)
            record.save_within_epoch(self._state(), now, epoch=epoch)
            self._next_save = time.monotonic() + self.save_interval

        with deferred(tell=distributed.is_main()) as interrupted:

            def after_step(progress: EpochProgress) -> None:
                if self.average is not None:
                    self.average.update()
                due = bool(self.save_interval) and time.monotonic() >= self._next_save
                due_here = due and distributed.is_main()
                save, signal = distributed.agreed(due_here, interrupted.number or 0)
                if save or signal:
                    save_within_epoch(progress)
                if signal:
                    # When the first rank has gone, torchrun ends the others.
                    distributed.wait_for_all()
                    raise Interrupted(signal)

            prec1, loss = model_loop(
                args,
                "train",
                self.train_loader,
                self.parallel,
                self.opt,
                epoch,
                self.adv_train,
                record.writer,
                self.scaler,
                done=within_epoch and within_epoch["progress"],
                rest=within_epoch and self._rest(within_epoch, epoch),
                after_step=after_step,
                share=partial(share_of, self.train_loader),
                course=self.course,
            )
        numbered = self.course.ended(epoch + 1) or _is_turn(epoch, self.save_ckpt_iters)
        evaluation = {}
        if numbered or _is_turn(epoch, self.log_iters):
            evaluation = self._evaluate(epoch)
        info = record.info(epoch, train_prec1=prec1, train_loss=loss, **evaluation)
        if self.schedule is not None:
            with warnings.catch_warnings():
                # Interrupted after the last step of an epoch, a run goes on without one.
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
                self.schedule.step()
        record.save(self._state(), info if evaluation else None, epoch=epoch, numbered=numbered)
        if evaluation:
            record.log(info)
        epoch_hook = function_given(args, "epoch_hook")
        if epoch_hook is not None:
            epoch_hook(self.parallel, info)

    def _rest(self, within_epoch: dict[str, Any], epoch: int) -> Iterator[Any]:
        """The training batches after those that were done when the run was interrupted.

        Those are loaded again, and dropped: order and augmentation then go on as they would have.
        """
        batches = iter(self.train_loader)
        steps = int(within_epoch["progress"]["steps"])
        for _ in islice(batches, steps):
            pass
        if within_epoch["random_state"] is not None:
            random_state.restore(within_epoch["random_state"], self.loaders)
        elif self.seed is not None:
            random_state.seed_epoch(self.seed, epoch, rank=distributed.rank(), step=steps)
        yield from batches

    def _evaluate(self, epoch: int) -> dict[str, float]:
        nat_prec1, nat_loss = self._validate(epoch, False, self.record.writer)
        adv_prec1, adv_loss = NO_ADVERSARY, NO_ADVERSARY
        if self.adv_eval:
            adv_prec1, adv_loss = self._validate(epoch, True, self.record.writer)
        return {
            "nat_prec1": nat_prec1,
            "adv_prec1": adv_prec1,
            "nat_loss": nat_loss,
            "adv_loss": adv_loss,
        }

    def _validate(self, epoch: int, adv: bool, writer: Any) -> tuple[float, float]:
        # Training goes the same way whether or not it is evaluated on the way.
        mode = autograd_mode(self.model, adv, self.disable_no_grad)
        with mode, random_state.preserved(self.loaders), self._weights_used():
            return model_loop(
                self.args, "val", self.val_loader, self.parallel, None, epoch, adv, writer
            )

    def _weights_used(self) -> AbstractContextManager[None]:
        return nullcontext() if self.average is None else self.average.in_place()

    def _state(self) -> dict[str, Any]:
        averaged: dict[str, Any] = {}
        if self.average is not None:
            weights = bare(self.parallel).state_dict()
            averaged = {"training_weights": weights, "averaged": self.average.steps}
        with self._weights_used():
            # What these refer to is the averages', also when the model has its own again.
            used = self.parallel.state_dict()
        return {
            "model": used,
            **averaged,
            "course": self.course.state(),
            "optimizer": self.opt.state_dict(),
            "schedule": schedule_state(self.schedule),
            "amp": self.scaler.state_dict() if self.scaler.is_enabled() else None,
            "random_state": random_state.capture(self.loaders),
            "seed": self.seed,
            **self._data_facts(),
            **attack_facts(self.args),
        }

    def _data_facts(self) -> dict[str, Any]:
        """What the data set says of itself, for whoever has the checkpoint alone."""
        images = getattr(self.loaders[0], "dataset", None)
        facts = getattr(getattr(images, "dataset", images), "facts", None)  # within a Subset
        return {} if facts is None else {"data_set": facts}


def _is_turn(epoch: int, every: int) -> bool:
    """Whether something done every so many epochs is due; 0 or less means never."""
    return every > 0 and epoch % every == 0
