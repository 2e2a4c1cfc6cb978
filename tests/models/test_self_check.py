"""What loading looks at, and what it says where a model is not what it is taken for."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.datasets.samples import open_data_set
from robust_reps_ext.models.self_check import check_accuracy
from robust_reps_ext.runtime.errors import InputError

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class Network(nn.Module):
    def __init__(self, classes=9, shape=None):
        super().__init__()
        self.fc = nn.Linear(3, classes)
        self.shape = shape

    def forward(self, x):
        logits = self.fc(x.mean(dim=(2, 3)))
        return logits if self.shape is None else logits.view(self.shape)


def test_a_sound_network_is_described(caplog):
    with caplog.at_level(logging.INFO, "robust_reps_ext"):
        model = rr.load_model(Network(), normalize=HALF)
    assert model.card["classes"] == 9
    assert "3 coordinates" in model.card["representation"]
    assert "9 classes" in caplog.text


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda network: network.fc.weight.data.fill_(torch.nan), "fc.weight of Network holds NaN"),
        (lambda network: network.fc.bias.data.fill_(torch.inf), "fc.bias of Network holds NaN"),
    ],
)
def test_a_broken_network_is_refused(broken, message):
    network = Network()
    broken(network)
    with pytest.raises(InputError, match=message):
        rr.load_model(network, normalize=HALF)


def test_a_network_without_logits_is_loaded_with_a_warning(caplog):
    network = Network()
    network.shape = (-1, 1)
    model = rr.load_model(network, normalize=HALF)
    assert "no logits of shape (1, classes)" in caplog.text
    assert rr.representation(model, torch.rand(2, 3, 32, 32)).shape == (2, 3)


def test_the_look_at_the_output_can_be_switched_off():
    assert "representation" not in rr.load_model(Network(), normalize=HALF, check=False).card


def test_accuracy_is_compared_with_what_was_published(caplog):
    data_set = open_data_set("critters_fine")
    model = rr.load_model("critters-vgg", dataset=data_set)
    assert check_accuracy(model, data_set, n=40) > 90
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
    model.normalizer.new_mean += 1.5
    assert check_accuracy(model, data_set, n=40) < 90
    assert "normaliser may be another" in caplog.text or "another order" in caplog.text
