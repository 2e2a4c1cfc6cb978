"""Out-of-distribution inputs, near-equal pairs, and plots of numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from robustness.attacker import AttackerModel
from torch import nn

from robust_reps_ext.datasets.patterns import kaleidoscope
from robust_reps_ext.experiments.pairs import near_pairs
from robust_reps_ext.results.plots import Line, accuracy_figure, curve_figure
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


class Half(nn.Module):
    """R(x) is the first half of the pixels: the rest is free."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 2)

    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        latent = x.flatten(1)[:, :6]
        return (self.fc(latent), latent) if with_latent else self.fc(latent)


@pytest.fixture
def half():
    return AttackerModel(Half(), SimpleNamespace(mean=torch.zeros(3), std=torch.ones(3))).eval()


def test_near_pairs_agree_in_what_is_seen_and_differ_in_the_rest(half):
    images = torch.rand(3, 3, 2, 2, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2
    pairs = near_pairs(half, images, step_size=0.01, iterations=200)
    assert torch.equal(pairs.sources, images.roll(-1, 0))
    seen, start = pairs.found.flatten(1)[:, :6], images.flatten(1)[:, :6]
    torch.testing.assert_close(seen, start, atol=0.02, rtol=0)
    unseen = pairs.found.flatten(1)[:, 6:]
    torch.testing.assert_close(unseen, pairs.sources.flatten(1)[:, 6:])
    assert (pairs.distance < 0.02).all()
    torch.testing.assert_close(pairs.apart, (pairs.found - images).flatten(1).norm(dim=1))
    torch.testing.assert_close(pairs.moved, (pairs.found - pairs.sources).flatten(1).norm(dim=1))


def test_near_pairs_need_two_images_of_one_shape(half):
    one = torch.rand(1, 3, 2, 2)
    with pytest.raises(InputError, match="no other to start from"):
        near_pairs(half, one)
    with pytest.raises(InputError, match="of the same size"):
        near_pairs(half, one, sources=torch.rand(1, 3, 2, 3))
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        near_pairs(half, one + 1, sources=one)


def test_a_curve_shows_each_line_with_its_band():
    radii = torch.tensor([0.0, 2, 8])
    y, low, high = torch.tensor([[1, 0.5, 0.1], [0.9, 0.4, 0.0], [1.2, 0.6, 0.3]])
    axes = curve_figure(radii, [Line(y, low, high, "robust"), Line(low, low, low, "x")]).axes[0]
    drawn = axes.get_lines()[0]
    np.testing.assert_allclose(drawn.get_xdata(), [0, 2, 8])
    np.testing.assert_allclose(drawn.get_ydata(), y)
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (float(band.min()), float(band.max())) == pytest.approx((0, 1.2))
    assert axes.get_ylim()[1] >= 1.2
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["robust", "x"]


def test_accuracies_are_bars_with_their_intervals():
    line = Line([0.9, 0.25], [0.8, 0.1], [0.95, 0.5], "robust")
    axes = accuracy_figure(["clean", "PGD-20"], [line, line]).axes[0]
    bars, errors = axes.containers[1], axes.containers[0]
    assert [bar.get_width() for bar in bars] == [0.9, 0.25]
    ends = [segment[:, 0] for segment in errors.lines[2][0].get_segments()]
    np.testing.assert_allclose(ends, [[0.8, 0.95], [0.1, 0.5]])


@pytest.mark.parametrize("lines", [[], [Line([1], [1, 2], [1])], [Line([1, 2], [1, 2], [1, 2])]])
def test_plots_refuse_lines_of_other_lengths(lines):
    with pytest.raises(InputError):
        curve_figure([1.0], lines)
    with pytest.raises(InputError):
        accuracy_figure(["clean"], lines)
