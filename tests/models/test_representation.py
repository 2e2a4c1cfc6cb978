"""R(x): the layer that is read, the straight-through ReLU, and no traces left behind."""

from __future__ import annotations

import logging

import pytest
import torch
import torchvision
from networks import wrapped
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters.networks import ARCHITECTURES
from robust_reps_ext.models.loading import weights_digest
from robust_reps_ext.models.representation import (
    RepresentationModel,
    at_layer,
    shuffled_coordinates,
)

STATISTICS = ([0.5] * 3, [0.25] * 3)


def read_at(module, layer=None):
    return wrapped(RepresentationModel(module, layer=layer))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("name", "head", "relu"),
    [
        ("resnet18", "fc", True),
        ("vgg11_bn", "classifier.6", True),
        ("densenet121", "classifier", True),
        ("mobilenet_v2", "classifier.1", False),
        ("mobilenet_v3_small", "classifier.3", False),
        ("convnext_tiny", "classifier.2", False),
        ("swin_t", "head", False),
    ],
)
def test_representation_is_the_input_of_the_last_linear_layer(name, head, relu):
    module = getattr(torchvision.models, name)(num_classes=9).eval()
    x = torch.rand(2, 3, 64, 64)
    expected = []
    handle = module.get_submodule(head).register_forward_pre_hook(
        lambda _m, args: expected.append(args[0].flatten(1))
    )
    model = read_at(module)
    logits = module(model.normalizer(x))
    handle.remove()
    (out, latent), image = model(x, with_latent=True)
    assert torch.equal(image, x)
    torch.testing.assert_close(out, logits)
    torch.testing.assert_close(latent, expected[0])
    torch.testing.assert_close(rr.representation(model, x, batch_size=1), latent.detach())
    if relu:
        assert model.model.site(x).relu is not None


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "densenet121"])
def test_fake_relu_keeps_values_and_gives_dead_coordinates_a_gradient(name):
    module = getattr(torchvision.models, name)(num_classes=9).eval()
    model = read_at(module)
    x = torch.rand(1, 3, 64, 64).requires_grad_(True)
    with torch.no_grad():
        (plain, latent), _ = model(x, with_latent=True)
        (_, pre), _ = model(x, with_latent=True, no_relu=True)
    (out, faked), _ = model(x, with_latent=True, fake_relu=True)
    torch.testing.assert_close(out, plain)
    torch.testing.assert_close(faked, latent)
    dead = int(pre[0].argmin())
    assert pre[0, dead] < 0
    (gradient,) = torch.autograd.grad(faked[0, dead], [x])
    assert gradient.abs().max() > 0


def test_fake_relu_equals_upstreams_on_upstreams_resnet():
    from robustness.imagenet_models import resnet18

    network = resnet18(num_classes=9).eval()
    theirs = wrapped(network)
    ours = read_at(network)
    x = torch.rand(2, 3, 64, 64)
    results = []
    for model in (theirs, ours):
        leaf = x.clone().requires_grad_(True)
        (out, latent), _ = model(leaf, with_latent=True, fake_relu=True)
        (gradient,) = torch.autograd.grad(latent[:, :7].sum(), [leaf])
        results.append((out, latent, gradient))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_no_relu_leaves_the_logits_alone():
    model = read_at(torchvision.models.resnet18(num_classes=9).eval())
    x = torch.rand(2, 3, 64, 64)
    (out, latent), _ = model(x, with_latent=True)
    (out_pre, pre), _ = model(x, with_latent=True, no_relu=True)
    torch.testing.assert_close(out_pre, out)
    assert pre.min() < 0
    assert latent.min() >= 0


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_own_architectures_follow_upstreams_call(name):
    network = ARCHITECTURES[name](num_classes=9).eval()
    model = wrapped(network)
    x = torch.rand(2, 3, 64, 64).requires_grad_(True)
    (out, latent), _ = model(x, with_latent=True)
    assert out.shape == (2, 9)
    torch.testing.assert_close(network.fc(latent), out)
    assert latent.shape == (2, 1024)
    (_, pre), _ = model(x, with_latent=True, no_relu=True)
    (_, faked), _ = model(x, with_latent=True, fake_relu=True)
    torch.testing.assert_close(faked, latent)
    dead = int(latent[0].argmin())
    (gradient,) = torch.autograd.grad(faked[0, dead], [x])
    assert gradient.abs().max() > 0
    assert pre.min() < latent.min() + 1e-12


def test_any_layer_can_be_the_representation():
    module = torchvision.models.resnet18(num_classes=9).eval()
    model = read_at(module)
    x = torch.rand(2, 3, 64, 64)
    assert rr.representation(model, x, layer="layer3").shape == (2, 256 * 4 * 4)
    by_name = rr.representation(model, x, layer="layer2.1")
    by_function = rr.representation(model, x, layer=lambda net: net.layer2[1])
    assert torch.equal(by_name, by_function)
    assert at_layer(model, "layer3").model.module is module
    with pytest.raises(rr.InputError, match=r"layer 'layr3' is not in ResNet: try layer3"):
        rr.representation(model, x, layer="layr3")


@pytest.mark.parametrize("layer", ["body.2", "body.4:mean"])
def test_a_layer_leaves_every_mode_as_it_was(layer):
    model = wrapped(ARCHITECTURES["critters_resnet"]()).train()
    frozen = model.model.body[1].eval()
    modes = [module.training for module in model.modules()]
    assert not frozen.training
    assert any(modes)
    x = torch.rand(2, 3, 32, 32)
    for given in (model, model.model):
        rr.representation(given, x, layer=layer, normalize=None if given is model else STATISTICS)
        rr.invert(model, x, layer=layer, iterations=1)
    assert [module.training for module in model.modules()] == modes


def test_a_layer_given_as_a_module_is_its_name():
    network = ARCHITECTURES["critters_resnet"]()
    by_module, by_name = (
        RepresentationModel(network, layer=one) for one in (network.body[2], "body.2")
    )
    assert by_module.state_dict().keys() == by_name.state_dict().keys()
    assert weights_digest(by_module) == weights_digest(network)
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(by_module(x, with_latent=True)[1], by_name(x, with_latent=True)[1])


def test_the_seed_fixes_the_order_of_all_coordinates():
    model = read_at(torchvision.models.resnet18(num_classes=9).eval())
    x = torch.rand(2, 3, 32, 32)
    order = shuffled_coordinates(model, x, seed=3)
    assert sorted(order) == list(range(512))
    assert order == shuffled_coordinates(model, x[1:], seed=3)
    assert order != shuffled_coordinates(model, x, seed=4)
    assert sorted(shuffled_coordinates(model, x, seed=3, layer="layer1:mean")) == list(range(64))


def test_a_network_without_a_linear_layer_asks_for_a_layer():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    model = read_at(network)
    with pytest.raises(rr.InputError, match="no linear layer"):
        rr.representation(model, torch.rand(1, 3, 8, 8))
    assert rr.representation(model, torch.rand(1, 3, 8, 8), layer="1").shape == (1, 4 * 36)


def test_nothing_is_left_in_the_network_even_after_an_error():
    module = torchvision.models.resnet18(num_classes=9).eval()
    keys = list(module.state_dict())
    model = read_at(module)
    rr.representation(model, torch.rand(1, 3, 64, 64))
    with pytest.raises(RuntimeError):
        model(torch.rand(1, 4, 64, 64), with_latent=True, fake_relu=True)
    assert list(module.state_dict()) == keys
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    torch.testing.assert_close(torch.relu(torch.tensor([-1.0])), torch.tensor([0.0]))


# -- pooling, layers without a ReLU, the ablation ------------------------------------------------


class Maps(nn.Module):
    """Gives its input on, in the order of dimensions that transformers have, and as a pair."""

    def __init__(self):
        super().__init__()
        self.first, self.last, self.tokens = nn.Identity(), nn.Identity(), nn.Identity()
        self.pair = Pair()
        self.head = nn.Linear(3, 9)

    def forward(self, x):
        x = self.first(x)
        moved = self.last(x.permute(0, 2, 3, 1))
        tokens = self.tokens(moved.flatten(1, 2))
        return self.head(self.pair(tokens)[0].mean(dim=1))


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize("layer", ["first:mean", "last:mean-last", "tokens:mean"])
def test_maps_are_averaged_on_request(layer):
    model = read_at(Maps())
    x = torch.rand(2, 3, 8, 8)
    expected = model.normalizer(x).mean(dim=(2, 3))
    torch.testing.assert_close(rr.representation(model, x, layer=layer), expected)
    assert rr.representation(model, x, layer=layer.partition(":")[0]).shape == (2, 192)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("first:median", "layer 'first:median': pool by mean or mean-last"),
        ("furst:mean", "layer 'furst' is not in Maps: try first"),
    ],
)
def test_a_layer_that_gives_no_rows_is_named(layer, message):
    model = read_at(Maps())
    with pytest.raises(rr.InputError, match=message):
        rr.representation(model, torch.rand(1, 3, 8, 8), layer=layer)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_of_several_outputs_the_first_is_taken():
    model = wrapped(Maps())
    x = torch.rand(2, 3, 8, 8)
    expected = model.normalizer(x).permute(0, 2, 3, 1).flatten(1)
    torch.testing.assert_close(rr.representation(model, x, layer="pair"), expected)


def test_where_there_is_no_relu_fake_relu_changes_nothing_and_says_so_once(caplog):
    model = read_at(Maps())
    x = torch.rand(2, 3, 8, 8)
    with caplog.at_level(logging.INFO, "robust_reps_ext"):
        plain = model(x, with_latent=True)[0]
        assert not caplog.records
        for keywords in ({"fake_relu": True}, {"no_relu": True}):
            for value, expected in zip(
                model(x, with_latent=True, **keywords)[0], plain, strict=True
            ):
                assert torch.equal(value, expected)
    (record,) = caplog.records
    assert "Maps: the representation (input of head, not after a ReLU)" in record.getMessage()


def test_of_a_layer_that_was_chosen_no_relu_is_expected(caplog):
    with caplog.at_level(logging.INFO, "robust_reps_ext"):
        read_at(Maps(), "pair")(torch.rand(2, 3, 8, 8), with_latent=True, fake_relu=True)
    assert not caplog.records


class Dead(nn.Module):
    """R(x) = relu(mean of x - 5): every coordinate is off for images in [0, 1]."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 9)

    def forward(self, x):
        return self.head(torch.relu(x.mean(dim=(2, 3)) - 5))


@pytest.mark.filterwarnings("ignore:the objective has no gradient")
def test_without_the_straight_through_relu_a_coordinate_that_is_off_stays_off():
    model = read_at(Dead())
    x = torch.full((1, 3, 8, 8), 0.5)
    options = {"coordinates": [0], "seeds": x, "iterations": 3, "step_size": 1.0, "eps": 100.0}
    moved = rr.visualize(model, **options).images[0, 0]
    assert moved[0].mean() > 0.6
    # Nothing to follow: zero gradients (past the nudge with noise) leave the image where it is.
    stuck = rr.visualize(model, **options, fake_relu=False)
    assert stuck.synthesis.settings["fake_relu"] is False
    assert abs(float(stuck.images.mean()) - 0.5) < 0.02


ABLATED = {
    "invert": lambda model, x, **options: rr.invert(model, x, **options),
    "invert_within": lambda model, x, **options: rr.invert_within(
        model, x, x.flip(0), radii=(1.0,), **options
    ),
    "interpolate": lambda model, x, **options: rr.interpolate(
        model, x, x.flip(0), steps=2, **options
    ),
    "visualize": lambda model, x, **options: (
        rr.visualize(model, coordinates=[0], seeds=x, **options).synthesis
    ),
    "add_feature": lambda model, x, **options: rr.add_feature(model, x, coordinate=0, **options),
}


@pytest.mark.parametrize("name", ABLATED)
def test_every_experiment_goes_without_the_straight_through_relu(name, monkeypatch):
    """What the model is asked for is seen at the model itself."""
    model, asked = read_at(torchvision.models.resnet18(num_classes=9).eval()), set()
    forward = RepresentationModel.forward

    def seen(self, *args, **keywords):
        asked.add(bool(keywords.get("fake_relu")))
        return forward(self, *args, **keywords)

    monkeypatch.setattr(RepresentationModel, "forward", seen)
    x = torch.rand(2, 3, 32, 32)
    ABLATED[name](model, x, iterations=2)
    assert True in asked
    asked.clear()
    ABLATED[name](model, x, iterations=2, fake_relu=False)
    assert asked == {False}
