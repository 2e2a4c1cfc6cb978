"""Kaleidoscopes: inputs out of the distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from robust_reps_ext.datasets.patterns import kaleidoscope
from robust_reps_ext.runtime.errors import InputError


def test_kaleidoscopes_are_repeatable_colourful_and_all_different():
    five = kaleidoscope(5, size=32, seed=3)
    assert five.shape == (5, 3, 32, 32)
    assert five.dtype == torch.float32
    assert 0 <= five.min() < five.max() <= 1
    assert torch.equal(kaleidoscope(2, size=32, seed=3), five[:2])
    assert torch.cdist(five.flatten(1), five.flatten(1)).fill_diagonal_(9).min() > 5
    assert not torch.equal(kaleidoscope(1, size=32, seed=4), five[:1])
    assert (five.flatten(2).std(dim=2).mean(dim=1) > 0.05).all()


def test_a_kaleidoscope_is_the_same_under_some_turn():
    size = 128
    axis = (torch.arange(size) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    inside = x.hypot(y) < 0.95
    for pattern in kaleidoscope(3, size=size, seed=1):

        def turned(angle, pattern=pattern):
            cos, sin = np.cos(angle), np.sin(angle)
            grid = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)
            return nn.functional.grid_sample(pattern[None], grid[None], align_corners=False)[0]

        def change(folds, turned=turned, pattern=pattern):
            return float((turned(2 * np.pi / folds) - pattern).abs()[:, inside].mean())

        by_folds = {folds: change(folds) for folds in range(4, 10)}
        assert min(by_folds.values()) < 0.02
        assert max(by_folds.values()) > 3 * min(by_folds.values())


def test_the_edges_of_a_kaleidoscope_are_smooth():
    small, large = kaleidoscope(1, size=64, seed=5), kaleidoscope(1, size=512, seed=5)
    mean = nn.functional.avg_pool2d(large, 8)
    assert (small - mean).abs().mean() < 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "n=0"), ((1, 7), "size=7"), ((1, 64, -1), "seed=-1")],
)
def test_patterns_refuse_what_cannot_be_drawn(arguments, message):
    n, size, seed = (*arguments, 64, 0)[:3] if len(arguments) < 3 else arguments
    with pytest.raises(InputError, match=message):
        kaleidoscope(n, size=size, seed=seed)
