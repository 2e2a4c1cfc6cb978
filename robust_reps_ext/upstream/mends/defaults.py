"""Mends `robustness.defaults`: our options, our data sets' defaults, and errors that say what."""

from __future__ import annotations

import argparse
from types import ModuleType

from ..mend import Mend, bind, fails
from ..training import options

__all__ = ["MENDS"]


def _know_our_data_sets(module: ModuleType) -> None:
    bind(TRAINING_DEFAULTS=options.TrainingDefaults(module.TRAINING_DEFAULTS))(module)


def _takes_a_percentage_for_a_format(module: ModuleType) -> bool:
    def add_and_show() -> None:
        parser = argparse.ArgumentParser()
        module.add_args_to_parser([["share", str, "in %", None]], parser)
        parser.format_help()

    return fails(add_and_show, ValueError, TypeError)


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
    Mend.replacing(
        options.add_args_to_parser,
        "defaults.py:162",
        "A % in a help text breaks --help, and 30 workers are more than most machines have "
        "processors.",
        _takes_a_percentage_for_a_format,
    ),
    Mend.replacing(
        options.check_and_fill_args,
        "defaults.py:186",
        "A data set without defaults, or a subclass of one that has them, ends in a KeyError.",
        _ends_in_a_key_error,
    ),
)
