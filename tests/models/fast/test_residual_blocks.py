"""Residual blocks as one operation are the blocks, and nobody who looks inside is left out."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from families import trained
from robustness.cifar_models import resnet as cifar_resnet
from robustness.imagenet_models import resnet as imagenet_resnet
from robustness.tools.custom_modules import SequentialWithArgs
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision.models import resnet as torchvision_resnet

from robust_reps_ext.models.fast import FastCopy
from robust_reps_ext.models.fast.convolutions import operators_work
from robust_reps_ext.models.fast.residual_blocks import Block, Row, whole_block, whole_row
from robust_reps_ext.models.hooks import ReplacedReLU, straight_through

pytestmark = pytest.mark.skipif(
    not operators_work(torch.float32), reason="this processor's torch packs no weights"
)

MODULES = {
    "torchvision": (torchvision_resnet, nn.Sequential),
    "imagenet": (imagenet_resnet, SequentialWithArgs),
    "cifar": (cifar_resnet, SequentialWithArgs),
}


def row(source="torchvision", kind="Bottleneck"):
    """Three blocks: a shortcut with a stride, one without, and an identity."""
    module, sequence = MODULES[source]
    block = getattr(module, kind)
    wide = 64 * block.expansion

    def shortcut(channels, stride):
        if source == "cifar":  # makes its own
            return {}
        parts = nn.Conv2d(channels, wide, 1, stride, bias=False), nn.BatchNorm2d(wide)
        return {"downsample": nn.Sequential(*parts)}

    plain = {} if source == "cifar" else {"downsample": None}
    torch.manual_seed(0)
    return trained(
        sequence(
            block(64, 64, stride=2, **shortcut(64, 2)),
            block(wide, 64, stride=1, **(shortcut(wide, 1) or plain)),
            block(wide, 64, stride=1, **plain),
        )
    )


def fast_and_plain(**options):
    plain = row(**options)
    x = torch.randn(2, 64, 9, 9)
    return FastCopy(plain, x).network, plain, x


def gradient(network, x, **asked):
    x = x.clone().requires_grad_(True)
    y = network(x, **asked)
    return y, torch.autograd.grad(y.float().sin().sum(), x)[0]


def is_one(y):
    return type(y.grad_fn).__name__ == "_ComputeBackward"


def same(found, expected, tolerance=1e-4):
    for a, b in zip(found, expected, strict=True):
        scale = float(b.detach().abs().max())
        torch.testing.assert_close(a, b, atol=tolerance * scale, rtol=0)


@pytest.mark.parametrize("kind", ["BasicBlock", "Bottleneck"])
@pytest.mark.parametrize("source", MODULES)
def test_a_row_of_every_kind_computes_the_same(source, kind):
    fast, plain, x = fast_and_plain(source=source, kind=kind)
    assert isinstance(fast, Row)
    assert all(isinstance(block, Block) for block in fast)
    found = gradient(fast, x)
    assert is_one(found[0])
    same(found, gradient(plain, x))
    with torch.no_grad():
        same([fast(x)], [plain(x)])
    assert is_one(fast[0](x.requires_grad_(True)))  # blocks alone, too


def test_a_row_is_bit_for_bit_its_blocks_and_they_their_parts():
    fast, _, x = fast_and_plain()
    parts = copy.deepcopy(fast)
    for module in parts.modules():
        module.register_forward_hook(lambda *_: None)
    expected = gradient(parts, x)
    assert not is_one(expected[0])
    blocks = copy.deepcopy(fast)
    blocks[0].register_forward_hook(lambda *_: None)
    for network in (fast, blocks):
        for found, value in zip(gradient(network, x), expected, strict=True):
            assert torch.equal(found, value)


def test_a_hook_inside_is_called_and_everything_around_it_stays_one():
    fast, plain, x = fast_and_plain()
    seen = []
    fast[1].relu.register_forward_hook(lambda _m, _a, out: seen.append(out.detach().clone()))
    found = gradient(fast, x)
    assert len(seen) == 3  # after each of its convolutions
    same(found, gradient(plain, x))
    assert is_one(found[0])  # the last block
    seen.clear()
    handle = fast[2].register_full_backward_hook(lambda _m, g, _o: seen.append(g))
    gradient(fast, x)
    assert len(seen) == 4
    handle.remove()


@pytest.mark.parametrize("source", ["imagenet", "cifar"])
def test_fake_relu_is_the_last_blocks(source):
    fast, plain, x = fast_and_plain(source=source)
    same(gradient(fast, x, fake_relu=True), gradient(plain, x, fake_relu=True))
    assert not torch.equal(gradient(fast, x, fake_relu=True)[1], gradient(fast, x)[1])


@pytest.mark.parametrize("index", range(10))
def test_every_relu_can_be_replaced(index):
    fast, plain, x = fast_and_plain()
    found = []
    for network in (fast, plain):
        mode = ReplacedReLU(index, straight_through)
        with mode:
            found.append(gradient(network, x))
        assert mode.calls == 9
    same(*found)
    assert torch.equal(found[0][1], gradient(fast, x)[1]) == (index == 9)  # there are nine


def test_other_modes_see_every_relu():
    class Counting(TorchFunctionMode):
        calls = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.calls += func is nn.functional.relu
            return func(*args, **(kwargs or {}))

    fast, _, x = fast_and_plain()
    with Counting() as mode:
        gradient(fast, x)
    assert mode.calls == 9
    with mode, ReplacedReLU(9, straight_through):
        gradient(fast, x)
    assert mode.calls == 18


def test_what_it_is_given_stays_as_it_is():
    fast, _, x = fast_and_plain()
    for network in (fast, fast[2]):  # the identity's output begins as the input
        given = (x if network is fast else torch.randn(2, 256, 5, 5)).requires_grad_(True)
        before = given.detach().clone()
        y = network(given)
        g = torch.randn_like(y)
        kept = y.detach().clone(), g.clone()
        first, second = (
            torch.autograd.grad(y, given, g, retain_graph=True)[0].clone() for _ in range(2)
        )
        assert torch.equal(first, second)
        assert torch.equal(given, before)
        assert torch.equal(y, kept[0])
        assert torch.equal(g, kept[1])


@pytest.mark.parametrize("kind", ["BasicBlock", "Bottleneck"])
def test_gradients_have_gradients(kind):
    fast, plain, x = fast_and_plain(kind=kind)

    def slopes(network):
        leaf = x.clone().requires_grad_(True)
        y = network(leaf)
        (slope,) = torch.autograd.grad(y.sin().sum(), leaf, create_graph=True)
        return slope, torch.autograd.grad(slope.square().mean(), leaf)[0]

    same(slopes(fast), slopes(plain), 1e-3)


@pytest.mark.skipif(not operators_work(torch.bfloat16), reason="no bfloat16 instructions")
def test_bfloat16_within_autocast():
    plain = row()
    x = torch.randn(2, 64, 9, 9)
    fast = FastCopy(plain, x)
    fast.reduce(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradient(fast.network, x)
    assert is_one(found[0])
    assert [part.dtype for part in found] == [torch.bfloat16, torch.float32]
    y, slope = gradient(plain, x)
    assert (found[0] - y).norm() < 0.03 * y.norm()
    assert (found[1] - slope).norm() < 0.3 * slope.norm()


def test_rows_follow_the_weights_and_can_be_copied_and_pickled():
    plain = row()
    x = torch.randn(2, 64, 9, 9)
    fast = FastCopy(plain, x)
    before = gradient(fast.network, x)
    for again in (copy.deepcopy(fast.network), pickle.loads(pickle.dumps(fast.network))):
        assert all(torch.equal(a, b) for a, b in zip(gradient(again, x), before, strict=True))
    for module in plain.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data.mul_(1.5)
    fast.refresh()
    found = gradient(fast.network, x)
    assert is_one(found[0])
    same(found, gradient(plain, x))


def test_other_blocks_stay_as_they_are():
    assert whole_row(nn.Sequential()) is None
    assert whole_block(row()[0]) is None  # normalisation is not folded
    x = torch.randn(2, 64, 9, 9)

    leaky = row()
    leaky[1].relu = nn.LeakyReLU()
    fast = FastCopy(leaky, x).network
    assert [isinstance(block, Block) for block in fast] == [True, False, True]
    assert not isinstance(fast, Row)
    same(gradient(fast, x), gradient(leaky, x))

    signed = row()
    signed[2].relu = nn.Identity()
    fast = FastCopy(signed, x).network
    assert [isinstance(block, Block) for block in fast] == [True, True, False]
    same(gradient(fast, x), gradient(signed, x))

    grouped = trained(torchvision_resnet.Bottleneck(256, 64, groups=2))
    assert not isinstance(FastCopy(grouped, torch.randn(2, 256, 5, 5)).network, Block)

    class Own(torchvision_resnet.Bottleneck):
        def forward(self, x):
            return 2 * super().forward(x)

    own = trained(Own(256, 64))
    fast, x = FastCopy(own, torch.randn(2, 256, 5, 5)).network, torch.randn(2, 256, 5, 5)
    assert type(fast) is Own
    same(gradient(fast, x), gradient(own, x))
