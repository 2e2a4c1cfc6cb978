"""Small networks for small images, with upstream's forward call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from robustness.tools.custom_modules import FakeReLU
from torch import Tensor, nn

from ...runtime.modules import OwnModule

__all__ = ["ARCHITECTURES", "CrittersResNet", "CrittersVGG", "critters_resnet", "critters_vgg"]


def _convolution(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """A 3x3 convolution; with stride 2, of averages over 2x2 pixels.

    The average cannot see the finest checkerboard, so that nothing synthesised through the
    network is filled with it.
    """
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    if stride == 1:
        return convolution
    return nn.Sequential(nn.AvgPool2d(2, stride=1), convolution)


class _ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; the last ReLU is left to the caller."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = _convolution(out_channels, out_channels, 1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(out)) + self.shortcut(x)


class _Network(OwnModule):
    """A body of blocks, a ReLU, averages over the four quadrants, and one linear layer.

    Each coordinate of the representation is one channel in one quadrant, so that it says roughly
    where things are, as larger networks do on larger images.
    """

    body: nn.Sequential
    fc: nn.Linear

    def forward(
        self, x: Tensor, with_latent: bool = False, fake_relu: bool = False, no_relu: bool = False
    ) -> Any:
        before_relu = self.body(x)
        relu = FakeReLU.apply if fake_relu else torch.relu
        representation = _quadrants(relu(before_relu))
        logits = self.fc(representation)
        if with_latent:
            return logits, _quadrants(before_relu) if no_relu else representation
        return logits


def _quadrants(x: Tensor) -> Tensor:
    """Averages over the quadrants of each channel: (N, C, H, W) to (N, 4 C)."""
    return nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)


class CrittersResNet(_Network):
    """A ResNet of four stages for images of 32 to 128 pixels.

    Parameters
    ----------
    num_classes
        Number of classes.
    width
        Channels of the first stage; the last has eight times as many, and the representation
        32 times as many coordinates.
    depth
        Residual blocks in each stage.
    """

    def __init__(self, num_classes: int = 9, width: int = 32, depth: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            _convolution(3, width, 2),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        channels = width
        for stage in range(4):
            for block in range(depth):
                if len(layers) > 3:
                    layers.append(nn.ReLU())
                out_channels = width * 2**stage
                stride = 2 if stage and not block else 1
                layers.append(_ResidualBlock(channels, out_channels, stride))
                channels = out_channels
        self.body = nn.Sequential(*layers)
        self.fc = nn.Linear(4 * channels, num_classes)


class CrittersVGG(_Network):
    """A VGG of four stages with batch normalisation for images of 32 to 128 pixels."""

    def __init__(self, num_classes: int = 9, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for stage in range(4):
            for conv in range(2):
                if layers:
                    layers.append(nn.ReLU())
                if stage and not conv:
                    layers.append(nn.MaxPool2d(2))
                out_channels = width * 2**stage
                stride = 2 if not layers else 1
                layers.append(_convolution(channels, out_channels, stride))
                layers.append(nn.BatchNorm2d(out_channels))
                channels = out_channels
        self.body = nn.Sequential(*layers)
        self.fc = nn.Linear(4 * channels, num_classes)


def critters_resnet(num_classes: int = 9) -> CrittersResNet:
    """1.4 million parameters (with 162 classes), a representation of 1024 coordinates."""
    return CrittersResNet(num_classes)


def critters_vgg(num_classes: int = 9) -> CrittersVGG:
    """1.3 million parameters (with 162 classes), a representation of 1024 coordinates."""
    return CrittersVGG(num_classes)


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "critters_resnet": critters_resnet,
    "critters_vgg": critters_vgg,
}
"""Name on the command line (``--arch``) -> network, called with ``num_classes=``."""
