"""Training: a hand-written loop's weights, upstream's weights, and resumed runs bit for bit."""

from __future__ import annotations

import copy
import random
import warnings

import numpy as np
import pytest
import torch
from cox.utils import Parameters
from torch import nn
from torch.utils.data import Dataset

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime import random_state
from robust_reps_ext.runtime.errors import InputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # upstream's word about apex
    from robustness import train
    from robustness.loaders import make_loaders
from tiny_training import (
    IMAGES,
    LABELS,
    LATEST,
    in_order,
    load,
    loaders,
    new_model,
    options,
    resume,
    same,
)


class Noisy(Dataset):
    """Images under augmentation that draws from every generator there is."""

    def __init__(self, root, train, download, transform):
        self.data = IMAGES

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, index):
        noise = random.random() + np.random.rand() + torch.rand(1).item()  # noqa: NPY002
        return IMAGES[index] * noise / 3, LABELS[index]


def noisy_loaders(workers):
    return make_loaders(workers, 8, (None, None), "", custom_class=Noisy)


def test_standard_training_is_sgd_on_cross_entropy(tmp_path):
    ours = new_model()
    penalised = []

    def regularizer(model, inp, target):
        penalised.append(len(inp))
        return 0.1 * model.module.model.fc.weight.square().sum()

    train.train_model(options(tmp_path, regularizer=regularizer, step_lr=1), ours, loaders())

    theirs = new_model()
    optimizer = torch.optim.SGD(theirs.parameters(), 0.1, momentum=0.9, weight_decay=1e-3)
    for lr in (0.1, 0.01):
        optimizer.param_groups[0]["lr"] = lr
        for inp, target in in_order():
            loss = nn.functional.cross_entropy(theirs(inp)[0], target)
            loss = loss + 0.1 * theirs.model.fc.weight.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(left, right)
    assert len(penalised) == 2 * (3 + 3)


@pytest.mark.parametrize(
    "changed",
    [
        {"adv_train": 1, "step_lr": 1, "step_lr_gamma": 0.1, "log_iters": 2},
        {"adv_train": 1, "constraint": "inf", "eps": "8/255", "attack_lr": "2/255"},
        {"adv_train": 1, "custom_eps_multiplier": "[(0, 0.5), (2, 1)]", "use_best": 0},
        {"adv_eval": 1, "custom_lr_multiplier": "[(0, 1), (1, 0.5)]", "lr_interpolation": "step"},
        {"custom_lr_multiplier": "[(0, 1), (2, 0)]", "lr_interpolation": "linear"},
    ],
)
def test_weights_and_logs_are_upstreams(
    pristine, gradient_at_bounds, changed, tmp_path, monkeypatch
):
    logs = {"ours": [], "theirs": []}

    def arguments(whose):
        (tmp_path / whose).mkdir()
        return Parameters(
            vars(
                options(
                    tmp_path / whose,
                    epochs=3,
                    random_start=0,
                    save_ckpt_iters=-1,
                    epoch_hook=lambda model, info: logs[whose].append(dict(info)),
                    **changed,
                )
            )
        )

    ours = train.train_model(arguments("ours"), new_model(), loaders())
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self, *a, **k: self)
    monkeypatch.setattr(nn.Module, "cuda", lambda self, *a, **k: self)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pristine.train.train_model(
            arguments("theirs"),
            new_model(pristine.attacker.AttackerModel),
            loaders(),
        ).module
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)
    for our_info, their_info in zip(logs["ours"], logs["theirs"], strict=True):
        if our_info["epoch"] % 2 == 0 and changed.get("log_iters") == 2:
            continue  # upstream repeats the log of an earlier epoch
        for name in ("nat_prec1", "adv_prec1", "nat_loss", "adv_loss", "train_loss"):
            assert our_info[name] == pytest.approx(float(their_info[name]), rel=1e-4), name
    our_file, their_file = (
        torch.load(tmp_path / whose / LATEST, weights_only=False) for whose in logs
    )
    assert our_file["model"].keys() == their_file["model"].keys()
    assert our_file["optimizer"].keys() == their_file["optimizer"].keys()
    assert their_file.keys() <= our_file.keys()


SCHEDULES = {
    "constant": {},
    "step": {"step_lr": 1, "step_lr_gamma": 0.3},
    "custom": {"custom_lr_multiplier": "[(0, 1), (1, 0.5), (3, 0.1)]"},
    "linear": {"custom_lr_multiplier": "[(0, 1), (4, 0)]", "lr_interpolation": "linear"},
    "cyclic": {"custom_lr_multiplier": "cyclic"},
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("seed", [None, 7])
def test_a_resumed_run_ends_as_an_uninterrupted_one(schedule, seed, tmp_path):
    check_resumed(tmp_path, 0, seed=seed, **SCHEDULES[schedule])


@pytest.mark.parametrize("seed", [None, 7])
def test_a_resumed_run_with_workers_ends_as_an_uninterrupted_one(seed, tmp_path):
    check_resumed(tmp_path, 2, seed=seed)


def check_resumed(tmp_path, workers, **changed):
    changed |= {"epochs": 4, "adv_train": 1, "random_start": 1, "log_iters": 3}
    rates = {"whole": [], "parts": []}

    def arguments(name, **more):
        return options(tmp_path / name, **{**changed, **more})

    def note(name):
        def hook(model, info):
            rates[name].append(load(tmp_path / name / LATEST)["optimizer"]["param_groups"][0]["lr"])
            if name == "parts" and info["epoch"] == 2:
                raise KeyboardInterrupt

        return hook

    random_state.seed_all(11)
    train.train_model(
        arguments("whole", epoch_hook=note("whole")), new_model(), noisy_loaders(workers)
    )
    random_state.seed_all(11)
    with pytest.raises(KeyboardInterrupt):
        train.train_model(
            arguments("parts", epoch_hook=note("parts")), new_model(), noisy_loaders(workers)
        )
    random_state.seed_all(99)
    loaders_anew = noisy_loaders(workers)
    model, checkpoint = resume(tmp_path / "parts" / LATEST)
    assert checkpoint["epoch"] == 2
    # A seed is remembered by the checkpoint.
    train.train_model(
        arguments("parts", epoch_hook=note("parts"), seed=None),
        model,
        loaders_anew,
        checkpoint=checkpoint,
    )
    assert rates["parts"] == rates["whole"]
    whole, parts = load(tmp_path / "whole" / LATEST), load(tmp_path / "parts" / LATEST)
    assert same(whole["model"], parts["model"])
    for left, right in zip(
        whole["optimizer"]["state"].values(), parts["optimizer"]["state"].values(), strict=True
    ):
        assert torch.equal(left["momentum_buffer"], right["momentum_buffer"])


def test_a_seed_repeats_a_run_and_another_does_not(tmp_path):
    weights = {}
    for name, seed in [("a", 3), ("b", 3), ("c", 4)]:
        random_state.seed_all(len(weights))
        loaders_anew = noisy_loaders(0)
        args = options(tmp_path / name, seed=seed, adv_train=1, random_start=1)
        weights[name] = train.train_model(args, new_model(), loaders_anew).state_dict()
    assert same(weights["a"], weights["b"])
    assert not same(weights["a"], weights["c"])


def test_training_does_not_depend_on_how_often_it_is_evaluated(tmp_path):
    weights = []
    for log_iters in (0, 1):
        args = options(
            tmp_path / str(log_iters), log_iters=log_iters, adv_train=1, random_start=1, epochs=3
        )
        random_state.seed_all(1)
        noisy = noisy_loaders(0)
        weights.append(train.train_model(args, new_model(), noisy).state_dict())
    assert same(*weights)


def test_options_changed_for_a_resume_take_effect(tmp_path):
    train.train_model(options(tmp_path, step_lr=1), new_model(), loaders())
    model, checkpoint = resume(tmp_path / LATEST)
    args = options(
        tmp_path, epochs=3, lr=0.8, momentum=0.5, weight_decay=0.0, step_lr=2, step_lr_gamma=0.5
    )
    train.train_model(args, model, loaders(), checkpoint=checkpoint)
    (group,) = load(tmp_path / LATEST)["optimizer"]["param_groups"]
    assert group["initial_lr"] == 0.8
    assert group["lr"] == pytest.approx(0.8 * 0.5)  # for epoch 3 of (0, 1 | 2, 3 | ...)
    assert (group["momentum"], group["weight_decay"]) == (0.5, 0.0)


def test_a_finished_run_has_nothing_left_to_train(tmp_path, capsys):
    train.train_model(options(tmp_path), new_model(), loaders())
    model, checkpoint = resume(tmp_path / LATEST)
    before = copy.deepcopy(model.state_dict())
    train.train_model(options(tmp_path), model, loaders(), checkpoint=checkpoint)
    assert same(before, model.state_dict())
    assert "--epochs 3 or more" in capsys.readouterr().out


def test_a_checkpoint_without_optimizer_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="--resume-optimizer 0"):
        train.train_model(
            options(tmp_path), new_model(), loaders(), checkpoint={"model": {}, "epoch": 1}
        )
