"""Baselines of feature visualisation: steps on the phase alone, and on several resolutions."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import interpolate

import robust_reps_ext as rr
from robust_reps_ext.experiments.parameterizations import (
    MultiResolutionStep,
    magnitude_of,
    step_of,
)
from robust_reps_ext.experiments.regularizers import decorrelated


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network():
    return rr.load_model("critters-robust")


@pytest.mark.parametrize("size", [(16, 16), (16, 17), (15, 20)])
def test_the_magnitude_is_that_of_the_natural_images_whatever_the_steps(size):
    natural, x = drawn(5, 3, *size, seed=1) * 0.5 + 0.25, drawn(2, 3, *size) * 0.8 + 0.1
    wanted = torch.fft.rfft2(decorrelated(natural), norm="ortho").abs().mean(0)
    torch.testing.assert_close(magnitude_of(natural), wanted)
    step = step_of("maco", x, natural)(orig_input=x, eps=1.0, step_size=0.5)
    for seed in range(3):
        x = step.project(step.step(x, drawn(*x.shape, seed=seed) - 0.5))
    found = torch.fft.rfft2(decorrelated(x), norm="ortho").abs()
    # Phases of real coefficients, the mean among them, are no angles: those stay.
    free = torch.ones(wanted.shape, dtype=torch.bool)
    free[:, [0, size[0] // 2], :] = False
    free[:, :, [0, -1]] = False
    torch.testing.assert_close(found[:, free], wanted[free].expand(2, -1), rtol=2e-2, atol=1e-3)


def test_a_step_moves_the_phase_by_its_length_along_the_gradient():
    x = drawn(2, 3, 16, 16) * 0.6 + 0.2
    step = step_of("maco", x, x)(orig_input=x, eps=1.0, step_size=0.1)
    x = step.step(x, torch.zeros_like(x))
    g = drawn(2, 3, 16, 16, seed=2) - 0.5
    before, after = (
        torch.fft.rfft2(decorrelated(one), norm="ortho").angle() for one in (x, step.step(x, g))
    )
    moved = torch.remainder(after - before + math.pi, 2 * math.pi) - math.pi
    inside = moved[:, :, 1:8, 1:8]  # each of these phases is one parameter
    leaf = before.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad((step.image_of(leaf, 16) * g).sum(), leaf)
    unit = 0.1 * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    torch.testing.assert_close(inside, unit[:, :, 1:8, 1:8], atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("size", [(8, 8), (12, 8), (7, 10)])
def test_a_step_on_resolutions_is_one_of_gradient_ascent_on_all_of_them(size):
    x, g = drawn(2, 3, *size) * 0.8 + 0.1, drawn(2, 3, *size, seed=3) - 0.5
    longer, sides = max(size), [1]
    while sides[-1] < longer:
        sides.append(min(2 * sides[-1], longer))
    parts = [
        torch.zeros(2, 3, *(max(1, round(side * r / longer)) for side in size), requires_grad=True)
        for r in sides
    ]

    def image():
        enlarged = [interpolate(part, size, mode="bilinear") for part in parts]
        return torch.sigmoid(torch.logit(x) + sum(enlarged))

    gradients = torch.autograd.grad((image() * g).sum(), parts)
    norm = sum(one.flatten(1).square().sum(1) for one in gradients).sqrt().view(-1, 1, 1, 1)
    with torch.no_grad():
        for part, gradient in zip(parts, gradients, strict=True):
            part += 0.3 * gradient / norm
        wanted = image()
    step = MultiResolutionStep(orig_input=x, eps=1.0, step_size=0.3)
    torch.testing.assert_close(step.step(x, g), wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["maco", "multi-resolution"])
def test_visualising_rises_and_repeats(network, name):
    seeds = drawn(1, 3, 64, 64) * 0.2 + 0.4
    given = {"coordinates": [5, 9], "seeds": seeds, "iterations": 10, "step_size": 0.5}
    found = rr.visualize(network, **given, parameterization=name)
    first = rr.visualize(network, **{**given, "iterations": 1}, parameterization=name)
    assert (found.value > first.value).all()
    again = rr.visualize(network, **given, parameterization=name)
    assert torch.equal(again.images, found.images)
    assert 0 <= found.images.min() < found.images.max() <= 1


def test_other_natural_images_are_another_step_and_are_recorded_so(network):
    seeds = drawn(1, 3, 64, 64)
    names = set()
    for seed in (1, 2):
        found = rr.visualize(
            *(network,),
            coordinates=[1],
            seeds=seeds,
            iterations=1,
            parameterization="maco",
            natural=drawn(3, 3, 64, 64, seed=seed),
        )
        names.add(str(found.synthesis.settings["constraint"]))
    assert len(names) == 2


@pytest.mark.parametrize(
    ("seeds", "options", "message"),
    [
        (drawn(1, 3, 64, 64), {"natural": drawn(2, 3, 64, 64)}, "natural= is of no use with para"),
        (
            *(drawn(1, 3, 64, 64), {"parameterization": "maco", "natural": drawn(2, 3, 32, 32)}),
            r"natural has images of \(32, 32\), the seeds are 64 x 64",
        ),
        (
            *(drawn(1, 3, 64, 48), {"parameterization": "maco"}),
            "photographs are square and have 3 channels, the seeds are 3 x 64 x 48",
        ),
        (
            *(drawn(1, 3, 64, 64), {"parameterization": "maco", "schedule": "lbfgs"}),
            "schedule='lbfgs' moves pixels, parameterization='maco' does not",
        ),
        (
            *(drawn(1, 3, 64, 64), {"parameterization": "multi-resolution", "eps": 3.0}),
            "eps=3.0 bounds pixels, parameterization='multi-resolution' has no radius",
        ),
    ],
)
def test_bad_input_is_named(network, seeds, options, message):
    with pytest.raises(rr.InputError, match=message):
        rr.visualize(network, coordinates=[0], seeds=seeds, **options)
