"""``python -m robustness.main``: train or evaluate a model."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from types import ModuleType
from typing import Any

from robustness import train
from robustness.model_utils import make_and_restore_model
from robustness.tools import helpers

from ...runtime import random_state
from ...runtime.errors import InputError, one_line
from ...runtime.memory import is_out_of_memory
from ...runtime.signals import exit_status, raising
from .. import distributed, registry
from ..arguments import given
from ..data.bad_images import BadImages
from ..distributed.batches import parts_of
from .run_store import RunStore

__all__ = ["main", "run"]


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
    told = {name: given(args, name) for name in registry.FOLDER_OPTIONS}
    arguments = registry.data_set_arguments(args.dataset, told, given(args, "resume"))
    dataset = registry.data_set(args.dataset, folder, **arguments)
    dataset.bad_images = BadImages(given(args, "on_bad_image", "stop"))
    with (
        distributed.main_first() if dataset.custom_class else nullcontext()
    ):  # which may download, or draw
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
    except Exception as error:
        if is_out_of_memory(error):
            return _fail("the device has too little memory for this: give a smaller --batch-size")
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
        print(f"=> the network: {run_store.network}")
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


def _summary(args: Any, row: dict[str, Any], when: str) -> str:
    line = f"=> {when}: clean accuracy {row['nat_prec1']:.2f}%"
    if given(args, "adv_train", 0) or given(args, "adv_eval", 0):
        line += (
            f", adversarial accuracy {row['adv_prec1']:.2f}% (constraint {args.constraint}, "
            f"eps {args.eps:g}, {args.attack_steps} steps of {args.attack_lr:g})"
        )
    return line
