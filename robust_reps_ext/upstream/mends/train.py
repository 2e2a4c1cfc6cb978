"""Mends `robustness.train`: training and evaluation without apex, with or without CUDA."""

from __future__ import annotations

from argparse import Namespace
from types import ModuleType

from ..arguments import check_required_args
from ..mend import Mend, fails, mentions
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
    Mend.replacing(
        check_required_args,
        "train.py:26",
        "An option that is not there ends in an AssertionError or, if it is optional and the "
        "arguments are an argparse.Namespace, in an AttributeError.",
        _fails_without_an_option,
    ),
    Mend.replacing(
        make_optimizer_and_schedule,
        "train.py:97",
        "A schedule given as text was run as code; after a resume the learning rate was one "
        "epoch off and new options for it were ignored; mixed precision needed apex.",
        mentions("make_optimizer_and_schedule", "eval", "amp"),
    ),
    Mend.replacing(
        model_loop,
        "train.py:446, 472",
        "It needed CUDA, and an error in computing the accuracy became an accuracy of 0.",
        mentions("_model_loop", "cuda"),
        "_model_loop",
    ),
    Mend.replacing(
        eval_model,
        "train.py:158",
        "eps and step size were run as code, and autograd stayed on.",
        mentions("eval_model", "eval"),
    ),
    Mend.replacing(
        train_model,
        "train.py:287",
        "Options were run as code and replaced, so that a second call failed; a resumed run "
        "lost its best accuracy and random state; checkpoints were written now and then, in place; "
        "log_iters=0 divided by zero; the model came back in DataParallel.",
        mentions("train_model", "eval"),
    ),
)
