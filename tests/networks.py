"""Small networks with upstream's forward call, whose answers are known or soon computed."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import torch
from robustness.attacker import AttackerModel
from torch import nn


def statistics(mean=0.5, std=0.25):
    """What `AttackerModel` asks of a data set."""
    return SimpleNamespace(mean=torch.full((3,), mean), std=torch.full((3,), std))


HALVES, PLAIN = statistics(), statistics(0.0, 1.0)


def wrapped(network, data=HALVES):
    """An `AttackerModel` in evaluation."""
    return AttackerModel(network, data).eval()


class Small(nn.Module):
    """A linear layer `fc` on R(x), which a subclass gives as `latent`."""

    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        latent = self.latent(x)
        logits = self.fc(latent)
        return (logits, latent) if with_latent else logits


class Linear(Small):
    """R(x) are the pixels: in a ball, the best is known in closed form."""

    def __init__(self, pixels, classes=2, bias=True):
        super().__init__()
        self.fc = nn.Linear(pixels, classes, bias=bias)

    def latent(self, x):
        return x.flatten(1)


class Scores(Small):
    """R(x) = W x, so that its largest coordinate in a ball or in the box is known.

    `spoil` gets x and R(x), and gives another R(x).
    """

    def __init__(self, pixels, spoil=None):
        super().__init__()
        self.scores = nn.Linear(pixels, 4, bias=False)
        self.fc = nn.Linear(4, 2)
        self.spoil = spoil

    def latent(self, x):
        latent = self.scores(x.flatten(1))
        return latent if self.spoil is None else self.spoil(x, latent)


class Convolutional(Small):
    """R(x) are the maps of `body`: their means, or all their values."""

    def __init__(self, *body, width, classes=2, means=True):
        super().__init__()
        self.body = nn.Sequential(*body)
        self.fc = nn.Linear(width, classes)
        self.means = means

    def latent(self, x):
        maps = self.body(x)
        return maps.mean((2, 3)) if self.means else maps.flatten(1)


class Nested(nn.Module):
    """A network under the name `model`, as in robust-models-transfer."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, *_, **__):
        return self.model(x)


class Block(nn.Module):
    """Of a WideResNet: batch norm and activation come first, the shortcut is added as it is."""

    def __init__(self, before, after, stride, activation):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(before), nn.BatchNorm2d(after)
        self.activation = activation()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        same = before == after and stride == 1
        self.shortcut = None if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x):
        out = self.activation(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(out)
        return self.conv2(self.activation(self.bn2(self.conv1(out)))) + shortcut


class WideResNet(nn.Module):
    """As RobustBench has them for 32 pixels: of others, rows and images no longer agree.

    DeepMind's have SiLU, and take the normaliser into the network; pre-activation ResNets have
    four stages, and average 4x4 pixels.
    """

    def __init__(
        self, depth=10, widen=1, activation=nn.ReLU, *, stages=3, inside=False, classes=10
    ):
        super().__init__()
        width = 4
        widths = [width, *(width * widen * 2**stage for stage in range(stages))]
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        blocks = []
        for stage, (before, after) in enumerate(itertools.pairwise(widths)):
            for i in range((depth - 4) // 6):
                stride = 1 if i or not stage else 2
                blocks.append(Block(after if i else before, after, stride, activation))
        self.blocks = nn.Sequential(*blocks)
        self.bn, self.activation = nn.BatchNorm2d(widths[-1]), activation()
        self.width, self.pool = widths[-1], 32 // 2 ** (stages - 1)
        self.fc = nn.Linear(self.width, classes)
        self.inside = inside
        self.register_buffer("mean", torch.full((3, 1, 1), 0.47))

    def forward(self, x):
        x = (x - self.mean) / 0.25 if self.inside else x
        out = self.activation(self.bn(self.blocks(self.conv1(x))))
        return self.fc(nn.functional.avg_pool2d(out, self.pool).view(-1, self.width))
