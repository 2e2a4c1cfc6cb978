"""The ends of stages, and several layers read at once."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.models.stages import LayersReader, stages

STATISTICS = ([0.5] * 3, [0.25] * 3)


def loaded(network):
    return rr.load_model(network, normalize=STATISTICS)


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (
            torchvision.models.resnet18,
            ["relu", "layer1", "layer2", "layer3", "layer4"],
        ),
        (
            torchvision.models.vgg11,
            ["features.1", "features.4", "features.9", "features.14", "features.19", "features"],
        ),
        (
            torchvision.models.densenet121,
            [
                "features.relu0",
                "features.transition1.conv",
                "features.transition2.conv",
                "features.transition3.conv",
                "features",
            ],
        ),
    ],
    ids=["resnet", "vgg", "densenet"],
)
def test_of_known_networks(make, wanted):
    assert stages(loaded(make(num_classes=3)), torch.rand(1, 3, 64, 64)) == wanted


def test_a_layer_with_a_shortcut_around_it_ends_no_stage():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 4, 3, padding=1)
            self.b = nn.Conv2d(4, 4, 3, padding=1)
            self.c = nn.Conv2d(4, 4, 3, stride=2, padding=1)
            self.fc = nn.Linear(4, 2)

        def forward(self, x):
            x = self.a(x)
            y = self.c(x + self.b(x))
            return self.fc(y.mean((2, 3)))

    assert stages(loaded(Net()), torch.rand(1, 3, 16, 16)) == ["a", "c"]


def test_transformers_are_cut_into_quarters():
    vit = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=8, num_heads=2, hidden_dim=16, mlp_dim=32,
        num_classes=3,
    )  # fmt: skip
    found = stages(loaded(vit), torch.rand(1, 3, 32, 32))
    layers = "encoder.layers.encoder_layer_"
    assert found == [f"{layers}1", f"{layers}3", f"{layers}5", f"{layers}7"]


def test_what_is_read_at_once_is_what_each_is():
    torch.manual_seed(0)
    model = loaded(torchvision.models.resnet18(num_classes=3))
    images = torch.rand(3, 3, 64, 64)
    output, rows = LayersReader(model, ["layer2", "penultimate", "layer1:mean"], images)(images)
    torch.testing.assert_close(output, model(images)[0])
    for name, found in zip(["layer2", None, "layer1:mean"], rows, strict=True):
        torch.testing.assert_close(found, rr.representation(model, images, layer=name))
    assert not any(module._forward_hooks for module in model.modules())
