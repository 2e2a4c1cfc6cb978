"""Mends `robustness.main`, the command that trains and evaluates."""

from __future__ import annotations

from argparse import ArgumentParser

from ..mend import Mend, bind, mentions
from ..training.command import main
from ..training.options import command_parser
from ..training.run_store import setup_store_with_metadata
from ..training.setup import setup_args

__all__ = ["MENDS"]

MENDS: tuple[Mend, ...] = (
    Mend(
        name="parser",
        where="main.py:26",
        why="There is no option for a seed, another objective or trust in a file, the help has no "
        "example, and a slip of the keyboard prints all of the usage.",
        present=lambda module: type(module.parser) is ArgumentParser,
        apply=lambda module: bind(parser=command_parser())(module),
    ),
    Mend.replacing(
        setup_args,
        "main.py:70",
        "A missing data set or a wrong name ends in a KeyError, a file of options bypasses "
        "types and choices, and --eval-only asks for training options.",
        mentions("setup_args", "override_json"),
    ),
    Mend.replacing(
        setup_store_with_metadata,
        "main.py:93",
        "The HEAD of whatever repository encloses site-packages is recorded as robustness' "
        "version, and one without commits ends in a traceback.",
        mentions("setup_store_with_metadata", "Repo"),
    ),
    Mend.replacing(
        main,
        "main.py:39",
        "An evaluation needs training data, and says nothing when it is done.",
        mentions("main", "DATASETS"),
    ),
)
