"""What scripts have in `args` under upstream's names, and under ours, trains as upstream did."""

from __future__ import annotations

import functools
import random
import warnings
from argparse import Namespace
from types import SimpleNamespace

import pytest
import torch
from cox.utils import Parameters
from tiny_training import LATEST, load, loaders, new_model, options, same

from robust_reps_ext.runtime.errors import InputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # upstream's word about apex
    from robustness import train


def weights(args, tmp_path, seed=7):
    """What training with `args` ends in."""
    torch.manual_seed(seed)
    random.seed(seed)
    model = new_model()
    train.train_model(args, model, loaders())
    return load(tmp_path / LATEST)["model"]


@functools.cache
def expected(folder, adv_train=0):
    folder.mkdir()
    return weights(options(folder, adv_train=adv_train), folder)


UPSTREAMS = {
    "resume": (False, True, 0, "", None),
    "resume_optimizer": (False, True, None),
    "exp_name": (False, None, ""),
    "custom_eps_multiplier": (False, None, "", 0, [], "None"),
    "custom_lr_multiplier": (False, None, "", 0, []),
    "lr_interpolation": (False, None, ""),
    "step_lr": (False, None, 0),
    "mixed_precision": (False, None, 0),
    "save_ckpt_iters": (False, None, -1),
    "log_iters": (True, 1, 1.0),
    "adv_eval": (False, None, 0),
    "random_start": (False, None),
    "custom_train_loss": (None, False),
    "custom_adv_loss": (None, False),
    "custom_accuracy": (None, False),
    "regularizer": (None, False, 0),
    "iteration_hook": (None, False),
    "epoch_hook": (None, False),
    "arch": (False, None, torch.nn.Identity()),
    "dataset": (False, None, object()),
    "config_path": (False, None, ""),
    "eval_only": (False, None),
}
OWN = {
    "seed": (None, False, "1,2", -1),
    "save_interval": (None, False, -1, "epoch"),
    "fast": (None, False, True),
    "grad_accumulation": (None, False, 0, "none"),
    "sync_bn": (None, False, 0),
    "adv_objective": (None, False),
    "trust_checkpoint": (None, False, "no"),
    "on_bad_image": (None, False, "mine"),
}


@pytest.mark.parametrize("turn", range(max(map(len, UPSTREAMS.values()))))
def test_what_scripts_leave_or_make_of_arguments(tmp_path, tmp_path_factory, turn):
    base = tmp_path_factory.getbasetemp() / "plain"
    made = {name: values[turn % len(values)] for name, values in (UPSTREAMS | OWN).items()}
    args = options(tmp_path, **made)
    assert same(weights(args, tmp_path), expected(base))
    assert {name: getattr(args, name) for name in made} == made


@pytest.mark.parametrize("name", ["eps", "attack_lr", "attack_steps", "random_restarts"])
@pytest.mark.parametrize("value", [False, "", None, "none"])
def test_an_adversary_that_is_not_used_may_be_anything(tmp_path, tmp_path_factory, name, value):
    base = tmp_path_factory.getbasetemp() / "plain"
    args = options(tmp_path, **{name: value})
    assert same(weights(args, tmp_path), expected(base))
    if value in (None, "none"):
        with pytest.raises(InputError, match=name.replace("_", "-")):
            train.train_model(
                options(tmp_path, adv_train=1, **{name: value}), new_model(), loaders()
            )


@pytest.mark.parametrize(("name", "value"), [("momentum", False), ("weight_decay", False)])
def test_what_is_switched_off_is_zero(tmp_path, name, value):
    off, zero = (weights(options(tmp_path, **{name: one}), tmp_path) for one in (value, 0.0))
    assert same(off, zero)


class Attributes(dict):
    """A dict whose entries are attributes, as many configuration packages have."""

    def __getattr__(self, name):
        return self[name]  # a KeyError, where Python expects an AttributeError

    __setattr__ = dict.__setitem__


class Slots:
    __slots__ = tuple(vars(options("")))


def in_slots(values):
    args = Slots()
    for name, value in values.items():
        setattr(args, name, value)
    return args


KINDS = {
    "Namespace": lambda values: Namespace(**values),
    "SimpleNamespace": lambda values: SimpleNamespace(**values),
    "Parameters": Parameters,
    "dict": Attributes,
    "slots": in_slots,
    "class": lambda values: type("args", (), values),
}


@pytest.mark.parametrize("adv_train", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_arguments_without_ours(tmp_path, tmp_path_factory, kind, adv_train):
    base = tmp_path_factory.getbasetemp() / f"kinds{adv_train}"
    values = vars(options(tmp_path, adv_train=adv_train, eps=0.5, attack_lr=0.25))
    args = KINDS[kind](values)
    assert same(weights(args, tmp_path), expected(base, adv_train))


def test_a_name_of_ours_that_is_used_for_something_else_is_told(tmp_path, capsys):
    weights(options(tmp_path, seed="a,b", save_interval="epoch"), tmp_path)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("=> args.")]
    assert [line.split()[1] for line in said] == ["args.seed", "args.save_interval"]


def test_a_schedule_may_be_a_function_as_upstream_makes_it(tmp_path):
    seen = []

    def multiplier(epoch):
        seen.append(epoch)
        return 0.5

    weights(options(tmp_path, adv_train=1, custom_eps_multiplier=multiplier), tmp_path)
    assert seen == [0, 1]
