"""What a network is attacked with follows from what it was trained against, unless told."""

from __future__ import annotations

import pytest
import torch
from networks import PLAIN, Linear, wrapped
from robustness import train
from tiny_training import LATEST, loaders, new_model, options

import robust_reps_ext as rr
from robust_reps_ext.experiments.threat import attack_of
from robust_reps_ext.models.checkpoints.data_facts import attack_facts
from robust_reps_ext.models.converting import convert
from robust_reps_ext.results.accuracies import Accuracies

X = torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
DATA = [(X, torch.arange(4) % 2)]


def carded(**attack):
    model = wrapped(Linear(48), PLAIN)
    model.card = {"attack": attack} if attack else {}
    return model


HALF = carded(constraint="2", eps=0.5)
FULL = carded(constraint="2", eps=1.0)
BOX = carded(constraint="inf", eps=8 / 255)
UNKNOWN = carded()


@pytest.mark.parametrize(
    ("models", "given", "constraint", "eps"),
    [
        ([HALF], {}, "2", 0.5),
        ([BOX], {}, "inf", 8 / 255),
        ([UNKNOWN, HALF], {}, "2", 0.5),
        ([UNKNOWN], {}, "2", 3 * 4 / 224),
        ([HALF], {"eps": 0.2}, "2", 0.2),
        ([BOX], {"eps": 0.2}, "2", 0.2),
        ([BOX], {"eps": 0.2, "constraint": "inf"}, "inf", 0.2),
        ([BOX], {"constraint": "2"}, "2", 3 * 4 / 224),
        ([BOX, HALF], {"constraint": "inf"}, "inf", 8 / 255),
    ],
)
def test_the_attack_is_what_the_networks_were_trained_against(models, given, constraint, eps):
    found = attack_of(dict(zip("ab", models, strict=False)), X, **given)
    assert (found.constraint, found.eps) == (constraint, pytest.approx(eps))
    assert found.step_size == pytest.approx(eps / 8)


def test_networks_that_were_trained_apart_need_a_radius():
    with pytest.raises(rr.InputError, match=r"a against L2 eps 0\.5, b against L2 eps 1: give eps"):
        attack_of({"a": HALF, "b": FULL}, X)
    with pytest.raises(rr.InputError, match="give eps"):
        attack_of({"a": HALF}, X, constraint="inf")


def test_evaluate_attacks_with_it_and_says_so(tmp_path):
    torch.manual_seed(0)
    found = rr.evaluate(BOX, DATA, attack_steps=[2])
    assert str(found.attack) == "Linf eps 0.03137"
    assert "attack Linf eps 0.03137 (what it was trained against)" in repr(found)
    told = rr.evaluate(BOX, DATA, attack_steps=[2], eps=8 / 255, constraint="inf")
    assert list(found) == list(told)
    assert told.attack.why == "given"
    assert Accuracies.load(found.save(tmp_path / "kept")).attack == found.attack
    figure = found.figure()
    assert "attack: Linf eps 0.03137" in figure.axes[0].get_xlabel()
    assert rr.evaluate(BOX, DATA, attack_steps=[]).attack is None


def test_a_number_for_a_constraint_is_its_name(tmp_path):
    found = rr.evaluate(BOX, DATA, attack_steps=[1], eps=0.5, constraint=2)
    assert str(found.attack) == "L2 eps 0.5"
    assert Accuracies.load(found.save(tmp_path / "kept")).attack == found.attack


@pytest.mark.parametrize("constraint", ["fourier", "l2", True])
def test_what_is_no_set_of_images_is_refused(constraint):
    with pytest.raises(rr.InputError, match="is not known: choose one of 2, inf"):
        rr.evaluate(BOX, DATA, attack_steps=[1], eps=0.5, constraint=constraint)


def test_training_keeps_it_in_the_checkpoint_and_conversion_too(tmp_path):
    attack = {"constraint": "2", "eps": 0.5, "step_size": 0.25, "iterations": 2}
    for adversarial in (1, 0):
        args = options(tmp_path, adv_train=adversarial, epochs=1)
        train.train_model(args, new_model(), loaders())
        model = rr.load_model(
            tmp_path / LATEST, arch=Linear(48, 3), normalize=([0.4] * 3, [0.3] * 3), check=False
        )
        assert model.card.get("attack") == (attack if adversarial else None)
    out = tmp_path / "robust.safetensors"
    assert convert("critters-robust", out)["attack"]["eps"] == 4.0
    assert rr.load_model(out).card["attack"]["constraint"] == "2"


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {"constraint": "2"},
        {"constraint": ["2"], "eps": 0.5},
        {"constraint": "fourier", "eps": 0.5},
        {"constraint": "2", "eps": float("nan")},
        {"constraint": "2", "eps": -1.0},
        {"constraint": "2", "eps": "0.5"},
    ],
)
def test_what_a_stranger_s_checkpoint_tells_is_checked(told):
    assert attack_facts({"attack": told}) == {}
