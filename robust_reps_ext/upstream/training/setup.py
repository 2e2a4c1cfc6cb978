"""What ``python -m robustness.main`` is to do: its arguments, filled in and checked."""

from __future__ import annotations

import os
from typing import Any

from robustness import defaults

from ...runtime.errors import InputError
from .. import distributed, registry
from ..arguments import (
    fill_from_file,
    given,
    missing,
    number,
    option,
    path_given,
    read_numbers,
    whole_number,
)
from .averaging import decay_of
from .course import image_sizes, minutes_of, share_of
from .options import GROUPS, entries
from .resume import resolve_resume, resume_after_restart
from .run import SAVE_INTERVAL
from .schedules import eps_multiplier, lr_multiplier

__all__ = ["setup_args"]


def setup_args(args: Any) -> Any:
    """Fill what `args` lacks, and check what it has.

    Parameters
    ----------
    args
        The parsed command line, with None for what was not given. It is changed: ``eps`` and
        ``attack_lr`` become numbers, ``resume`` a file.

    Returns
    -------
    object
        `args` itself.

    Raises
    ------
    InputError
        If an option is missing or wrong, or the checkpoint to resume from is not there.
    """
    config = path_given(args, "config_path")
    if config is not None:
        fill_from_file(args, config, [entries(name) for name in GROUPS])
    asked = given(args, "resume_optimizer")
    ds_class = _data_set_class(given(args, "dataset"))
    eval_only = bool(given(args, "eval_only", 0))
    if eval_only:
        # The command that trained a model, with --eval-only, evaluates it as training did.
        args.adv_eval = given(args, "adv_eval", given(args, "adv_train", 0))
        args.adv_train = 0
        if given(args, "resume") is None:
            raise InputError.also(AssertionError)(
                "--eval-only needs a model: give --resume CHECKPOINT"
            )
    else:
        if given(args, "minutes") is not None:
            args.epochs = given(args, "epochs", 1)  # whatever it is
        args = defaults.check_and_fill_args(args, entries("TRAINING_ARGS"), ds_class)
    if given(args, "adv_train", 0) or given(args, "adv_eval", 0):
        args = defaults.check_and_fill_args(args, entries("PGD_ARGS"), ds_class)
    for name in ("CONFIG_ARGS", "MODEL_LOADER_ARGS"):
        args = defaults.check_and_fill_args(args, entries(name), ds_class)
    args.resume_optimizer = asked  # what it is by default, resolve_resume says
    out_dir = path_given(args, "out_dir")
    if out_dir is not None:
        args.out_dir = os.path.expanduser(out_dir)
    _check_values(args, eval_only)
    resume_after_restart(args)
    resolve_resume(args)
    if distributed.active():
        # Another run may have written meanwhile: rank 0 says which checkpoint is the newest.
        names = ("exp_name", "resume", "resume_optimizer")
        found = distributed.from_main([given(args, name) for name in names])
        for name, value in zip(names, found, strict=True):
            setattr(args, name, value)
    return args


def _data_set_class(name: str | None) -> Any:
    if name is None:
        raise InputError.also(KeyError)(missing("dataset"))
    if name == "custom_imagenet":
        raise InputError.also(TypeError)(
            "--dataset custom_imagenet needs a grouping of classes, which only Python can give: "
            "CustomImageNet(data_path, custom_grouping=[...]), then robustness.train.train_model"
        )
    return registry.data_set_class(name)


def _check_values(args: Any, eval_only: bool) -> None:
    read_numbers(args)
    _check_batch(args, eval_only)
    if distributed.size() > 1 and not eval_only and given(args, "on_bad_image") == "skip":
        raise InputError(
            "--on-bad-image skip would leave processes with batches that do not fit together: "
            "remove the images that --eval-only 1 or a run of one process names"
        )
    whole_number(args, "workers", None, at_least=0)
    if given(args, "seed") is not None:
        whole_number(args, "seed", None, at_least=0)
    objective = given(args, "adv_objective")
    if objective is not None:
        registry.objective(objective)
    if not eval_only:
        whole_number(args, "epochs", None, at_least=1)
        number(given(args, "save_interval", SAVE_INTERVAL), "--save-interval", at_least=0)
        for name in ("lr", "momentum", "weight_decay"):
            setattr(args, name, number(getattr(args, name), option(name), at_least=0))
        lr_multiplier(args)
        eps_multiplier(args)
        for name in ("label_smoothing", "eps_warmup"):
            share_of(args, name)
        minutes_of(args)
        decay_of(given(args, "ema", 0))
        image_sizes(given(args, "image_sizes", ()))


def _check_batch(args: Any, eval_only: bool) -> None:
    batch = whole_number(args, "batch_size", None, at_least=1)
    if eval_only:
        return
    processes = distributed.size()
    parts = whole_number(args, "grad_accumulation", 1, at_least=1)
    over = batch % (processes * parts)
    if over:
        pieces = [f"{processes} processes"] if processes > 1 else []
        pieces += [f"{parts} parts (--grad-accumulation)"] if parts > 1 else []
        near = [n for n in (batch - over, batch - over + processes * parts) if n]
        raise InputError(
            f"--batch-size={batch} does not divide into {' x '.join(pieces)}: "
            f"give {' or '.join(map(str, near))}"
        )
