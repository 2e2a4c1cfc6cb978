"""The recipe for minutes: schedules by the step and the clock, averaged weights, growing images."""

from __future__ import annotations

import math
import time
from copy import deepcopy

import pytest
import torch
from networks import Convolutional
from torch import nn
from training_runs import equal, train_in

from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.runtime.signals import Interrupted
from robust_reps_ext.upstream.attack.attacker import RANDOM_STARTS
from robust_reps_ext.upstream.attack.steps import norms
from robust_reps_ext.upstream.training.averaging import Average
from robust_reps_ext.upstream.training.course import image_sizes

ONE_CYCLE = {"custom_lr_multiplier": "one-cycle", "lr_interpolation": "step"}


def network():
    body = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()]
    return Convolutional(*body, width=4)


def test_one_cycle_rises_for_a_tenth_and_falls_by_a_cosine(tmp_path, monkeypatch):
    rates = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD,
        "step",
        lambda self, *_: rates.append(self.param_groups[0]["lr"]) or step(self),
    )
    train_in(tmp_path, workers=0, epochs=5, adv_train=0, lr=0.3, **ONE_CYCLE)
    assert len(rates) == 30
    shares = [i / 30 for i in range(30)]
    expected = [
        0.3 * (s / 0.1 if s < 0.1 else (1 + math.cos(math.pi * (s - 0.1) / 0.9)) / 2)
        for s in shares
    ]
    assert rates == pytest.approx(expected)
    assert rates[0] == 0
    assert max(rates) == rates[3] == pytest.approx(0.3)


def watched(monkeypatch):
    """The sizes, eps and step sizes with which the attacker is called in training."""
    from robust_reps_ext.upstream.training import loop

    seen = []
    forward = loop._forward

    def watching(args, model, some, labels, attack, *rest):
        if model.training:
            seen.append((tuple(some.shape[-2:]), attack.get("eps"), attack.get("step_size")))
        return forward(args, model, some, labels, attack, *rest)

    monkeypatch.setattr(loop, "_forward", watching)
    return seen


@pytest.mark.parametrize(("constraint", "scaled"), [("2", 0.5), ("inf", 1.0)])
def test_images_grow_and_an_l2_radius_with_them(constraint, scaled, tmp_path, monkeypatch):
    seen = watched(monkeypatch)
    options = {"image_sizes": "[(0, 2), (0.5, 4)]", "constraint": constraint}
    train_in(tmp_path, workers=0, network=network, **options)
    small, full = ((2, 2), 0.5 * scaled, 0.25 * scaled), ((4, 4), 0.5, 0.25)
    assert seen == [small] * 6 + [full] * 6


def test_eps_rises_over_its_share_of_the_run(tmp_path, monkeypatch):
    seen = watched(monkeypatch)
    train_in(tmp_path, workers=0, eps_warmup=0.5)
    factors = [min(1, i / 6) for i in range(12)]
    assert [eps for _, eps, _ in seen] == pytest.approx([0.5 * one for one in factors])
    assert [step for *_, step in seen] == pytest.approx([0.25 * one for one in factors])


RECIPE = {
    **ONE_CYCLE,
    "ema": 0.9,
    "label_smoothing": 0.1,
    "nesterov": 1,
    "decay_norms": 0,
    "eps_warmup": 0.3,
    "image_sizes": "[(0, 2), (0.5, 4)]",
    "random_radius": "uniform",
    "network": network,
}


@pytest.mark.parametrize("word", ["sphere", 3.0])
def test_an_unknown_place_of_random_starts_is_told_and_not_taken_for_the_ball(word, tmp_path):
    with pytest.raises(InputError, match=r"random_radius=.* is not known: choose one of ball, sur"):
        train_in(tmp_path, workers=0, random_radius=word)


@pytest.mark.parametrize("stop", [2, 8])
def test_an_interrupted_run_ends_as_an_undisturbed_one(stop, tmp_path):
    """By steps, all of the recipe is repeatable."""
    whole = train_in(tmp_path / "whole", workers=0, seed=7, **RECIPE)
    steps = []

    def hook(_, at, kind, *__):
        steps.append(kind)
        if steps.count("train") == stop:
            raise Interrupted(2)

    parts = tmp_path / "parts"
    with pytest.raises(Interrupted):
        train_in(parts, workers=0, seed=7, save_interval=1e-9, hook=hook, **RECIPE)
    resumed = train_in(parts, workers=0, seed=7, resume=True, **RECIPE)
    assert equal(whole, resumed)
    for name in ("model", "training_weights"):
        for key, value in whole[name].items():
            assert torch.equal(value, resumed[name][key]), (name, key)


def test_a_budget_of_time_ends_a_run_in_its_midst(tmp_path):
    def hook(*_):
        time.sleep(0.05)

    given = {"workers": 0, "hook": hook, "adv_train": 0, "log_iters": 100, **ONE_CYCLE}
    ended = train_in(tmp_path, minutes=0.6 / 60, epochs=1000, **given)
    assert 0.6 <= ended["course"]["seconds"] < 1.5
    assert 1 <= ended["epoch"] <= 3
    again = train_in(tmp_path, minutes=0.6 / 60, epochs=1000, resume=True, **given)
    assert again["course"] == ended["course"]
    longer = train_in(tmp_path, minutes=0.9 / 60, epochs=1000, resume=True, **given)
    assert longer["course"]["seconds"] >= 0.9
    assert longer["epoch"] > ended["epoch"]


def test_averages_are_those_of_the_closed_form():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = Average(model, 0.5)
    expected = deepcopy(model.state_dict())
    for step in range(1, 12):
        with torch.no_grad():
            for value in (*model.parameters(), *model.buffers()):
                value += 1
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
            else:
                expected[name] = value
    live = deepcopy(model.state_dict())
    with average.in_place():
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, expected[name])
    for name, value in model.state_dict().items():
        assert torch.equal(value, live[name])


def test_averaged_weights_are_evaluated_saved_and_returned(tmp_path):
    validated = []

    def hook(model, _, kind, *__):
        if kind == "val":
            validated.append(model.module.model.fc.weight.clone())

    kept = train_in(tmp_path, workers=0, ema=0.9, network=network, hook=hook, adv_train=0)
    averaged = kept["model"]["module.model.fc.weight"]
    assert torch.equal(validated[-1], averaged)
    assert not torch.equal(kept["training_weights"]["model.fc.weight"], averaged)


def test_no_decay_on_norms_and_biases(tmp_path):
    """With a loss that is flat, only decay moves weights."""

    def run(**changed):
        model = {}

        def net():
            model["net"] = network()
            model["before"] = deepcopy(model["net"].state_dict())
            return model["net"]

        train_in(
            tmp_path, workers=0, network=net, adv_train=0, weight_decay=0.1,
            custom_train_loss=lambda output, target: 0 * output.sum(dim=1), **changed,
        )  # fmt: skip
        return {
            name for name, value in model["net"].named_parameters()
            if not torch.equal(value, model["before"][name])
        }  # fmt: skip

    every = {name for name, value in network().named_parameters() if value.abs().sum()}
    assert run() >= {name for name in every if "weight" in name}
    assert run(decay_norms=0) == {
        name for name, value in network().named_parameters() if value.dim() > 1
    }


def test_arguments_of_a_script_that_mean_something_else_are_not_used(tmp_path, capsys):
    own = {"ema": True, "minutes": "soon", "image_sizes": 48, "label_smoothing": "yes"}
    found = train_in(tmp_path, workers=0, **own)
    assert "training_weights" not in found
    said = capsys.readouterr().out
    for name in own:
        assert said.count(f"args.{name} is the script's own") == 1


def test_nesterov_needs_momentum(tmp_path):
    with pytest.raises(InputError, match="--nesterov 1 needs momentum"):
        train_in(tmp_path, workers=0, nesterov=1, momentum=0)


@pytest.mark.parametrize("text", ["[(0, 0)]", "[(1, 32)]", "48", "[48]", "__import__('os')", None])
def test_sizes_that_are_none(text):
    with pytest.raises(InputError, match="--image-sizes="):
        image_sizes(text)


def test_starts_uniform_in_radius():
    """The distance is uniform in [0, eps], not crowded at the surface as in a ball."""
    from robustness.attack_steps import L2Step

    grey = torch.full((4000, 3, 8, 8), 0.5)
    torch.manual_seed(0)
    drawn = {}
    for word, start in RANDOM_STARTS.items():
        step = L2Step(eps=0.5, step_size=0.1, orig_input=grey)
        draw = step.random_perturb if start is True else getattr(step, f"random_on_{start}")
        drawn[word] = norms(draw(grey) - grey).flatten() / 0.5
    quantiles = torch.tensor([0.1, 0.5, 0.9])
    torch.testing.assert_close(drawn["uniform"].quantile(quantiles), quantiles, atol=0.03, rtol=0)
    assert drawn["ball"].quantile(0.1) > 0.98
    torch.testing.assert_close(drawn["surface"], torch.ones(4000))
