"""Plots of numbers: lines with bands, bars with intervals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robust_reps_ext.results.forest import Block, forest_figure
from robust_reps_ext.results.plots import Line, accuracy_figure, curve_figure
from robust_reps_ext.runtime.errors import InputError


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


def test_a_line_without_interval_has_no_band():
    axes = curve_figure([2, 8], [Line([0.5, 0.2], n=4)]).axes[0]
    assert not axes.collections
    assert axes.get_ylabel().endswith("(mean of 4 pairs)")


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


def test_a_radius_is_marked_in_the_curve():
    line = Line([0.9, 0.5], [0.8, 0.4], [1.0, 0.6], "robust")
    axes = curve_figure([2, 8], [line], (3.0, "trained against, 3")).axes[0]
    assert [one.get_xdata()[0] for one in axes.lines if one.get_linestyle() == "--"] == [3.0]
    assert "trained against, 3" in [text.get_text() for text in axes.texts]


def test_a_forest_shows_every_row_on_the_axis_of_its_unit():
    line = Line([0.5, 0.6], [0.4, 0.5], [0.6, 0.7], "robust")
    wide = Line([20.0], [10.0], [30.0], "robust")
    share = Block("share", ["class", "$x$"], [line], [0.1, None], "{:.1f}".format)
    figure = forest_figure([share, Block("degrees", ["hue"], [wide], [None], "{:.0f}".format)])
    first, second = figure.axes
    names = [text.get_text() for axes in figure.axes for text in axes.get_yticklabels()]
    assert names == ["class", "$x$", "hue"]
    assert first.get_xlim()[1] < 1 < second.get_xlim()[0] < 10
    with pytest.raises(InputError):
        forest_figure([])
