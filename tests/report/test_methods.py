"""What the page says of runs and accuracies, on numbers that were made for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from robust_reps_ext.report.accuracy import accuracies, near_chance
from robust_reps_ext.report.methods import method, outcome, unsettled
from robust_reps_ext.report.scorecard import scorecard_rows
from robust_reps_ext.results.synthesis import Synthesis
from robust_reps_ext.results.units import FinishedUnit


def run(end=0.2, *, before=None, n=2, **settings):
    """Of distances that fall from 1 to `end`, three quarters of the way at `before`."""
    images = torch.zeros(n, 3, 8, 8)
    values = [1.0, 0.5, 0.4, end if before is None else before, end]
    told = {
        "iterations": 8, "step_size": 1.0, "schedule": "paper", "eps": 100.0, "constraint": "2",
        "precision": "float32", "targeted": True, **settings,
    }  # fmt: skip
    trace = torch.tensor(values)[:, None].expand(5, n)
    steps = torch.tensor([0, 2, 4, 6, 8])
    return Synthesis(images, images, trace[-1], trace, steps, told, {"seed": 3})


def test_how_runs_were_made_is_one_line_where_they_are_alike():
    assert method({"robust": run(), "standard": run()}, {}) == [
        "8 steps of 1 each, anywhere in [0, 1], float32, seed 3"
    ]
    faster = run(schedule="lbfgs", eps=[0.5, 2.0], computed_in="bfloat16", patience=100)
    assert method({"robust": run(), "standard": faster}, {})[1] == (
        "standard: 8 steps of 1 at most, schedule lbfgs, an image is left once 100 steps change "
        "it by less than 1%, within L2 0.5 to 2 of the start, bfloat16, seed 3"
    )


def test_runs_are_called_as_beside_their_images():
    rows = [
        {"run": "robust-0", "label": "no regulariser"},
        {"run": "standard-1", "label": "no regulariser"},
        {"run": "standard-2", "label": "jitter, rotation"},
        {"run": "standard-3", "label": "no regulariser"},
    ]
    runs = {row["run"]: run(iterations=8 + (row["label"] != "no regulariser")) for row in rows}
    said = method(runs, {"panels": [{"rows": rows}]})
    assert said[0].startswith("robust, no regulariser; standard, no regulariser: 8 steps of")
    assert said[1].startswith("standard, jitter, rotation: 9 steps of")


def test_what_holds_images_is_told_in_words():
    [said] = method({"robust": run(constraint="MagnitudeConstrainedStep_0123abcd")}, {})
    assert said == (
        "8 steps of 1 each, the phase alone, under a fixed Fourier magnitude, float32, seed 3"
    )
    assert ", constraint MyOwn_Step," in method({"robust": run(constraint="MyOwn_Step")}, {})[0]


def test_a_distance_that_still_falls_is_told():
    assert unsettled({"robust": run(0.2)}) == ""
    assert "2 of 2 (robust)" in unsettled({"robust": run(0.2, before=0.3), "standard": run()})
    assert "standard" not in unsettled({"robust": run(0.2, before=0.3), "standard": run()})
    # What hangs about zero, and what is raised without an end, has nowhere to arrive.
    assert unsettled({"robust": run(0.001, before=0.003)}) == ""
    assert unsettled({"robust": run(0.2, before=0.3, targeted=False)}) == ""


def test_what_was_found():
    runs = {"robust": run(0.123), "standard": run(0.5)}
    assert outcome("grid", runs, {}) == "Mean distance that is left: robust 0.12, standard 0.50."
    assert outcome("interpolation", {"robust": run(0.123)}, {"weights": [0.0, 0.5]}) == (
        "Mean distance that is left between the ends: robust 0.12."
    )
    lines = [
        {"name": "robust", "y": [1.2, 1.1, 0.5]},
        {"name": "standard", "y": [1.2, 1.0, 0.7]},
    ]
    assert "robust at radius 8, standard not within 8" in outcome(
        "curve", runs, {"radii": [1.0, 2.0, 8.0], "lines": lines}
    )
    farther = {"radii": [1.0, 2.0, 128.0], "lines": lines[1:]}
    assert "standard not within 128" in outcome("curve", runs, farther)
    said = {"title": "coordinate 7 (random)", "said": ["leads after 3 steps", "did not lead"]}
    assert "1 of 2 images, coordinate 7." in outcome("additions", runs, {"additions": {"a": said}})
    seen = {"coordinates": {"robust": [4, 5]}, "predicted": {"robust": ["a", "b", "a", "c"]}}
    assert "robust 1 of 2" in outcome("features", runs, seen | {"seeds": ["noise", "x"]})
    most = {"coordinates": {"robust": [4, 5]}, "labels": {"robust-most": ["a", "a", "a", "b"]}}
    assert "1 of 2 (robust)" in outcome("activations", runs, most)
    assert outcome("regularized", runs, {}) == ""


def table(share, low, classes=10, weights="w"):
    one = {"share": share, "interval": [low, 1.0]}
    metadata = {
        "columns": ["clean"], "rows": {"robust": [one]}, "images": 50, "classes": classes,
    }  # fmt: skip
    study = {"models": {"robust": {"weights": weights}}}
    return FinishedUnit(Path("x"), {"kind": "table", "metadata": metadata, "study": study})


@pytest.mark.parametrize(
    ("low", "classes", "near"), [(0.12, 10, True), (0.4, 10, False), (0.52, 2, True)]
)
def test_a_network_that_guesses_is_told(low, classes, near):
    assert bool(near_chance([table(0.6, low, classes)])) is near


def test_an_old_table_without_its_number_of_classes_says_nothing():
    assert near_chance([table(0.1, 0.05, None)]) == []


def test_accuracies_are_those_of_the_same_weights():
    assert accuracies([table(0.875, 0.8)], {"robust": {"weights": "w"}}) == {"robust": "clean 88%"}
    assert accuracies([table(0.875, 0.8)], {"robust": {"weights": "other"}}) == {}


def test_measures_of_a_unit_share_an_axis():
    def measure(name, unit, low, high):
        one = {"value": (low + high) / 2, "low": low, "high": high}
        roles = dict.fromkeys(("robust", "standard", "difference"), one)
        rest = {"larger": True, "chance": None, "verdict": "separates", "n": [3, 8]}
        return {"name": name, "unit": unit, **roles, **rest}

    measures = [measure("a", "number", 0.0, 1.0), measure("b", "number", 0.5, 4.0)]
    claim = {"name": "c", "section": "s", "statement": "t", "measures": measures}
    [found] = scorecard_rows({"claims": [claim]})
    a, b = found["measures"]
    assert a["ends"] == b["ends"]
    assert a["marks"]["robust"]["high"] < b["marks"]["robust"]["high"] < 1
    assert (a["n"], a["meaning"]) == ("3 × 8", "")
