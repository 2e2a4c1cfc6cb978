"""The regularised baselines: what they leave alone, undo exactly, and repeat under a seed."""

from __future__ import annotations

import pytest
import torch

import robust_reps_ext as rr
from robust_reps_ext.experiments.regularizers import (
    TRANSFORMS,
    DecorrelatedFourierStep,
    random_transform,
    spectrum_scale,
)


@pytest.fixture(scope="module")
def network():
    return rr.load_model("critters-robust")


@pytest.mark.parametrize("names", [*TRANSFORMS, "jitter,rotate,scale"])
def test_a_constant_image_is_left_alone_and_others_are_not(names):
    flat = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1).expand(4, 3, 24, 32)
    move = random_transform(names, side=24)
    torch.testing.assert_close(move(flat), flat)
    images = torch.rand(4, 3, 24, 32)
    assert ((move(images) - images).abs().flatten(1).amax(1) > 0.05).any()


def test_jitter_moves_by_whole_pixels():
    images = torch.rand(8, 3, 16, 20)
    moved = random_transform("jitter:2", side=16)(images)
    for image, found in zip(images, moved, strict=True):
        inside = found[:, 2:-2, 2:-2]
        shifted = [image[:, i : i + 12, j : j + 16] for i in range(5) for j in range(5)]
        assert min(float((one - inside).abs().max()) for one in shifted) < 1e-4


def test_no_amount_is_the_identity_and_a_seed_repeats():
    images = torch.rand(3, 3, 16, 16)
    still = random_transform("jitter:0,rotate:0,scale:0", side=16)
    torch.testing.assert_close(still(images), images, atol=1e-5, rtol=0)
    move = random_transform("jitter,rotate,scale", side=16)
    torch.manual_seed(4)
    first = move(images)
    assert not torch.equal(move(images), first)
    torch.manual_seed(4)
    assert torch.equal(move(images), first)


@pytest.mark.parametrize("size", [(16, 16), (16, 17), (15, 20)])
def test_the_fourier_parameterization_inverts_exactly(size):
    images = torch.rand(2, 3, *size) * 0.98 + 0.01
    z = DecorrelatedFourierStep.from_image(images)
    again = DecorrelatedFourierStep.image_of(z, size[1])
    torch.testing.assert_close(again, images, atol=1e-5, rtol=0)


def test_the_spectrum_falls_as_one_over_the_frequency():
    scale = spectrum_scale(16, 16)
    assert scale.shape == (16, 9)
    assert float(scale.square().mean()) == pytest.approx(1)
    assert float(scale[0, 0] / scale[0, 1]) == pytest.approx(1)  # the mean counts as one cycle
    for i in range(1, 8):
        assert float(scale[0, 1] / scale[0, i]) == pytest.approx(i)
        assert float(scale[1, 0] / scale[i, 0]) == pytest.approx(i)


def test_a_step_is_one_of_gradient_ascent_on_the_parameters():
    x, g = torch.rand(2, 3, 8, 8) * 0.8 + 0.1, torch.randn(2, 3, 8, 8)
    step = DecorrelatedFourierStep(orig_input=x, eps=1.0, step_size=0.3)
    moved = step.from_image(step.step(x, g)) - step.from_image(x)
    assert moved.flatten(1).norm(dim=1).tolist() == pytest.approx([0.3, 0.3], rel=1e-2)
    leaf = step.from_image(x).requires_grad_(True)
    (gradient,) = torch.autograd.grad((step.image_of(leaf, 8) * g).sum(), leaf)
    cosine = torch.nn.functional.cosine_similarity(moved.flatten(1), gradient.flatten(1))
    assert cosine.tolist() == pytest.approx([1, 1], abs=1e-3)


@pytest.mark.parametrize(
    "options", [{"transform": "jitter,rotate,scale"}, {"parameterization": "fourier"}]
)
def test_visualising_rises_and_repeats(network, options):
    seeds = torch.rand(1, 3, 64, 64) * 0.2 + 0.4
    given = {"coordinates": [5, 9], "seeds": seeds, "iterations": 6, "step_size": 1.0}
    found = rr.visualize(network, **given, **options)
    assert (found.value > rr.representation(network, seeds)[:, [5, 9]]).all()
    assert torch.equal(rr.visualize(network, **given, **options).images, found.images)
    assert 0 <= found.images.min() < found.images.max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transform": "blur"}, "transform 'blur' is not known: choose jitter, rotate, scale"),
        ({"transform": "jitter:x"}, "transform 'jitter:x': give a number"),
        ({"transform": "jitter:64"}, "transform 'jitter:64': give 0 to 63"),
        ({"transform": "rotate:181"}, "give 0 to 180"),
        ({"parameterization": "wavelet"}, "parameterization='wavelet' is not known"),
        ({"parameterization": "fourier", "schedule": "lbfgs"}, "schedule='lbfgs' moves pixels"),
        ({"parameterization": "fourier", "eps": 3.0}, "eps=3.0 bounds pixels"),
    ],
)
def test_bad_input_is_named(network, options, message):
    with pytest.raises(rr.InputError, match=message):
        rr.visualize(network, coordinates=[0], seeds=torch.rand(1, 3, 64, 64), **options)
