"""The bundled models: what their cards say, and the paper's claim on them with wide margins."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.models.zoo.bundled import bundled, card

NAMES = ("critters-robust", "critters-standard", "critters-vgg")
ANIMAL = critters.coarse_labels()


@pytest.fixture(scope="module")
def models():
    return {name: rr.load_model(name, dataset="critters_fine") for name in NAMES}


@pytest.fixture(scope="module")
def drawn():
    return critters.draw(54, seed=2027)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_those_of_the_cards(name):
    data = Path(bundled()[name]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == card(name)["sha256"]
    assert card(name)["data_version"] == critters.DATA_VERSION
    assert len(data) < 10 * 2**20


def test_new_images_are_recognised(models, drawn):
    for model in models.values():
        with torch.no_grad():
            found = model(drawn.images / 255)[0].argmax(1)
        assert (ANIMAL[found] == drawn.labels).float().mean() > 0.95


@pytest.mark.slow
def test_accuracies_are_those_of_the_cards(models, drawn):
    """54 new images: clean accuracy of each, and what PGD-20 leaves of it."""
    data = [(drawn.images / 255, drawn.fine_labels)]
    eps = card("critters-robust")["eps"]
    shares = {}
    for name, model in models.items():
        found = rr.evaluate(model, data, eps=eps, attack_steps=[20], group=ANIMAL)
        shares[name] = [accuracy.share for accuracy in found]
    assert min(clean for clean, _ in shares.values()) > 0.95
    assert shares["critters-robust"][1] > 0.75
    assert max(shares["critters-standard"][1], shares["critters-vgg"][1]) < 0.15


@pytest.mark.slow
def test_inverses_of_the_robust_model_show_the_target_to_a_third(models, drawn):
    """Section 4.1: the inverses from noise of two networks are judged by a third."""
    images, labels = drawn.images[:27] / 255, drawn.labels[:27]
    recovered = {}
    judge = models["critters-vgg"]
    for name in ("critters-robust", "critters-standard"):
        found = rr.invert(models[name], images, precision="auto")
        with torch.no_grad():
            scores = judge(found.images)[0].softmax(dim=1)
        animals = torch.stack([scores[:, a == ANIMAL].sum(1) for a in range(9)], dim=1)
        recovered[name] = float((animals.argmax(1) == labels).float().mean())
    assert recovered["critters-robust"] > 0.6
    assert recovered["critters-robust"] > recovered["critters-standard"] + 0.2
