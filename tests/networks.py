"""Small networks with upstream's forward call, whose answers are known or soon computed."""

from __future__ import annotations

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
