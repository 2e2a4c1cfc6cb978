"""Mends `robustness.main`, the command that trains and evaluates."""

from __future__ import annotations

from types import ModuleType

from ..mend import Mend, bind, mentions
from ..training.command import main
from ..training.run_store import setup_store_with_metadata
from ..training.setup import setup_args

__all__ = ["MENDS"]

_PROGRAM = "python -m robustness.main"
_ABOUT = "Train or evaluate a model, adversarially or not."
_EXAMPLE = (
    f"example: {_PROGRAM} --dataset restricted_imagenet --data DIR --arch resnet50 "
    "--adv-train 1 --constraint 2 --eps 3 --attack-lr 0.5 --out-dir runs"
)


def _describe(module: ModuleType) -> None:
    parser = module.parser
    parser.prog, parser.description, parser.epilog = _PROGRAM, _ABOUT, _EXAMPLE


MENDS: tuple[Mend, ...] = (
    Mend(
        name="parser",
        where="main.py:26",
        why="The help calls the command main.py, and shows no example.",
        present=lambda module: module.parser.prog != _PROGRAM,
        apply=_describe,
    ),
    Mend(
        name="setup_args",
        where="main.py:70",
        why="A missing data set or a wrong name ends in a KeyError, a file of options bypasses "
        "types and choices, and --eval-only asks for training options.",
        present=mentions("setup_args", "override_json"),
        apply=bind(setup_args=setup_args),
    ),
    Mend(
        name="setup_store_with_metadata",
        where="main.py:93",
        why="The HEAD of whatever repository encloses site-packages is recorded as robustness' "
        "version, and one without commits ends in a traceback.",
        present=mentions("setup_store_with_metadata", "Repo"),
        apply=bind(setup_store_with_metadata=setup_store_with_metadata),
    ),
    Mend(
        name="main",
        where="main.py:39",
        why="An evaluation needs training data, and says nothing when it is done.",
        present=mentions("main", "DATASETS"),
        apply=bind(main=main),
    ),
)
