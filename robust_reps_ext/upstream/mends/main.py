"""Mends `robustness.main`, and runs it: ``python -m robustness.main``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import torch
from robustness import defaults, train
from robustness.model_utils import make_and_restore_model
from robustness.tools import helpers

from ...runtime import random_state
from ...runtime.errors import InputError, one_line
from ...runtime.signals import exit_status, raising
from .. import distributed, registry
from ..arguments import fill_from_file, given, missing, number, option, read_numbers, whole_number
from ..data.bad_images import BadImages
from ..distributed import main_first
from ..distributed.batches import parts_of
from ..mend import Mend
from ..training.resume import go_on, resolve_resume
from ..training.run import SAVE_INTERVAL
from ..training.run_store import RunStore, setup_store_with_metadata
from ..training.schedules import eps_multiplier, lr_multiplier

__all__ = ["MENDS", "main", "run", "setup_args"]

_ABOUT = "Train or evaluate a model, adversarially or not."
_EXAMPLE = (
    "example: python -m robustness.main --dataset restricted_imagenet --data DIR --arch resnet50 "
    "--adv-train 1 --constraint 2 --eps 3 --attack-lr 0.5 --out-dir runs"
)


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
    lists = (
        defaults.CONFIG_ARGS,
        defaults.MODEL_LOADER_ARGS,
        defaults.TRAINING_ARGS,
        defaults.PGD_ARGS,
    )
    if given(args, "config_path") is not None:
        fill_from_file(args, args.config_path, lists)
    ds_class = _data_set_class(given(args, "dataset"))
    eval_only = bool(given(args, "eval_only", 0))
    if eval_only:
        # The command that trained a model, with --eval-only, evaluates it as training did.
        args.adv_eval = given(args, "adv_eval", given(args, "adv_train", 0))
        args.adv_train = 0
        if given(args, "resume") is None:
            raise InputError("--eval-only needs a model: give --resume CHECKPOINT")
    else:
        args = defaults.check_and_fill_args(args, defaults.TRAINING_ARGS, ds_class)
    if given(args, "adv_train", 0) or given(args, "adv_eval", 0):
        args = defaults.check_and_fill_args(args, defaults.PGD_ARGS, ds_class)
    args = defaults.check_and_fill_args(args, defaults.CONFIG_ARGS, ds_class)
    args = defaults.check_and_fill_args(args, defaults.MODEL_LOADER_ARGS, ds_class)
    if given(args, "out_dir") is not None:
        args.out_dir = os.path.expanduser(args.out_dir)
    _check_values(args, eval_only)
    go_on(args)
    resolve_resume(args)
    if distributed.active():
        # Another run may have written meanwhile: rank 0 says which checkpoint is the newest.
        names = ("exp_name", "resume", "resume_optimizer")
        found = distributed.from_main([given(args, name) for name in names])
        for name, value in zip(names, found, strict=True):
            setattr(args, name, value)
    return args


def main(args: Any, store: Any = None) -> Any:
    """Train a model, or with ``eval_only`` evaluate one.

    Parameters
    ----------
    args
        As `setup_args` returns it.
    store
        A cox store, as `setup_store_with_metadata` makes it; None is for evaluation only.

    Returns
    -------
    AttackerModel or dict
        The trained model, or what `robustness.train.eval_model` returns.

    Raises
    ------
    InputError
        If the data or the checkpoint cannot be used.
    """
    seed = given(args, "seed")
    if seed is not None:
        random_state.seed_all(seed)
    eval_only = bool(given(args, "eval_only", 0))
    folder = os.path.expanduser(os.path.expandvars(args.data))
    dataset = registry.data_set(args.dataset, folder)
    dataset.bad_images = BadImages(given(args, "on_bad_image", "stop"))
    with main_first() if dataset.custom_class else nullcontext():  # which may download, or draw
        loaders = dataset.make_loaders(
            args.workers,
            args.batch_size,
            data_aug=bool(given(args, "data_aug", 1)),
            only_val=eval_only,
        )
    loaders = parts_of(loaders)
    train_loader, val_loader = (loader and helpers.DataPrefetcher(loader) for loader in loaders)
    model, checkpoint = make_and_restore_model(
        arch=args.arch,
        dataset=dataset,
        resume_path=given(args, "resume"),
        trust=bool(given(args, "trust_checkpoint", 0)),
    )
    print(args)
    if eval_only:
        row = train.eval_model(args, model, val_loader, store=store)
        print(_summary(args, row, f"on {len(val_loader.dataset)} images"))
        return row
    if not given(args, "resume_optimizer", 0):
        checkpoint = None
    return train.train_model(
        args, model, (train_loader, val_loader), store=store, checkpoint=checkpoint
    )


def run(arguments: Sequence[str] | None = None) -> None:
    """What ``python -m robustness.main`` does; ends the process.

    The exit status is 0, 2 for input that cannot be used (one line says which and why), or 130
    or 143 after SIGINT or SIGTERM, which leave a checkpoint to go on from. Started by torchrun, it
    is one of several processes that train together, see `distributed`.

    Parameters
    ----------
    arguments
        The command line; default ``sys.argv[1:]``.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with raising(), distributed.process_group():
            status = _status(words)
            if status:
                sys.exit(status)
    except InputError as error:
        status = _fail(str(error))
    except KeyboardInterrupt as interrupt:
        status = exit_status(interrupt)
    sys.exit(status)


def _status(words: list[str]) -> int:
    try:
        return _command(words)
    except InputError as error:
        return _fail(str(error))
    except torch.cuda.OutOfMemoryError:
        return _fail("the device has too little memory for this: give a smaller --batch-size")
    except Exception as error:
        lost = distributed.lost_one(error)
        if lost is None:
            raise
        return _fail(lost, status=1)


def _command(words: list[str]) -> int:
    upstream = _upstream_main()
    from cox.utils import Parameters

    with distributed.main_speaks():
        parsed = upstream.parser.parse_args(words)
    args = upstream.setup_args(Parameters(vars(parsed)))
    with RunStore(args) as run_store:
        try:
            upstream.main(args, store=run_store.open(upstream.setup_store_with_metadata))
        except KeyboardInterrupt:
            if distributed.is_main():
                print(f"\ninterrupted: {run_store.how_to_go_on()}", file=sys.stderr)
            raise
    row = run_store.last_row
    if row is not None and not given(args, "eval_only", 0):
        print(_summary(args, row, f"after epoch {row['epoch']:.0f}"))
    return 0


def _fail(message: str, status: int = 2) -> int:
    if distributed.one_speaks(message):
        print(f"error: {one_line(message)}", file=sys.stderr, flush=True)
    return status


def _upstream_main() -> ModuleType:
    try:
        return importlib.import_module("robustness.main")
    except ValueError as error:
        # Upstream hides whatever went wrong behind "Make sure to run with python -m".
        raise error.__context__ or error from None


def _data_set_class(name: str | None) -> Any:
    if name is None:
        raise InputError(missing("dataset"))
    if name == "custom_imagenet":
        raise InputError(
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


def _summary(args: Any, row: dict[str, Any], when: str) -> str:
    line = f"=> {when}: clean accuracy {row['nat_prec1']:.2f}%"
    if given(args, "adv_train", 0) or given(args, "adv_eval", 0):
        line += (
            f", adversarial accuracy {row['adv_prec1']:.2f}% (constraint {args.constraint}, "
            f"eps {args.eps:g}, {args.attack_steps} steps of {args.attack_lr:g})"
        )
    return line


def _describe(module: ModuleType) -> None:
    module.parser.prog = "python -m robustness.main"
    module.parser.description = _ABOUT
    module.parser.epilog = _EXAMPLE


def _mend(name: str, ours: Any, line: int, mark: str, why: str) -> Mend:
    """A function of upstream's to replace if its code still names `mark`."""
    return Mend(
        name=name,
        where=f"main.py:{line}",
        why=why,
        present=lambda module: mark in getattr(module, name).__code__.co_names,
        apply=lambda module: setattr(module, name, ours),
    )


MENDS: tuple[Mend, ...] = (
    Mend(
        name="parser",
        where="main.py:26",
        why="The help calls the command main.py, and shows no example.",
        present=lambda module: module.parser.prog != "python -m robustness.main",
        apply=_describe,
    ),
    _mend(
        "setup_args",
        setup_args,
        70,
        "override_json",
        "A missing data set or a wrong name ends in a KeyError, a file of options bypasses types "
        "and choices, and --eval-only asks for training options.",
    ),
    _mend(
        "setup_store_with_metadata",
        setup_store_with_metadata,
        93,
        "Repo",
        "The HEAD of whatever repository encloses site-packages is recorded as robustness' "
        "version, and one without commits ends in a traceback.",
    ),
    _mend(
        "main",
        main,
        39,
        "DATASETS",
        "An evaluation needs training data, and says nothing when it is done.",
    ),
)
