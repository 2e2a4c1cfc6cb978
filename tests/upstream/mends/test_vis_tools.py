"""Upstream's plots: any labels, tensors of any kind, and no figure left open."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
import pytest
import torch

from robust_reps_ext.runtime.errors import InputError

mpl.use("Agg")

import matplotlib.pyplot as plt
from robustness.tools import vis_tools

RUNS = pd.DataFrame(
    {"exp_id": ["a", "b", "c"], "eps": [1.0, 3.0, 3.0], "arch": ["vgg16", "vgg16", "resnet50"]}
)


@pytest.mark.parametrize(
    ("criteria", "values", "expected"),
    [
        ([], [], ["a", "b", "c"]),
        (["eps"], [3.0], ["b", "c"]),
        (["eps", "arch"], [3.0, "vgg16"], ["b"]),
        (["arch"], [["vgg16", "resnet50"]], ["a", "b", "c"]),
        (["eps"], [7], []),
    ],
)
def test_filter_data_gives_the_matching_experiments(criteria, values, expected):
    assert vis_tools.filter_data(RUNS, criteria, values) == expected
    assert vis_tools.filter_data(RUNS.set_index("arch", drop=False), criteria, values) == expected


def test_filter_data_names_a_missing_column():
    with pytest.raises(InputError, match="no column 'lr': choose from exp_id, eps, arch"):
        vis_tools.filter_data(RUNS, ["lr"], [1])


@pytest.fixture
def shown(monkeypatch):
    """The figures, as they are when they would be shown."""
    figures = []
    monkeypatch.setattr(plt, "close", lambda: figures.append(plt.gcf()))
    yield figures
    monkeypatch.undo()
    plt.close("all")


@pytest.mark.parametrize("labels", [[3, 7], ["dog", "cat"], torch.tensor([1, 5])])
def test_tsne_takes_any_labels_and_few_points(shown, labels):
    vis_tools.plot_tsne(torch.randn(6, 4, requires_grad=True), [*labels] * 3)
    (dots,) = shown[0].axes[0].collections
    assert dots.get_offsets().shape == (6, 2)
    assert len({tuple(colour) for colour in dots.get_facecolors()}) == 2
    with pytest.raises(InputError, match="2 representations"):
        vis_tools.plot_tsne(torch.randn(2, 4), [0, 1])


def test_rows_and_columns_lie_as_they_are_called(shown, tmp_path):
    grid = [
        [torch.full((3, 2, 2), (3 * i + j) / 10, requires_grad=True) for j in range(3)]
        for i in range(2)
    ]
    titles = [["a", "b", "c"], ["d", "e", "f"]]
    vis_tools.show_image_row(grid, ["top", "bottom"], tlist=titles, filename=tmp_path / "row.png")
    vis_tools.show_image_column(grid, tlist=titles)
    vis_tools.show_image_column(grid, ["left", "right"])
    row, column, named = (figure.axes for figure in shown)
    assert (tmp_path / "row.png").stat().st_size
    assert [ax.images[0].get_array().max() * 10 for ax in row] == pytest.approx(range(6))
    assert [ax.get_title() for ax in row] == list("abcdef")
    assert [ax.get_ylabel() for ax in row] == ["top", "", "", "bottom", "", ""]
    assert [ax.images[0].get_array().max() * 10 for ax in column] == pytest.approx(
        [0, 3, 1, 4, 2, 5]
    )
    assert [ax.get_title() for ax in column] == list("adbecf")
    assert [ax.get_title() for ax in named] == ["left", "right", "", "", "", ""]


def test_no_figure_stays_open():
    before = plt.get_fignums()
    vis_tools.show_image_row([[torch.rand(3, 2, 2)]])
    vis_tools.show_image_column([[torch.rand(1, 2, 2)]])
    assert plt.get_fignums() == before
