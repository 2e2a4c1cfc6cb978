"""Runs of PGD that take milliseconds a step, for snapshots."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from robustness.attacker import AttackerModel
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.synthesis.settings import Settings

STATISTICS = SimpleNamespace(mean=torch.full((3,), 0.5), std=torch.full((3,), 0.25))


STEPS = 9


class Small(nn.Module):
    """Two convolutions and a linear layer, with upstream's forward call."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2)
        )
        self.fc = nn.Linear(8, 2)

    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        latent = self.body(x).mean((2, 3))
        return (self.fc(latent), latent) if with_latent else self.fc(latent)


def small_model():
    torch.manual_seed(0)
    return AttackerModel(Small(), STATISTICS).eval()


def images(n=3):
    return torch.rand(n, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def synthesize(settings, *, progress=False, stop_when=None, objective=None, start=None):
    """Three images in batches of two; the first starts near its target."""
    model = small_model()
    x = images()
    target = rr.representation(model, x)
    begin = torch.cat([x[:1], x[1:].flip(0)]) if start is None else start
    return rr.synthesize(
        model,
        objective or rr.RepresentationMatching(),
        target,
        begin,
        settings,
        stop_when=stop_when,
        seed=3,
        progress=progress,
    )


SLOW_SETTINGS = Settings(
    eps=5.0, step_size=0.3, iterations=30, batch_size=2, schedule="lbfgs", frames=5
)
