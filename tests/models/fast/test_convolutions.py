"""Convolutions with packed weights are torch's, to rounding, whatever came before."""

from __future__ import annotations

import copy
import logging
import pickle
import platform

import pytest
import torch
from torch import nn

from robust_reps_ext.models.fast import FastCopy, convolutions
from robust_reps_ext.models.fast.convolutions import Packed, can_pack, cheaper, operators_work

needs_operators = pytest.mark.skipif(
    not operators_work(torch.float32), reason="this processor's torch packs no weights"
)


def pair(*args, **options):
    """A convolution with fixed weights, and the same one packed."""
    plain = nn.Conv2d(*args, **options).requires_grad_(False)
    packed = copy.deepcopy(plain)
    assert can_pack(packed)
    packed.__class__ = Packed
    return plain, packed


def gradient(layer, x):
    x = x.clone().requires_grad_(True)
    out = layer(x)
    return out.detach(), torch.autograd.grad(out.float().sin().sum(), x)[0]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="weights are packed on x86 only")
def test_this_torch_can_pack():
    assert operators_work(torch.float32)


@needs_operators
@pytest.mark.parametrize("size", [1, 2, 3, (1, 5)])
@pytest.mark.parametrize("stride", [1, 2, (2, 1)])
@pytest.mark.parametrize("padding", [0, 1, (2, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_of_every_shape(size, stride, padding, bias):
    plain, packed = pair(5, 7, size, stride, padding, bias=bias)
    for shape in ((1, 5, 9, 8), (3, 5, 9, 8), (3, 5, 6, 11)):
        x = torch.randn(shape)
        for found, expected in zip(gradient(packed, x), gradient(plain, x), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    ways = packed._kept
    assert ways
    # Only where pixels are left out is there anything to thin, or to fill with zeros.
    assert ways.thinned == (size == 1 and padding == 0 and stride != 1)


@needs_operators
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 3])
def test_gradients_have_gradients(size, stride):
    plain, packed = pair(3, 4, size, stride, size // 2)
    x = torch.randn(2, 3, 7, 7)

    def second(layer):
        leaf = x.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(layer(leaf).sin().sum(), leaf, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), leaf)[0]

    torch.testing.assert_close(second(packed), second(plain), atol=1e-4, rtol=1e-4)


@needs_operators
def test_a_pass_does_not_depend_on_those_before():
    _, packed = pair(16, 32, 3, 1, 1)
    fresh = copy.deepcopy(packed)
    x = torch.randn(4, 16, 12, 12)
    for rows in (x[:1], x, x[:3]):
        gradient(packed, rows)
    for found, expected in zip(gradient(packed, x), gradient(fresh, x), strict=True):
        assert torch.equal(found, expected)


@needs_operators
def test_what_has_packed_weights_can_be_copied_and_pickled():
    _, packed = pair(4, 6, 3)
    x = torch.randn(2, 4, 8, 8)
    expected = gradient(packed, x)
    for again in (copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):
        assert again._kept is None
        for found, value in zip(gradient(again, x), expected, strict=True):
            assert torch.equal(found, value)


@needs_operators
def test_packed_weights_follow_the_weights():
    plain, packed = pair(4, 6, 3)
    x = torch.randn(2, 4, 8, 8)
    gradient(packed, x)
    with torch.no_grad():
        for layer in (plain, packed):
            layer.weight.mul_(2)
    torch.testing.assert_close(gradient(packed, x), gradient(plain, x), atol=1e-5, rtol=1e-5)
    for layer in (plain, packed):
        layer.weight = nn.Parameter(torch.ones(6, 4, 3, 3), requires_grad=False)
    torch.testing.assert_close(gradient(packed, x), gradient(plain, x), atol=1e-5, rtol=1e-5)
    for layer in (plain, packed):
        layer.bias = nn.Parameter(torch.arange(6.0), requires_grad=False)
    torch.testing.assert_close(gradient(packed, x), gradient(plain, x), atol=1e-5, rtol=1e-5)


@needs_operators
def test_a_copy_that_shares_weights_sees_what_torch_does_not():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    x = torch.rand(2, 3, 8, 8)
    fast = FastCopy(network, x)
    assert isinstance(fast.network[0], Packed)
    gradient(fast.network, x)
    network[0].weight.data.mul_(3)  # through .data, no version is counted
    fast.refresh()
    torch.testing.assert_close(
        gradient(fast.network, x), gradient(network, x), atol=1e-5, rtol=1e-5
    )


def test_what_is_not_packed_is_computed_by_torch():
    plain, packed = pair(4, 6, 3)
    x = torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        assert torch.equal(packed(x), plain(x))
    assert torch.equal(packed(x), plain(x))  # nobody wants a gradient
    assert packed._kept is None
    one = x[0].clone().requires_grad_(True)
    assert torch.equal(packed(one), plain(one))  # without a batch
    with torch.autocast("cpu", torch.bfloat16):
        a, b = (gradient(layer, x) for layer in (packed, plain))
    assert a[0].dtype == torch.bfloat16
    assert all(torch.equal(found, expected) for found, expected in zip(a, b, strict=True))
    assert packed._kept is None
    for layer in (plain, packed):
        layer.double()
    assert all(
        torch.equal(found, expected)
        for found, expected in zip(
            gradient(packed, x.double()), gradient(plain, x.double()), strict=True
        )
    )
    with pytest.raises(RuntimeError):
        packed(x.requires_grad_(True))  # float32 images do not meet float64 weights


@pytest.mark.parametrize(
    "options",
    [{"groups": 2}, {"dilation": 2}, {"padding": "same"}, {"padding_mode": "circular"}],
    ids=str,
)
def test_other_convolutions_stay_as_they_are(options):
    assert cheaper(nn.Conv2d(64, 64, 3)) is Packed
    assert cheaper(nn.Conv2d(64, 64, 3, **options)) is None


def test_packing_a_few_weights_is_not_worth_it():
    assert cheaper(nn.Conv2d(16, 16, 3)) is None
    assert cheaper(nn.Conv2d(16, 16, 1)) is Packed


@pytest.mark.skipif(not operators_work(torch.bfloat16), reason="no bfloat16 instructions")
def test_bfloat16_weights_within_autocast():
    plain, packed = (layer.bfloat16() for layer in pair(16, 32, 3, 1, 1))
    x = torch.randn(2, 16, 9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = gradient(packed, x), gradient(plain, x)
    assert packed._kept
    assert [part.dtype for part in found] == [torch.bfloat16, torch.float32]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=0.05, rtol=0.05)


def test_a_torch_without_the_operators_computes_the_same_and_that_is_said(monkeypatch, caplog):
    def gone(*_):
        raise AttributeError("mkldnn_reorder_conv2d_weight")

    plain, packed = pair(4, 6, 3)
    x = torch.randn(2, 4, 8, 8)
    monkeypatch.setattr(convolutions, "_reorder", gone)
    monkeypatch.setattr(convolutions.platform, "machine", lambda: "x86_64")
    operators_work.cache_clear()
    try:
        with caplog.at_level(logging.INFO, "robust_reps_ext"):
            pairs = list(zip(gradient(packed, x), gradient(plain, x), strict=True))
            gradient(packed, x)
    finally:
        operators_work.cache_clear()
    assert all(torch.equal(found, expected) for found, expected in pairs)
    assert [record.getMessage() for record in caplog.records] == [
        "convolutions are not packed: AttributeError: mkldnn_reorder_conv2d_weight"
    ]
