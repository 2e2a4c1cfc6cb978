"""The fast copy on a pretended card: accepted where convolutions round to TF32, cheap to renew."""

from __future__ import annotations

import logging

import pytest
import torch
import torchvision
from pretend_cuda import PretendCuda
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.models.fast import FastCopy, checked_copy

HALF = ((0.5,) * 3, (0.25,) * 3)


def calibrated(network, side):
    """With statistics of batch normalisation that fit the weights, as after training."""
    torch.manual_seed(0)
    norms = [one for one in network.modules() if isinstance(one, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    network.train()
    with torch.no_grad():
        for _ in range(2):
            network(torch.randn(4, 3, side, side))
    return network.eval()


def by_labels(x):
    def loss(network):
        output = network(x)
        labels = torch.zeros(len(x), dtype=torch.long, device=x.device)
        return nn.functional.cross_entropy(output, labels, reduction="none"), output

    return loss


def resnet18():
    torch.manual_seed(0)
    return calibrated(torchvision.models.resnet18(), 64)


@pytest.mark.parametrize("source", [resnet18, lambda: "critters-standard"])
def test_the_copy_is_accepted_where_convolutions_round(source, caplog):
    """The check's tolerance is below what TF32 rounds, so the check is made without."""
    network = source()
    given = {} if isinstance(network, str) else {"normalize": HALF, "check": False}
    with PretendCuda(), caplog.at_level(logging.WARNING, "robust_reps_ext"):
        model = rr.load_model(network, device="cuda", **given)
        x = model.normalizer(torch.rand(2, 3, 64, 64).to("cuda"))
        assert torch.backends.cudnn.allow_tf32
        assert checked_copy(model.model, x, by_labels(x)) is not None
        target = rr.representation(model, torch.rand(2, 3, 64, 64)).to("cuda")
        matching = rr.RepresentationMatching()
        assert checked_copy(model.model, x, lambda one: matching(one, x, target)) is not None
        assert torch.backends.cudnn.allow_tf32
    assert not caplog.records


def test_the_copy_is_renewed_with_few_operations():
    """Twenty layers, of which each was begun eighteen times before."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=4).eval()
    with PretendCuda(capability=(7, 5)) as card:
        network = network.to("cuda")
        x = torch.rand(2, 3, 32, 32, device="cuda")
        fast = FastCopy(network, x)
        with torch.no_grad():
            for value in network.state_dict().values():
                if value.is_floating_point():
                    value.mul_(1.5)
        card.forget()
        fast.refresh()
        assert len(fast.folded) == 20
        assert card.launches <= 40
        assert not card.waits
        torch.testing.assert_close(fast.network(x).elem, network(x).elem, rtol=1e-3, atol=1e-3)
