"""The options of training: ours beside upstream's, their defaults, and what fills them in."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, NoReturn

from robustness import defaults as upstream

from ...runtime.errors import InputError
from ...runtime.image_files import FITS
from .. import registry
from ..arguments import given, missing
from ..attack.attacker import RANDOM_STARTS
from ..data.bad_images import ACTIONS
from .checkpoints import LATEST

__all__ = [
    "GROUPS",
    "OURS",
    "TrainingDefaults",
    "add_args_to_parser",
    "available_cpus",
    "check_and_fill_args",
    "command_parser",
    "entries",
]

GROUPS = ("CONFIG_ARGS", "MODEL_LOADER_ARGS", "TRAINING_ARGS", "PGD_ARGS")
"""Upstream's lists of options, in the order of its help."""

# Paper, Table 3 and appendix A.3: adversarial training starts from a random perturbation.
_ADVERSARY_DEFAULTS: dict[str, dict[str, Any]] = {"restricted_imagenet": {"random_start": 1}}

# Options of the command alone, by upstream's list that each would stand in: name, type or choices,
# help, default. The lists themselves stay upstream's: scripts have options of their own.
OURS: dict[str, list[list[Any]]] = {
    "TRAINING_ARGS": [
        ["seed", int, "makes the run repeatable: data order, augmentation, starts, weights", None],
        ["save-interval", float, "seconds between checkpoints within an epoch, 0 for none", 60],
        ["fast", [0, 1], "attack a copy of the network with batch norm folded in, channels last: "
         "the same numbers to rounding; 0: upstream's arithmetic", 1],
        ["grad-accumulation", int, "how many parts a batch is computed in, to need less memory", 1],
        ["sync-bn", [0, 1], "whether batch norm in training is over all of torchrun's processes",
         0],
        ["minutes", float, "train so long, whatever --epochs says; schedules follow the clock",
         None],
        ["ema", float, "evaluate, save and return averaged weights, of which so much is left "
         "after a step, such as 0.998; 0 for none", 0],
        ["label-smoothing", float, "how much of each label is spread over all classes", 0],
        ["nesterov", [0, 1], "Nesterov's momentum", 0],
        ["decay-norms", [0, 1], "weight decay on biases and normalisation layers, too", 1],
        ["eps-warmup", float, "share of the run over which eps and step size rise from 0", 0],
        ["overwrite", [0, 1], "remove an earlier run of the same --exp-name, and begin anew", 0],
        ["image-sizes", str, "sizes in training: '[(share of the run, pixels), ...]'", None],
    ],
    "PGD_ARGS": [
        ["random-radius", sorted(RANDOM_STARTS), "where random starts lie: anywhere in the ball, "
         "at any distance alike (for constraint 2), or on the surface, as upstream's (2)", "ball"],
        ["adv-objective", str, "what the adversary optimises instead of the classification loss: "
         f"{', '.join(sorted(registry.OBJECTIVES))} (direction:FILE)", None],
    ],
    "MODEL_LOADER_ARGS": [
        ["trust-checkpoint", [0, 1], "run whatever code the checkpoint file holds", 0],
        ["on-bad-image", list(ACTIONS), "at an image that cannot be read", "stop"],
        ["size", int, "of data set folder: height and width of the images", None],
        ["fit", list(FITS), "of data set folder: how images become square (default: crop)", None],
        ["mean", str, "of data set folder: such as 0.5,0.4,0.3; else measured and kept", None],
        ["std", str, "of data set folder: as --mean", None],
        ["split-seed", int, "of data set folder: which images are for validation, where there is "
         "no val/ (default: 0)", None],
    ],
}  # fmt: skip
_COMMAND_HELP = {
    "batch-size": "batch size for data loading, of all processes together",
    "workers": "data loading workers of each process",
    "resume": "checkpoint to resume from, or its directory; bare: the newest one in --out-dir",
    "resume-optimizer": "whether to go on with optimizer, epoch and random state too (default: 1 "
    "if the checkpoint lies in --out-dir, else 0)",
}
_UPSTREAMS = ("cifar", "cinic", "imagenet")
_HELP = {
    "step-lr": "number of epochs between step-lr-gamma x LR drops",
    "custom-lr-multiplier": "LR multiplier schedule: '[(epoch, multiplier), ...]', cyclic, or "
    "one-cycle (step by step: up over a tenth of the run, down by a cosine)",
    "eps": "adversarial perturbation budget, such as 3.0 or 8/255",
    "attack-lr": "step size of PGD, such as 0.5 or 2/255",
    "log-iters": "how frequently (in epochs) to evaluate and log; 0: only after the last",
    "save-ckpt-iters": "how frequently (in epochs) to keep a checkpoint (-1 for none, only saves "
    "best and last)",
    "config-path": "JSON file with values for options that are not given here",
    "dataset": f"name of the data set: {', '.join((*registry.DATA_SETS, *_UPSTREAMS))}",
    "arch": "name of the architecture",
    "random-start": "start the attack from a random perturbation",
}


_PROGRAM = "python -m robustness.main"
_ABOUT = "Train or evaluate a model, adversarially or not."
_EXAMPLE = (
    f"example: {_PROGRAM} --dataset restricted_imagenet --data DIR --arch resnet50 "
    "--adv-train 1 --constraint 2 --eps 3 --attack-lr 0.5 --out-dir runs"
)


class TrainingDefaults(dict[type, dict[str, Any]]):
    """Upstream's table of defaults, with those of our data sets, which are not yet imported."""

    def __init__(self, upstreams: dict[type, dict[str, Any]]) -> None:
        super().__init__({kind: e for kind, e in upstreams.items() if _our_name(kind) is None})

    def __missing__(self, kind: type) -> dict[str, Any]:
        name = _our_name(kind)
        if name is None:
            raise KeyError(kind)
        ours: Any = registry.TRAINING_DEFAULTS[name]
        self[kind] = {**_ADVERSARY_DEFAULTS.get(name, {}), **ours}
        return self[kind]


def _our_name(kind: type) -> str | None:
    """The name under which a data set class is registered with defaults of its own."""
    for name, address in registry.DATA_SETS.items():
        module, _, attribute = address.partition(":")
        # What has not been imported cannot be the class at hand.
        ours = getattr(sys.modules.get(module), attribute, None)
        if ours is kind and name in registry.TRAINING_DEFAULTS:
            return name
    return None


def available_cpus() -> int:
    """How many processors this process may use, of those that torchrun's processes share."""
    if hasattr(os, "sched_getaffinity"):
        processors = len(os.sched_getaffinity(0))
    else:
        processors = os.cpu_count() or 1
    return max(1, processors // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def add_args_to_parser(
    arg_list: list[list[Any]], parser: argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """Add options to a parser; their defaults are shown, and filled in later.

    Parameters
    ----------
    arg_list
        Entries [name, type or choices, help, default], like `robustness.defaults.TRAINING_ARGS`.
    parser
        Gets one ``--name`` for each.

    Returns
    -------
    ArgumentParser
        `parser` itself.
    """
    return _with_options(parser, arg_list, _HELP)


def _with_options(
    parser: argparse.ArgumentParser, arg_list: list[list[Any]], helps: dict[str, str]
) -> argparse.ArgumentParser:
    for name, kind, text, default in arg_list:
        shown = helps.get(name, " ".join(text.split()))
        if "(default" not in shown:
            shown = f"{shown} (default: {_default(name, default)})"
        keywords: dict[str, Any] = {"help": shown.strip().replace("%", "%%"), "type": kind}
        if isinstance(kind, list):
            keywords |= {"type": type(kind[0]), "choices": kind}
        if name == "resume" and helps is not _HELP:
            keywords |= {"nargs": "?", "const": LATEST}
        if name == "overwrite":
            keywords |= {"nargs": "?", "const": 1}
        parser.add_argument(f"--{name}", **keywords)
    return parser


def _default(name: str, default: Any) -> Any:
    return min(default, available_cpus()) if name == "workers" else default


class _OneLine(argparse.ArgumentParser):
    """A parser whose errors are one line, not that and a hundred of usage."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; {self.prog} --help lists the options")


def command_parser() -> argparse.ArgumentParser:
    """The parser of ``python -m robustness.main``: upstream's options and ours."""
    parser = _OneLine(_PROGRAM, description=_ABOUT, epilog=_EXAMPLE)
    for group in GROUPS:
        _with_options(parser, entries(group), {**_HELP, **_COMMAND_HELP})
    return parser


def entries(group: str) -> list[list[Any]]:
    """The options of one of upstream's lists, and ours that belong there."""
    return [*getattr(upstream, group), *OURS.get(group, [])]


def check_and_fill_args(args: Any, arg_list: list[list[Any]], ds_class: Any) -> Any:
    """Fill what `args` lacks with the data set's defaults, then with the general ones.

    Parameters
    ----------
    args
        Any object with attributes; it is changed.
    arg_list
        Entries [name, type or choices, help, default], like `TRAINING_ARGS`.
    ds_class
        A data set class (or instance); subclasses have their parents' defaults.

    Returns
    -------
    object
        `args` itself.

    Raises
    ------
    InputError
        If a required argument is absent, or its default varies and the data set has none.
    """
    own = _defaults_of(upstream.TRAINING_DEFAULTS, ds_class)
    if given(args, "step_lr") is not None:
        # A schedule of the data set would silently win over the drops asked for.
        own.pop("custom_lr_multiplier", None)
    for name, _, _, general in arg_list:
        default = _default(name, general)
        attribute = name.replace("-", "_")
        if given(args, attribute) is not None:
            continue
        if attribute in own:
            setattr(args, attribute, own[attribute])
        elif default == upstream.REQ:
            raise InputError(missing(attribute))
        elif default == upstream.BY_DATASET:
            raise InputError.also(KeyError)(_no_default(attribute, ds_class))
        elif default is not None or not hasattr(args, attribute):
            setattr(args, attribute, default)
    return args


def _defaults_of(table: dict[type, dict[str, Any]], ds_class: Any) -> dict[str, Any]:
    kind = ds_class if isinstance(ds_class, type) else type(ds_class)
    found: dict[str, Any] = {}
    for parent in kind.__mro__:
        try:
            entries = table[parent]
        except KeyError:
            continue
        found = {**entries, **found}
    return found


def _no_default(attribute: str, ds_class: Any) -> str:
    kind = ds_class if isinstance(ds_class, type) else type(ds_class)
    return (
        f"{missing(attribute)}; it varies by data set, and "
        f"robustness.defaults.TRAINING_DEFAULTS has no entry for {kind.__name__}"
    )
