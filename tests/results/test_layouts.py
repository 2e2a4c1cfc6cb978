"""What must be true of the paper's figures: which image, and which words, stand where."""

from __future__ import annotations

import pytest
import torch

from robust_reps_ext.results import layouts
from robust_reps_ext.results.captions import fitted, width_of
from robust_reps_ext.results.figures import Panel, Row, panel_figure
from robust_reps_ext.results.synthesis import Synthesis


def synthesis(n, *, targets=False):
    """Image i is of the grey i / 100, its start of half of it; its target is white."""
    images = (torch.arange(n) / 100).view(n, 1, 1, 1).expand(n, 3, 4, 4)
    value = torch.arange(n) / 10
    white = torch.ones_like(images) if targets else None
    return Synthesis(images, images / 2, value, value[None], torch.zeros(1), {}, {}, white)


def greys(row):
    """Which image each is."""
    return (row.images[:, 0, 0, 0] * 100).round().int().tolist()


def test_rows_of_features_are_seeds_and_the_first_column_is_the_seed():
    found = synthesis(2 * 3)
    [panel] = layouts.features(found, [5, 9, 7], predicted=list("abcdef"), seeds=["noise", "dog"])
    first, second = panel.rows
    assert greys(first) == [0, 0, 1, 2]
    assert torch.equal(second.images[0], found.start[3])
    assert greys(second)[1:] == [3, 4, 5]
    assert list(first.heads) == ["seed", "5", "9", "7"]
    assert second.heads is None
    assert list(second.captions) == ["dog", "d", "e", "f"]
    assert list(second.positions) == [-1, 3, 4, 5]


def test_many_coordinates_make_panels_of_their_own_each_with_the_seeds():
    panels = layouts.features(synthesis(2 * 20), list(range(20)), title="robust")
    assert [len(panel.rows[0].images) for panel in panels] == [11, 11]
    assert all(len(panel.rows) == 2 for panel in panels)
    assert [panel.title for panel in panels] == ["robust", "robust, more coordinates"]
    assert greys(panels[1].rows[1])[1:] == list(range(30, 40))


def test_interpolations_have_a_column_for_each_lambda():
    runs = {"robust": synthesis(6), "standard": synthesis(6)}
    panels = layouts.interpolations(runs, [0, 0.5, 1], ["dog", "cat"], ["frog", "crab"])
    assert [panel.title for panel in panels] == ["dog → frog", "cat → crab"]
    blend, robust, standard = panels[1].rows
    assert [row.label for row in panels[1].rows] == ["pixel blend", "robust", "standard"]
    assert torch.equal(blend.images, runs["robust"].start[3:].flip(0))
    assert greys(robust) == greys(standard) == list(robust.positions) == [5, 4, 3]
    assert list(blend.heads) == ["cat\nλ = 1", "λ = 0.5", "crab\nλ = 0"]
    assert not panels[0].wraps


def test_eighths_are_told_as_they_are():
    [panel] = layouts.interpolations({"robust": synthesis(2)}, [0.375, 0.625], ["dog"], ["frog"])
    assert list(panel.rows[0].heads) == ["dog\nλ = 0.625", "frog\nλ = 0.375"]


def test_radii_stand_between_source_and_target():
    found = synthesis(3 * 2, targets=True)
    [panel] = layouts.radii({"robust": found}, [1, 2, 8], ["dog", "cat"], shown=[1, 2])
    assert [list(row.positions) for row in panel.rows] == [[-1, 2, 4, -1], [-1, 3, 5, -1]]
    assert greys(panel.rows[1])[1:] == [3, 5, 100]
    assert torch.equal(panel.rows[1].images[0], found.start[1])
    assert list(panel.rows[0].heads) == ["source", "L2 ≤ 2", "L2 ≤ 8", "target"]
    assert panel.rows[1].captions[-1] == "cat"


def test_extremes_stand_beside_what_is_made_from_grey():
    ends = {"most": torch.full((4, 3, 4, 4), 0.9), "least": torch.full((4, 3, 4, 4), 0.5)}
    said = {end: [f"{end} {i}" for i in range(4)] for end in ends}
    [panel] = layouts.extremes(synthesis(2), [4, 8], ends, said)
    assert greys(panel.rows[1]) == [1, 90, 90, 50, 50]
    assert list(panel.rows[1].captions) == ["0.10", "most 2", "most 3", "least 2", "least 3"]
    assert panel.rows[0].heads[:2] == ["maximized from grey", "most activated"]


def test_inversions_of_two_kinds_are_two_panels():
    about = {"labels": list("abc"), "start": "noise", "kinds": [["Test set", 2], ["Outside", 1]]}
    first, second = layouts.inversions({"robust": synthesis(3, targets=True)}, about)
    assert [row.label for row in first.rows] == ["target", "robust"]
    assert greys(second.rows[1]) == list(second.rows[1].positions) == [2]
    assert second.rows[0].captions == ["c"]
    assert second.rows[1].captions == ["0.20"]
    assert second.title == "Outside"


def test_sources_stand_under_targets_with_their_own_names():
    about = {"labels": ["dog"], "sources": ["cat"], "start": "images"}
    [panel] = layouts.inversions({"robust": synthesis(1, targets=True)}, about)
    assert [(row.label, row.captions) for row in panel.rows] == [
        ("target", ["dog"]), ("source", ["cat"]), ("robust", ["0"]),
    ]  # fmt: skip


def test_words_are_broken_before_they_are_made_smaller():
    words, size = fitted(["leads after 32 steps", "no"], 0.6, 7.0)
    assert words == ["leads after\n32 steps", "no"]
    assert size == 7.0
    [word], size = fitted(["Staffordshirebullterrier"], 0.8, 7.0)
    assert size < 7.0
    assert width_of(word, size) == pytest.approx(0.8, rel=0.05)


def test_titles_heads_and_captions_do_not_touch():
    images = torch.rand(3, 3, 16, 16)
    long = ["black-and-tan coonhound that did not lead in 800 steps"] * 3
    panels = [
        Panel([Row(images, "seed", long, long), Row(images, "", long)], "a title wider than images")
        for _ in range(2)
    ]
    figure = panel_figure(panels)
    figure.canvas.draw()
    boxes = [one.get_window_extent() for one in (*figure.axes, *figure.texts)]
    for i, box in enumerate(boxes):
        assert min(box.x0, box.y0) >= -1
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y1 <= figure.bbox.y1 + 1
        for other in boxes[:i]:
            width = min(box.x1, other.x1) - max(box.x0, other.x0)
            height = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(width, height) < 2
