"""The bundled networks of photographs: their cards, and the paper's claim on images of packages."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

import robust_reps_ext as rr
from robust_reps_ext.datasets.photographs import photographs
from robust_reps_ext.models.zoo.bundled import bundled, card

NAMES = [f"photographs-{role}" for role in ("robust", "standard", "judge")]


@pytest.mark.parametrize("name", NAMES)
def test_files_are_those_of_the_cards(name):
    known = card(name)
    assert hashlib.sha256(Path(bundled()[name]).read_bytes()).hexdigest() == known["sha256"]
    assert known["dataset"] == "tiny_imagenet"
    assert "--data DIR" in known["command"]
    assert known["minutes"] > 0
    assert known["seed"] == 0
    for labels in ("tiny_imagenet", "restricted_tiny_imagenet"):
        clean, attacked = (known["accuracies"][f"{labels} {how}"] for how in ("clean", "PGD-100"))
        assert 0 <= attacked["accuracy"] < clean["accuracy"] <= 1
        assert {"balanced", "interval", "images"} <= clean.keys()


def test_they_are_small():
    assert sum(Path(bundled()[name]).stat().st_size for name in NAMES) <= 25 * 10**6


def test_a_model_tells_what_its_images_are():
    known = rr.load_model("photographs-robust").card
    assert known["data_set"]["size"] == 64
    assert len(known["data_set"]["classes"]) == known["classes"] == 59
    assert "lion" in known["data_set"]["classes"]


def test_inverses_of_the_robust_one_come_nearer_to_photographs():
    """Section 4.1, in decibels over the noise that both begin with."""
    targets = photographs(3, size=64)
    gained = {}
    for name in NAMES[:2]:
        found = rr.invert(rr.load_model(name), targets, schedule="lbfgs", iterations=200)
        errors = [(one - targets).square().mean() for one in (found.start, found.images)]
        gained[name] = float(10 * torch.log10(errors[0] / errors[1]))
    assert gained["photographs-robust"] > 1
    assert gained["photographs-standard"] < 0
