"""Mends `robustness.main`, the command that trains and evaluates."""

from __future__ import annotations

from types import ModuleType

from ..mend import Mend, mentions
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
