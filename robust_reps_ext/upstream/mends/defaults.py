"""Mends `robustness.defaults`: our options, our data sets' defaults, and errors that say what."""

from __future__ import annotations

import argparse
from types import ModuleType

from ..mend import Mend, bind, fails
from ..training import options

__all__ = ["MENDS"]


def _know_our_data_sets(module: ModuleType) -> None:
    bind(TRAINING_DEFAULTS=options.TrainingDefaults(module.TRAINING_DEFAULTS))(module)


def _extend_options(module: ModuleType) -> None:
    for name, ours in options.OURS.items():
        getattr(module, name).extend(ours)
    for entry in module.MODEL_LOADER_ARGS:
        if entry[0] == "workers":
            entry[3] = min(entry[3], options.available_cpus())
        elif entry[0] == "resume-optimizer":
            entry[3] = None


def _takes_no_bare_resume(module: ModuleType) -> bool:
    parser = argparse.ArgumentParser(exit_on_error=False)
    module.add_args_to_parser([["resume", str, "", None]], parser)
    return fails(lambda: parser.parse_args(["--resume"]), argparse.ArgumentError)


def _ends_in_a_key_error(module: ModuleType) -> bool:
    varies = ["epochs", int, "", module.BY_DATASET]
    return fails(
        lambda: module.check_and_fill_args(argparse.Namespace(), [varies], object), KeyError
    )


MENDS: tuple[Mend, ...] = (
    Mend(
        name="TRAINING_DEFAULTS",
        where="defaults.py:13",
        why="Data sets added by name have no defaults, and Restricted ImageNet's are not the "
        "paper's.",
        present=lambda module: not isinstance(module.TRAINING_DEFAULTS, options.TrainingDefaults),
        apply=_know_our_data_sets,
    ),
    Mend(
        name="TRAINING_ARGS",
        where="defaults.py:114",
        why="There is no option for a seed, another objective or trust in a file, and 30 workers "
        "are more than most machines have processors.",
        present=lambda module: all(entry[0] != "seed" for entry in module.TRAINING_ARGS),
        apply=_extend_options,
    ),
    Mend(
        name="add_args_to_parser",
        where="defaults.py:162",
        why="A % in a help text breaks --help, and --resume cannot be given bare.",
        present=_takes_no_bare_resume,
        apply=bind(add_args_to_parser=options.add_args_to_parser),
    ),
    Mend(
        name="check_and_fill_args",
        where="defaults.py:186",
        why="A data set without defaults, or a subclass of one that has them, ends in a KeyError.",
        present=_ends_in_a_key_error,
        apply=bind(check_and_fill_args=options.check_and_fill_args),
    ),
)
