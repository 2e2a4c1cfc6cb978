"""Experiments on disk whose images say which they are."""

from __future__ import annotations

import torch

from robust_reps_ext.results.store import ExperimentStore
from robust_reps_ext.results.synthesis import Synthesis

SETTINGS = {"iterations": 7, "eps": 3.0, "layer": None}


def synthesis(numbers):
    """A synthesis whose images say which they are."""
    numbers = torch.as_tensor(numbers, dtype=torch.float32)
    images = (numbers / 100).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    settings = {"eps": (numbers + 1).tolist(), "iterations": 7}
    return Synthesis(images, images, numbers, numbers[None], torch.zeros(1), settings, {})


def resume(out, **facts):
    return ExperimentStore.resume(out, **{"experiment": "invert", "settings": SETTINGS, **facts})
