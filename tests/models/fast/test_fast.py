"""The copy that PGD runs on computes what the network computes, and leaves the network alone."""

from __future__ import annotations

import logging

import pytest
import torch
from families import FAMILIES, NORMALIZE, SOME_FAST, made, trained
from networks import Linear, wrapped
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters.networks import critters_resnet
from robust_reps_ext.models.fast import FastCopy, UpToRepresentation, fast_network
from robust_reps_ext.models.fast.convolutions import cheaper
from robust_reps_ext.models.fast.folding import foldable

# In DenseNets the others stand before a ReLU and a convolution, after a concatenation.
FOLDED = {"`robustness` densenet161": 79}


def gradient(model, x, target):
    x = x.clone().requires_grad_(True)
    _, rep = model(x, with_latent=True, fake_relu=True)
    (found,) = torch.autograd.grad((rep - target).square().sum(), x)
    return rep.detach(), found


def off(found, expected):
    found, expected = found.detach(), expected.detach()
    return float((found - expected).norm() / expected.norm().clamp_min(1e-30))


@pytest.mark.parametrize("name", SOME_FAST)
def test_every_family_computes_the_same_with_normalisation_folded(name):
    network = trained(made(name))
    model = rr.load_model(network, normalize=NORMALIZE).model
    x = torch.randn(2, 3, FAMILIES[name][1], FAMILIES[name][1])
    before = {k: v.clone() for k, v in network.state_dict().items()}
    fast = FastCopy(model, x)
    norms = sum(isinstance(m, _BatchNorm) for m in network.modules())
    assert len(fast.folded) == FOLDED.get(name, norms)

    with torch.no_grad():
        expected, found = model(x), fast.network(x)
        # The head of a new ViT is zero.
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    target = model(x, with_latent=True)[1].flip(0).detach() + 1
    (rep, slope), (fast_rep, fast_slope) = (
        gradient(net, x, target) for net in (model, fast.network)
    )
    assert off(fast_rep, rep) < 1e-5
    # A ReLU or a maximum within rounding of its edge turns a little of the gradient.
    assert off(fast_slope, slope) < 1e-2

    assert before.keys() == network.state_dict().keys()
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert all(p.requires_grad for p in network.parameters())
    assert not any(p.requires_grad for p in fast.network.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in fast.network.modules())


class Shapes(nn.Module):
    """What may and may not be folded, each under a name that says which."""

    def __init__(self):
        super().__init__()
        for name in ("yes", "twice", "read", "added", "shared", "hooked", "mode"):
            setattr(self, name, nn.Conv2d(3, 3, 3, padding=1))
            setattr(self, f"{name}_bn", nn.BatchNorm2d(3))
        self.yes_linear = nn.Linear(3, 4)
        self.yes_linear_bn = nn.BatchNorm1d(4, affine=False)
        self.tokens = nn.Linear(4, 4)
        self.tokens_bn = nn.BatchNorm1d(5)
        self.alone_bn = nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, x):
        y = self.yes_bn(self.yes(x))
        y = self.twice_bn(self.twice(self.twice(y)))
        conv = self.read(y)
        y = self.read_bn(conv) + conv.mean()
        y = self.added_bn(self.added(y).add_(0.5))
        y = self.shared_bn(self.shared_bn(self.shared(y)))
        y = self.hooked_bn(self.hooked(y))
        y = self.alone_bn(self.mode(y))
        flat = self.yes_linear_bn(self.yes_linear(y.mean((2, 3))))
        rows = self.tokens_bn(self.tokens(flat[:, None].expand(-1, 5, -1)))
        return flat + rows.mean(1)


def test_only_what_is_exact_is_folded():
    network = Shapes().eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.5, 1.5)
    network.hooked.register_forward_hook(lambda *_: None)
    x = torch.randn(4, 3, 6, 6)
    assert foldable(network, x) == {"yes": "yes_bn", "yes_linear": "yes_linear_bn"}
    copy = FastCopy(network, x)
    torch.testing.assert_close(copy.network(x), network(x), atol=1e-5, rtol=1e-5)
    network.train()
    assert not foldable(network, x)


def test_a_copy_follows_the_weights():
    network = trained(critters_resnet())
    x = torch.rand(4, 3, 32, 32)
    fast = FastCopy(network, x)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        network.train()
        nn.functional.cross_entropy(network(x), torch.tensor([0, 1, 2, 3])).backward()
        optimizer.step()
        network.eval()
        assert off(fast.network(x), network(x)) > 1e-3
        fast.refresh()
        assert off(fast.network(x), network(x)) < 1e-5


@pytest.mark.parametrize("size", [7, 8, 11, 16])
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 16])
@pytest.mark.parametrize("padding", [0, 1, 3])
def test_strided_convolutions_of_images_are_the_same(size, stride, padding):
    plain = nn.Conv2d(3, 5, size, stride, padding).requires_grad_(False)
    ours = nn.Conv2d(3, 5, size, stride, padding).requires_grad_(False)
    ours.load_state_dict(plain.state_dict())
    kind = cheaper(ours)
    assert (kind is None) == (stride == 1)
    ours.__class__ = kind or nn.Conv2d
    for shape in ((33, 40), (17, 19), (64, 64)):
        x = torch.randn(2, 3, *shape, requires_grad=True)
        out, expected = ours(x), plain(x)
        torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
        weights = torch.randn_like(out)
        a, b = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (out, expected))
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_pointwise_convolutions_have_the_same_gradients():
    for bias in (True, False):
        plain = nn.Conv2d(6, 5, 1, bias=bias).requires_grad_(False)
        ours = nn.Conv2d(6, 5, 1, bias=bias).requires_grad_(False)
        ours.load_state_dict(plain.state_dict())
        ours.__class__ = cheaper(ours)
        x = torch.randn(2, 6, 7, 9, requires_grad=True)
        for value in (lambda y: y.sin().sum(), lambda y: y.mean((2, 3)).sum()):
            (a,), (b,) = (torch.autograd.grad(value(m(x)), x) for m in (ours, plain))
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_nothing_runs_after_the_representation():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 2)
    )
    ran = []
    network[2].register_forward_hook(lambda *_: ran.append(1))
    model = rr.load_model(network, normalize=NORMALIZE, layer="1")
    x, target = torch.rand(2, 3, 8, 8), torch.rand(2, 144)
    objective = rr.RepresentationMatching()
    fast = fast_network(model.model, x, lambda net: objective(net, x, target))
    assert isinstance(fast, UpToRepresentation)
    ran.clear()
    value, rep = objective(fast, x, target)
    assert not ran
    expected, expected_rep = objective(model.model, x, target)
    torch.testing.assert_close((value, rep), (expected, expected_rep))
    assert ran
    # An objective that looks at the logits gets them.
    whole = fast_network(model.model, x, lambda net: (net(x, with_latent=True)[0][:, 0], None))
    assert not isinstance(whole, UpToRepresentation)
    assert fast(x).shape == (2, 2)
    assert not any(m._forward_pre_hooks for m in fast.modules())


def test_a_network_that_has_no_copy_is_used_itself_and_the_log_says_so(caplog):
    class Stubborn(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(12, 3)
            self.made = torch.ones(1, requires_grad=True) * 2  # no leaf: it cannot be copied

        def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
            return self.fc(x.flatten(1)), x.flatten(1)

    network = Stubborn()
    x = torch.rand(2, 3, 2, 2)
    caplog.set_level(logging.WARNING, "robust_reps_ext")
    assert fast_network(network, x, lambda net: (net(x)[0][:, 0], None)) is network
    assert "no fast copy of Stubborn" in caplog.text
    # An objective that does not see the copy's function as the network's.
    plain = trained(critters_resnet())
    x = torch.rand(2, 3, 32, 32)
    peeking = fast_network(plain, x, lambda net: (net.body[0][1](x).mean((1, 2, 3)), None))
    assert peeking is plain
    assert "the objective's value is another" in caplog.text


@pytest.fixture
def small():
    return wrapped(trained(critters_resnet()))


def without_copies(monkeypatch):
    monkeypatch.setattr(
        "robust_reps_ext.synthesis.network.fast_network", lambda network, *_, **__: network
    )
    monkeypatch.setattr(
        "robust_reps_ext.experiments.attacks.fast_network", lambda network, *_, **__: network
    )


def test_a_copy_whose_operations_for_gradients_differ_is_refused(caplog, monkeypatch):
    """It is compared as an attack runs it: with a gradient."""

    class Signed(nn.Module):
        def forward(self, x):
            return x if not x.requires_grad or self is kept else x.clamp_min(0)

    kept = Signed()
    network = nn.Sequential(nn.Conv2d(3, 4, 1), kept, nn.Flatten(), nn.Linear(4 * 16, 3))
    x = torch.rand(2, 3, 4, 4, requires_grad=True)
    assert fast_network(network, x, lambda net: (net(x)[:, 0], None)) is network
    assert "the objective's value is another" in caplog.text


@pytest.mark.parametrize("layer", [None, "body.5", "body.5:mean"])
def test_inversions_on_the_copy_have_the_same_iterates(small, layer, monkeypatch):
    targets = torch.rand(3, 3, 32, 32)
    options = {"schedule": "paper", "iterations": 6, "step_size": 0.1, "batch_size": 2}
    options |= {"layer": layer, "frames": 7}
    ours = rr.invert(small, targets, **options)
    without_copies(monkeypatch)
    plain = rr.invert(small, targets, **options)
    assert ours.objective.mean() < 0.95 * ours.trace[0].mean()
    torch.testing.assert_close(ours.images, plain.images, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours.trace, plain.trace, atol=1e-5, rtol=1e-4)


def test_attacks_in_evaluation_run_on_the_copy_and_find_the_same(small, monkeypatch):
    x = torch.rand(12, 3, 32, 32)
    labels = small(x)[0].argmax(1)
    batches = [(x[:8], labels[:8]), (x[8:], labels[8:])]
    passes = []
    small.model.body[0].register_forward_pre_hook(lambda module, _: passes.append(module))
    options = {"eps": 0.5, "attack_steps": [5], "group": torch.arange(9) // 3}
    ours = rr.evaluate(small, batches, **options)
    assert len({id(module) for module in passes}) > 1
    without_copies(monkeypatch)
    assert ours == rr.evaluate(small, batches, **options)


class Fragile(Linear):
    """R(x) is the difference of two sums that bfloat16 cannot tell apart."""

    def __init__(self):
        super().__init__(12)
        self.sum = nn.Linear(12, 12)

    def latent(self, x):
        flat = x.flatten(1)
        return self.sum(flat + 1000).float() - self.sum(torch.full_like(flat, 1000.0)).float()


def test_automatic_precision_falls_back_and_says_so(small, monkeypatch):
    monkeypatch.setattr("robust_reps_ext.runtime.precision.is_fast", lambda device: True)
    targets = torch.rand(2, 3, 2, 2)
    model = wrapped(Fragile())
    options = {"iterations": 3, "step_size": 0.1, "batch_size": 1, "schedule": "cosine-momentum"}
    with pytest.warns(UserWarning, match="computing in float32 instead"):
        ours = rr.invert(model, targets, precision="auto", **options)
    exact = rr.invert(model, targets, **options)
    torch.testing.assert_close(ours.images, exact.images)
    # No warning, which would be an error, where bfloat16 does.
    rr.invert(small, torch.rand(2, 3, 32, 32), precision="auto", **options)
