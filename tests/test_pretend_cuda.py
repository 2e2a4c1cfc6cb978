"""The pretended card itself: what it must catch is caught, what is right passes."""

from __future__ import annotations

import pytest
import torch
from pretend_cuda import OnCard, PretendCuda, tf32
from torch import nn


@pytest.fixture
def card():
    with PretendCuda(cards=2) as one:
        yield one


def test_tensors_of_two_devices_in_one_operation_are_an_error(card):
    here, there = torch.rand(3), torch.rand(3)
    with pytest.raises(RuntimeError, match=r"same device.*the CPU, \(3,\), and cuda:0"):
        here + there.to("cuda")
    with pytest.raises(RuntimeError, match="cuda:0 and cuda:1"):
        here.to("cuda:0") + there.to("cuda:1")
    with pytest.raises(RuntimeError, match="rows of a card"):
        here[torch.tensor([0, 1]).to("cuda")]
    assert [where.partition(":")[0] for _, _, where in card.mixed] == ["test_pretend_cuda.py"] * 3


def test_numbers_are_on_every_device(card):
    there = torch.rand(3, device="cuda")
    assert (there * 2 + torch.tensor(1.0)).device == torch.device("cuda:0")
    assert not card.mixed


def test_a_generator_of_the_cpu_draws_nothing_on_a_card(card):
    with pytest.raises(RuntimeError, match="generator of the CPU"):
        torch.rand(3, device="cuda", generator=torch.Generator())
    assert card.mixed


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (lambda x: x.sum().item(), "item"),
        (lambda x: float(x[0]), "item"),
        (lambda x: bool((x > 0).any()), "item"),
        (lambda x: x.tolist(), "tolist"),
        (lambda x: x.cpu(), "to the CPU"),
        (lambda x: x.nonzero(), "nonzero"),
        (lambda x: x[x > 0.5], "nonzero of a mask"),
        (lambda x: x + torch.ones(3).to("cuda"), "to the card"),
        (lambda x: x.new_tensor([1.0]), "to the card"),
        (lambda _: torch.cuda.synchronize(), "synchronize"),
        (lambda x: torch.linalg.inv(x.outer(x) + torch.eye(3, device="cuda")), "linalg"),
    ],
)
def test_what_makes_the_host_wait_is_counted_and_its_line_is_named(card, asked, kind):
    x = torch.rand(3, device="cuda")
    card.forget()
    asked(x)
    ((said, where), times), *rest = card.waits.items()
    assert (times, rest) == (1, [])
    assert said.startswith(kind)
    assert where == f"test_pretend_cuda.py:{asked.__code__.co_firstlineno}"


def test_what_does_not_wait_is_not_counted(card):
    x = torch.rand(4, 3, device="cuda")
    card.forget()
    (x.view(3, 4).t() @ x.view(3, 4)).softmax(1)[1:].clamp(0, 1)
    torch.ones(3).to("cuda", non_blocking=True)
    assert not card.waits
    assert sum(card.staged.values()) == 1


def test_views_are_no_launches(card):
    x = torch.rand(4, 3, device="cuda")
    card.forget()
    x.view(3, 4).t()[1:].unsqueeze(0).detach()
    assert card.launches == 0
    assert (x + 1).device.type == "cuda"
    assert card.launches == 1


def test_values_and_gradients_are_the_cpu_s():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    x = torch.rand(2, 3, 8, 8, requires_grad=True)
    (expected,) = torch.autograd.grad(network(x).square().sum(), x)
    with PretendCuda(capability=(7, 5)):
        there = x.detach().to("cuda").requires_grad_(True)
        (found,) = torch.autograd.grad(network.to("cuda")(there).square().sum(), there)
        assert isinstance(found, OnCard)
        assert torch.equal(found.cpu(), expected)
    network.to("cpu")


@pytest.mark.parametrize(
    ("capability", "allowed", "rounds"),
    [((9, 0), True, True), ((9, 0), False, False), ((7, 5), True, False)],
)
def test_convolutions_round_to_tf32_where_card_and_torch_do(capability, allowed, rounds):
    x, weight = torch.rand(1, 3, 8, 8), torch.rand(4, 3, 3, 3)
    expected = torch.conv2d(tf32(x), tf32(weight)) if rounds else torch.conv2d(x, weight)
    with PretendCuda(capability=capability), torch.backends.cudnn.flags(allow_tf32=allowed):
        assert torch.equal(torch.conv2d(x.to("cuda"), weight.to("cuda")).cpu(), expected)
        product = x[0, 0].to("cuda") @ x[0, 1].to("cuda")
        assert torch.equal(product.cpu(), x[0, 0] @ x[0, 1])  # torch's default rounds none


def test_tf32_has_ten_bits_of_mantissa():
    x = torch.randn(1000)
    error = ((tf32(x) - x).abs() / x.abs()).max()
    assert 2**-12 < error <= 2**-11
    assert torch.equal(tf32(tf32(x)), tf32(x))


def test_which_cards_are_seeded_is_noted(card):
    with torch.cuda.device(1):
        torch.cuda.manual_seed(0)
    assert card.seeded == {1: 1}
    torch.manual_seed(0)
    assert card.seeded == {0: 1, 1: 2}


def test_afterwards_there_is_no_card():
    with PretendCuda(cards=3):
        assert torch.cuda.device_count() == 3
    assert torch.cuda.device_count() != 3
    assert "Pretend" not in str(torch.autocast) + str(torch.Tensor.is_pinned)
