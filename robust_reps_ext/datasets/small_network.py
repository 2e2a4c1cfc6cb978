"""What the small networks of the data sets share: upstream's forward call, and R(x) with places."""

from __future__ import annotations

from typing import Any

import torch
from robustness.tools.custom_modules import FakeReLU
from torch import Tensor, nn

__all__ = ["SmallNetwork", "SmallVGG", "convolution"]


class SmallNetwork(nn.Module):
    """A body of blocks, a ReLU, averages over a grid of windows, and one linear layer.

    Each coordinate of the representation is one channel in one window, so that it says roughly
    where things are, as larger networks do on larger images.
    """

    body: nn.Sequential
    fc: nn.Linear
    grid = 2

    def forward(
        self, x: Tensor, with_latent: bool = False, fake_relu: bool = False, no_relu: bool = False
    ) -> Any:
        before_relu = self.body(x)
        relu = FakeReLU.apply if fake_relu else torch.relu
        representation = self._windows(relu(before_relu))
        logits = self.fc(representation)
        if with_latent:
            return logits, self._windows(before_relu) if no_relu else representation
        return logits

    def _windows(self, x: Tensor) -> Tensor:
        """Averages over the windows of each channel: (N, C, H, W) to (N, grid * grid * C)."""
        return nn.functional.adaptive_avg_pool2d(x, self.grid).flatten(1)


def convolution(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """A 3x3 convolution; with stride 2, of averages over 2x2 pixels.

    The average cannot see the finest checkerboard, so that nothing synthesised through the
    network is filled with it.
    """
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    if stride == 1:
        return convolution
    return nn.Sequential(nn.AvgPool2d(2, stride=1), convolution)


class SmallVGG(SmallNetwork):
    """A VGG of four stages with batch normalisation, ReLUs and maxima.

    Parameters
    ----------
    num_classes
        Number of classes.
    width
        Channels of the first stage; the last has eight times as many, and the representation
        32 times as many coordinates.
    """

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
                layers.append(convolution(channels, out_channels, stride))
                layers.append(nn.BatchNorm2d(out_channels))
                channels = out_channels
        self.body = nn.Sequential(*layers)
        self.fc = nn.Linear(4 * channels, num_classes)
