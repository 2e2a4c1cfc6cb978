"""Runs of PGD that take milliseconds a step, for snapshots."""

from __future__ import annotations

import torch
from networks import Convolutional, wrapped
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.synthesis.settings import Settings

STEPS = 9


def small_model(network=Convolutional):
    """Two convolutions and a linear layer."""
    torch.manual_seed(0)
    body = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2)
    return wrapped(network(*body, width=8))


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


SETTINGS = Settings(eps=5.0, step_size=0.3, iterations=30, batch_size=2, schedule="lbfgs", frames=5)
