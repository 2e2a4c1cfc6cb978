"""Attacks in float16, on a pretended card that has no bfloat16: no gradient is lost."""

from __future__ import annotations

import pytest
import torch
from pretend_cuda import PretendCuda
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.upstream.attack import pgd

BEFORE_AMPERE = (7, 5)


@pytest.fixture(scope="module")
def data():
    drawn = critters.draw(6, seed=1)
    return drawn.images / 255


def sure(model):
    """The model with three times its logits, as networks are that were trained for long."""
    last = [one for one in model.modules() if isinstance(one, nn.Linear)][-1]
    with torch.no_grad():
        last.weight *= 3
        last.bias *= 3
    return model


def moved(model, images, labels, **options):
    """Where the first step of an attack goes, (N, C H W)."""
    how = {"constraint": "2", "eps": 5.0, "step_size": 0.5, "iterations": 1, "use_best": False}
    _, x = model(images, labels, make_adv=True, **how, **options)
    return (x.cpu() - images.cpu()).flatten(1)


def steps_in_float16(images, labels):
    with PretendCuda(capability=BEFORE_AMPERE):
        model = sure(rr.load_model("critters-standard", device="cuda", check=False))
        return moved(model, images, labels, mixed_precision=True)


def test_no_gradient_is_zero_at_three_times_the_logits(data, monkeypatch):
    model = sure(rr.load_model("critters-standard", device="cpu", check=False))
    with torch.no_grad():
        labels = model(data)[0].argmax(1)  # what is surest has the smallest gradient
    exact = moved(model, data, labels)
    assert (exact.norm(dim=1) > 0.1).all()
    found = steps_in_float16(data, labels)
    assert (found.norm(dim=1) > 0.1).all()
    cosine = nn.functional.cosine_similarity(found, exact)
    assert cosine.median() > 0.99
    assert cosine.min() > 0.9
    # Without a scale, some are.
    monkeypatch.setattr(pgd, "_scale", lambda losses, _output: torch.ones_like(losses))
    assert (steps_in_float16(data, labels).norm(dim=1) == 0).any()


def test_the_scale_is_a_power_of_two_for_each_image():
    output = torch.tensor([[1e-5], [3.0], [0.0]], requires_grad=True)
    losses = output.square().squeeze(1) / 2
    scale = pgd._scale(losses, output)
    assert scale.tolist() == [2.0**17, 1.0, 1.0]
    assert pgd._scale(losses.detach(), None).tolist() == [1.0] * 3
    other = torch.ones(3, 1, requires_grad=True)
    assert pgd._scale(losses, other).tolist() == [1.0] * 3
