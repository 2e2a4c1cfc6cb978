"""Sums of objectives against their parts, and the objectives on classes, directions and images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import PLAIN, Linear, wrapped
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

import robust_reps_ext as rr
from robust_reps_ext.models.fast import checked_copy
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.synthesis.protocol import complete
from robust_reps_ext.synthesis.settings import Settings
from robust_reps_ext.upstream import registry


class Residual(nn.Module):
    """Three layers that end with a ReLU, pooling, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.third = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2), nn.ReLU())
        self.fc = nn.Linear(8, 5)
        self.passes = 0

    def forward(self, x):
        self.passes += 1
        x = self.first(x)
        x = F.relu(self.second(x) + x)
        x = F.adaptive_avg_pool2d(self.third(x), 1)
        return self.fc(torch.flatten(x, 1))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Residual()


@pytest.fixture
def model(network):
    return rr.load_model(network, normalize=((0.5,) * 3, (0.25,) * 3)).eval()


X = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 4, 2, 1])
BRIGHTER = lambda network, inp, target: network(inp)[:, 1] * inp.flatten(1).mean(1)  # noqa: E731


def value_and_gradient(objective, network, target, x=X):
    x = x.clone().requires_grad_(True)
    values, _ = complete(objective)(network, x, target, x)
    return values.detach(), torch.autograd.grad(values.sum(), x)[0]


def parts():
    torch.manual_seed(1)
    return [
        (rr.CoordinateMaximization(), Y),
        (rr.CoordinateMaximization(layer="first"), Y),
        (rr.CoordinateMaximization(layer="third:mean", fake_relu=False), Y),
        (rr.Direction(torch.randn(5, 8)), Y),
        (rr.RepresentationMatching(), torch.rand(4, 8)),
        (rr.RepresentationMatching(layer="second:mean"), torch.rand(4, 6)),
        (rr.ClassLogit(), Y),
        (rr.ClassCrossEntropy(), Y),
        (rr.Diverge(), Y),
        (rr.TotalVariation(), None),
        (rr.DistanceFromStart(), X.flip(0)),
        (BRIGHTER, Y),
    ]


@pytest.mark.parametrize("copied", [False, True])
def test_a_sum_of_everything_is_its_parts_from_one_forward_pass(model, network, copied):
    objectives, targets = zip(*parts(), strict=True)
    weights = [1.0, 0.5, 2.0, -1.0, 3.0, 0.7, -0.5, 1.0, 1.5, 4.0, 2.0, 0.1]
    together = sum(w * one for w, one in zip(weights[:-1], objectives[:-1], strict=True))
    together = together + weights[-1] * complete_as_part(objectives[-1])
    assert not together.targeted
    bare = model.model
    if copied:
        copy = checked_copy(bare, X, lambda net: together(net, X, targets, X))
        assert copy is not None
        bare = copy.chosen
    value_and_gradient(together, bare, targets)
    network.passes = 0
    values, gradient = value_and_gradient(together, bare, targets)
    assert copied or network.passes == 1
    wanted, slope = torch.zeros(4), torch.zeros_like(X)
    for weight, one, target in zip(weights, objectives, targets, strict=True):
        value, its = value_and_gradient(one, bare, target)
        sign = -1 if complete(one).targeted else 1  # the sum is maximised
        wanted, slope = wanted + sign * weight * value, slope + sign * weight * its
    torch.testing.assert_close(values, wanted)
    torch.testing.assert_close(gradient, slope)


def complete_as_part(function):
    """A plain function is a part once it is added to one; alone it has no algebra."""
    return rr.Sum([(1.0, function)])


@pytest.mark.parametrize("layers", [("third", None), ("first", "third"), (None, "third:mean")])
def test_straight_and_plain_gradients_of_one_pass_stay_apart(model, network, layers):
    x = X - 1.5  # many units are off
    objectives = [
        rr.CoordinateMaximization(layer=layer, fake_relu=fake)
        for layer in layers
        for fake in (True, False)
    ]
    together = sum(objectives)
    value_and_gradient(together, model.model, Y, x)
    network.passes = 0
    _, gradient = value_and_gradient(together, model.model, Y, x)
    assert network.passes == 1
    each = [value_and_gradient(one, model.model, Y, x)[1] for one in objectives]
    torch.testing.assert_close(gradient, torch.stack(each).sum(0))
    assert not torch.equal(each[0], each[1])


def test_signs_and_names():
    up, down = rr.ClassLogit(), rr.TotalVariation()
    assert (up + 2 * down).name == "class_logit + 2 * total_variation"
    assert (2 * down - up / 4).name == "2 * total_variation - 0.25 * class_logit"
    assert (-(up - 0.5 * down)).name == "-class_logit + 0.5 * total_variation"
    assert (up + (lambda network, inp, target: inp.sum((1, 2, 3)))).name.endswith("<lambda>")
    assert rr.CoordinateMaximization(layer="third").__class__ is rr.CoordinateMaximization
    at = rr.CoordinateMaximization(layer="third") + up
    assert at.name == "coordinate_maximization at third + class_logit"
    goals = {up: False, down: True, -up: True, -down: False, up - down: False, down - up: True}
    assert all(one.targeted == targeted for one, targeted in goals.items())


def test_turning_around_keeps_the_value_and_turns_the_goal(model):
    value, gradient = value_and_gradient(rr.ClassLogit(), model.model, Y)
    turned, slope = value_and_gradient(-rr.ClassLogit(), model.model, Y)
    torch.testing.assert_close(turned, value)
    torch.testing.assert_close(slope, gradient)
    start = X.clone()
    found = rr.synthesize(model, -rr.ClassLogit(), Y, start, Settings(1.0, 0.2, 5))
    assert (found.objective < found.trace[0]).all()
    assert found.settings["objective"] == "-class_logit"
    assert found.settings["targeted"]


def test_a_sum_raises_what_is_raised_and_lowers_what_is_lowered(model):
    smooth = rr.ClassLogit() + 30 * rr.TotalVariation()
    settings = Settings(2.0, 0.1, 40)
    found = rr.synthesize(model, smooth, (Y, None), X, settings)
    plain = rr.synthesize(model, rr.ClassLogit(), Y, X, settings)
    variation = [rr.TotalVariation()(None, x, None, x)[0] for x in (X, plain.images, found.images)]
    assert (variation[2] < variation[0]).all()
    assert (variation[2] < variation[1]).all()
    mixed = rr.ClassCrossEntropy() - rr.Direction(torch.randn(8))
    assert mixed.targeted
    one = rr.synthesize(model, mixed, (Y, torch.zeros_like(Y)), X, settings)
    assert (one.objective < one.trace[0]).all()


def test_one_target_is_for_all_parts_that_take_one(model):
    both = rr.ClassLogit() + rr.CoordinateMaximization() + rr.DistanceFromStart()
    settings = Settings(1.0, 0.2, 3)
    one = rr.synthesize(model, both, Y, X, settings)
    each = rr.synthesize(model, both, (Y, Y, X), X, settings)
    assert torch.equal(one.images, each.images)
    with pytest.raises(InputError, match="2 targets for the 3 parts of class_logit"):
        rr.synthesize(model, both, (Y, Y), X, settings)
    with pytest.raises(InputError, match="4 starts, 2 targets"):
        rr.synthesize(model, both, (Y, Y[:2], None), X, settings)


def test_penalties_alone_need_no_target(model):
    flat = rr.synthesize(model, rr.TotalVariation(), None, X, Settings(9.0, 0.3, 60))
    assert (flat.objective < flat.trace[0] / 2).all()
    assert flat.settings["objective"] == "total_variation"


@pytest.mark.parametrize("make", [rr.ClassLogit, rr.ClassCrossEntropy, rr.Diverge])
def test_slopes_of_class_objectives_against_finite_differences(make):
    torch.manual_seed(0)
    logits = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: make().values(z, Y), logits)


def test_diverge_has_no_logit_that_gains():
    logits = torch.randn(4, 5, requires_grad=True)
    (slopes,) = torch.autograd.grad(rr.Diverge().values(logits, Y).sum(), logits)
    assert (slopes >= 0).all()
    torch.testing.assert_close(slopes.gather(1, Y[:, None]), torch.ones(4, 1))
    torch.testing.assert_close(slopes.sum(1), torch.full((4,), 2.0))


def test_penalties_in_closed_form():
    x = torch.rand(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    to = torch.rand_like(x)
    for one in (rr.TotalVariation(), rr.DistanceFromStart()):
        assert torch.autograd.gradcheck(lambda image, one=one: one(None, image, to, image)[0], x)
    down, across = (x.diff(dim=axis).abs().mean((1, 2, 3)) for axis in (2, 3))
    torch.testing.assert_close(rr.TotalVariation()(None, x, None, x)[0], down + across)
    with pytest.raises(InputError, match="give the images that it is from"):
        rr.DistanceFromStart()(None, x, None, x)
    with pytest.raises(InputError, match="which were not given"):
        rr.TotalVariation()(None, x, None)


def test_a_direction_is_followed_whatever_its_length():
    model = wrapped(Linear(12), PLAIN)
    grey = torch.full((2, 3, 2, 2), 0.5)
    vectors = torch.randn(2, 12)
    which = torch.tensor([1, 0])
    best = grey + 0.2 * F.normalize(vectors[which]).view_as(grey)
    for scale in (1.0, 1000.0):
        towards = rr.Direction(scale * vectors)
        found = rr.synthesize(model, towards, which, grey, Settings(0.2, 0.1, 20))
        torch.testing.assert_close(found.images, best, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: rr.Direction(torch.zeros(2, 3)), "vector 0 is 0 or not finite"),
        (lambda: rr.Direction("north"), "give directions"),
        (lambda: float("nan") * rr.ClassLogit(), "give a finite number"),
        (lambda: rr.ClassLogit() * rr.Diverge(), "give a finite number"),
        (lambda: rr.ClassLogit() / 0, "other than 0"),
        (lambda: rr.ClassLogit() + 3, "objective is a int"),
    ],
)
def test_what_makes_no_sum_is_said(wrong, message):
    with pytest.raises(InputError, match=message):
        wrong()


@pytest.mark.parametrize(
    ("objective", "target", "message"),
    [
        (rr.ClassLogit(), Y + 1, "class 5 is out of range: the network has classes 0 to 4"),
        (rr.Diverge(), Y.float(), "give the class of each image"),
        (rr.Direction(torch.ones(8)), Y, "direction 4 is out of range: there are 0 to 0"),
        (rr.Direction(torch.ones(7)), Y * 0, "7 coordinates, R.x. has 8"),
        (rr.CoordinateMaximization(layer="fourth"), Y, "fourth"),
    ],
)
def test_targets_that_are_none_are_said(model, objective, target, message):
    with pytest.raises(InputError, match=message):
        rr.synthesize(model, objective, target, X, Settings(1.0, 0.1, 1))


def test_directions_come_from_a_file_by_name(tmp_path):
    vectors = torch.randn(3, 8)
    np.save(tmp_path / "a.npy", vectors.numpy())
    save_file({"v": vectors}, tmp_path / "a.safetensors")
    for name in ("a.npy", "a.safetensors"):
        found = registry.objective(f"direction:{tmp_path / name}").vectors
        torch.testing.assert_close(found, F.normalize(vectors))
    np.save(tmp_path / "code.npy", np.array([print], dtype=object), allow_pickle=True)
    save_file({"v": vectors, "w": vectors + 1}, tmp_path / "two.safetensors")
    for wrong, message in {
        f"direction:{tmp_path / 'code.npy'}": "holds no directions",
        f"direction:{tmp_path / 'two.safetensors'}": "holds no directions",
        f"direction:{tmp_path / 'none.npy'}": "none.npy holds no directions: No such file",
        "direction": "is made of a file, give direction:FILE",
        "diverge:3": "takes no argument",
    }.items():
        with pytest.raises(InputError, match=message):
            registry.objective(wrong)


@pytest.mark.parametrize("name", sorted({*registry.OBJECTIVES} - {"probe"}))
def test_every_registered_objective_attacks_as_custom_loss_with_its_own_target(
    model, name, tmp_path
):
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(3, 8)))
    full = f"direction:{tmp_path / 'v.npy'}" if name == "direction" else name
    for objective in (registry.objective(full), registry.objective(full) + rr.ClassLogit()):
        target = objective.training_target(model, X, Y)
        _, found = model(
            X, target, make_adv=True, custom_loss=objective, targeted=objective.targeted,
            constraint="2", eps=1.0, step_size=0.2, iterations=3, use_best=False,
        )  # fmt: skip
        assert found.shape == X.shape
        moved = name == "distance_from_start" and objective.name == name
        assert torch.equal(found, X) == moved
