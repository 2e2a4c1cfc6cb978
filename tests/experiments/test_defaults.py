"""What an experiment does when it is left alone: the faster schedule, and no more than it needs."""

from __future__ import annotations

import pytest
import torch
from networks import PLAIN, Convolutional, wrapped
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.experiments.inversion import NEAR
from robust_reps_ext.experiments.pairs import near_pairs


@pytest.fixture(scope="module")
def model():
    """A network whose representation is soon matched."""
    torch.manual_seed(0)
    return wrapped(Convolutional(nn.AvgPool2d(2), nn.Conv2d(3, 8, 1), width=8, classes=9), PLAIN)


@pytest.fixture
def images():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2


def first_step(*_):
    return True


def experiments(model, x):
    return {
        "invert": lambda **given: rr.invert(model, x, **given),
        "near_pairs": lambda **given: near_pairs(model, x, **given),
        "invert_within": lambda **given: rr.invert_within(model, x, x.flip(0), **given),
        "interpolate": lambda **given: rr.interpolate(model, x[:1], x[1:], **given),
        "visualize": lambda **given: rr.visualize(model, coordinates=5, seeds=x, **given),
        "add_feature": lambda **given: rr.add_feature(model, x, 5, **given),
    }


LEFT_ALONE = {"visualize": "cosine-momentum", "add_feature": "cosine-momentum"}
PAPER = {"visualize": 200, "add_feature": 800}


@pytest.mark.parametrize("name", ["invert", "near_pairs", "invert_within", "interpolate",
                                  "visualize", "add_feature"])  # fmt: skip
def test_the_schedule_and_its_steps(model, images, name):
    call = experiments(model, images)[name]
    for given, schedule, steps in (
        ({}, LEFT_ALONE.get(name, "lbfgs"), 100),
        ({"schedule": None}, LEFT_ALONE.get(name, "lbfgs"), 100),
        ({"schedule": "paper"}, "paper", PAPER.get(name, 10_000)),
        ({"iterations": 7}, LEFT_ALONE.get(name, "lbfgs"), 7),
    ):
        found = call(progress=first_step, **given)
        settings = getattr(found, "synthesis", found).settings
        assert (settings["schedule"], settings["iterations"]) == (schedule, steps)


def test_an_image_is_left_once_it_is_near_enough(model, images):
    steps = []
    found = rr.invert(model, images, progress=lambda *told: steps.append(told))
    counted = rr.invert(model, images, iterations=100)
    assert float(found.objective.max()) < NEAR
    assert float(counted.objective.max()) < float(found.objective.min())  # which goes on
    assert len(steps) < 50


def test_a_fourier_spectrum_is_moved_as_the_papers(model, images):
    given = {"parameterization": "fourier", "progress": first_step}
    found = rr.visualize(model, coordinates=5, seeds=images, **given)
    assert found.synthesis.settings["schedule"] == "paper"


@pytest.mark.slow
def test_on_the_bundled_network_the_default_is_past_300_steps_of_the_papers():
    from robust_reps_ext.datasets import critters

    model, images = rr.load_model("critters-robust"), critters.draw(4, seed=1).images / 255
    found = rr.invert(model, images).objective.mean()
    assert found < 0.7 * rr.invert(model, images, schedule="paper", iterations=300).objective.mean()
