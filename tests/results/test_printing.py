"""Figures for print: their width, their formats, their numbers and their colours."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stored_experiments import resume

import robust_reps_ext
from robust_reps_ext.results.captions import two_digits
from robust_reps_ext.results.figures import Panel, Row, panel_figure, save_figure
from robust_reps_ext.results.plots import (
    ROLES,
    Line,
    accuracy_figure,
    curve_figure,
    histogram_figure,
)
from robust_reps_ext.results.printing import WIDTHS, Printing, at_width
from robust_reps_ext.runtime.errors import InputError

IMAGES = torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))
CAPTIONS = ["a ship", "a dog"] * 6
HERE = [Row(IMAGES, "target", CAPTIONS), Row(IMAGES, "robust", CAPTIONS, below="distance")]


def wrapping():
    return panel_figure([Panel(HERE, "a title that is rather long for a column", wraps=True)])


def fixed():
    return panel_figure([Panel(HERE)])


def curve():
    radii = [0.14, 0.29, 0.57, 1.1, 2.3, 4.6, 9.1, 18.3, 36.6]
    return curve_figure(radii, [Line(np.linspace(1, 0, 9), label="robust", n=4)])


def bars():
    names = ["162 classes, clean", "162 classes, PGD-20"]
    return accuracy_figure(names, [Line([0.5, 0.2], [0.4, 0.1], [0.6, 0.3], "a")], "L2 eps 4")


def histograms():
    values = np.random.default_rng(0).random((3, 100)) * 0.01
    return histogram_figure([values], ["layer1"], ["spearman", "pearson", "snr"])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("make", [wrapping, fixed, curve, bars, histograms])
def test_a_figure_is_as_wide_as_its_place_and_nothing_sticks_out(make, width, tmp_path):
    inches = WIDTHS[width]
    figure = at_width(make(), inches)
    assert inches - 0.2 <= figure.get_size_inches()[0] <= inches + 1e-6
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    assert -0.02 <= box.x0 <= box.x1 <= figure.get_size_inches()[0] + 0.02


@pytest.mark.parametrize("make", [curve, histograms])
@pytest.mark.parametrize("inches", [2.0, 3.5, 7.0])
def test_no_numbers_of_an_axis_touch(make, inches):
    figure = at_width(make(), inches)
    figure.draw_without_rendering()
    for axes in figure.axes:
        first, last = axes.get_xlim()
        drawn = [one for one in axes.get_xticklabels() if first <= one.get_position()[0] <= last]
        labels = [one for one in drawn if one.get_text()]
        assert labels
        boxes = [one.get_window_extent() for one in labels]
        assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
        assert all(len(re.sub(r"^0\.0*|[.]", "", one.get_text())) <= 2 for one in labels)


def test_images_that_wrap_go_on_below_instead_of_growing_tiny():
    wide, narrow = wrapping(), at_width(wrapping(), WIDTHS["column"])
    width, height = narrow.get_size_inches()
    assert height > wide.get_size_inches()[1] / 2
    sizes = {round(axes.get_position().width * width, 2) for axes in narrow.axes}
    assert min(sizes) >= 0.5
    assert len(narrow.axes) == len(wide.axes) == 24


def test_a_store_writes_the_formats_that_are_asked_for(tmp_path):
    with resume(tmp_path) as store:
        store.printing = Printing(("pdf", "png"), "column", 100)
        assert store.add_figure("grid", fixed()).name == "grid.pdf"
        assert (store.path / "grid.pdf").read_bytes().startswith(b"%PDF")
        with Image.open(store.path / "grid.png") as image:
            assert 330 <= image.width <= 350
        assert not (store.path / "grid.svg").exists()


@pytest.mark.parametrize(
    "given", [{"formats": ("gif",)}, {"formats": ()}, {"width": "wide"}, {"dpi": 1}, {"dpi": "x"}]
)
def test_what_is_no_way_to_print_is_one_line(given):
    with pytest.raises(InputError):
        Printing(**given)


def test_dots_per_inch_are_those_asked_for(tmp_path):
    path = save_figure(curve(), tmp_path / "curve.png", dpi=50)
    with Image.open(path) as image:
        assert image.size == (230, 160)


def test_a_model_has_the_colour_of_the_page_wherever_it_stands():
    page = Path(robust_reps_ext.__file__).parent / "report" / "templates" / "style.css.j2"
    light = page.read_text("utf-8").partition("@media")[0]
    assert {name: re.search(rf"--{name}: (#\w+);", light)[1] for name in ROLES} == ROLES
    for labels in (["standard", "robust"], ["standard"], ["mine", "robust", "other"]):
        lines = [Line([1.0, 0.5], label=label) for label in labels]
        drawn = curve_figure([1, 2], lines).axes[0].get_lines()
        colours = dict(zip(labels, (line.get_color() for line in drawn), strict=True))
        assert len(set(colours.values())) == len(labels)
        for name, colour in colours.items():
            assert colour == ROLES.get(name, colour)


def test_numbers_have_two_digits():
    shown = [two_digits(one) for one in (0.0, 0.5, 0.0123, 12.7, 1234.5, -0.276)]
    assert shown == ["0", "0.5", "0.012", "13", "1200", "−0.28"]
