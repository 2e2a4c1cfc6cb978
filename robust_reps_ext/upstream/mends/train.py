"""Mends `robustness.train`: training and evaluation without apex, with or without CUDA."""

from __future__ import annotations

from argparse import Namespace
from types import ModuleType

from ..arguments import check_required_args
from ..mend import Mend, bind, fails, mentions
from ..training.evaluation import eval_model
from ..training.loop import model_loop
from ..training.optimizer import make_optimizer_and_schedule
from ..training.run import train_model

__all__ = ["MENDS"]


def _fails_without_an_option(module: ModuleType) -> bool:
    return fails(
        lambda: module.check_required_args(Namespace(), eval_only=True),
        AssertionError,
        AttributeError,
    )


MENDS: tuple[Mend, ...] = (
    Mend(
        name="check_required_args",
        where="train.py:26",
        why="An option that is not there ends in an AssertionError or, if it is optional and the "
        "arguments are an argparse.Namespace, in an AttributeError.",
        present=_fails_without_an_option,
        apply=bind(check_required_args=check_required_args),
    ),
    Mend(
        name="make_optimizer_and_schedule",
        where="train.py:97",
        why="A schedule given as text was run as code; after a resume the learning rate was one "
        "epoch off and new options for it were ignored; mixed precision needed apex.",
        present=mentions("make_optimizer_and_schedule", "eval", "amp"),
        apply=bind(make_optimizer_and_schedule=make_optimizer_and_schedule),
    ),
    Mend(
        name="_model_loop",
        where="train.py:446, 472",
        why="It needed CUDA, and an error in computing the accuracy became an accuracy of 0.",
        present=mentions("_model_loop", "cuda"),
        apply=bind(_model_loop=model_loop),
    ),
    Mend(
        name="eval_model",
        where="train.py:158",
        why="eps and step size were run as code, and autograd stayed on.",
        present=mentions("eval_model", "eval"),
        apply=bind(eval_model=eval_model),
    ),
    Mend(
        name="train_model",
        where="train.py:287",
        why="Options were run as code and replaced, so that a second call failed; a resumed run "
        "lost its best accuracy and random state; checkpoints were written now and then, in place; "
        "log_iters=0 divided by zero; the model came back in DataParallel.",
        present=mentions("train_model", "eval"),
        apply=bind(train_model=train_model),
    ),
)
