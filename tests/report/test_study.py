"""The page of a study: what it asks about results on the disk, and what is no study."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import torch

from robust_reps_ext.report.study import Trial, trials_of, write_study
from robust_reps_ext.results.store import ExperimentStore
from robust_reps_ext.results.synthesis import Synthesis
from robust_reps_ext.results.units import Found, Heading, keep
from robust_reps_ext.runtime.errors import InputError

NAMES = ("dog", "cat", "frog")


def made(n, *, targets=True):
    """Image i is of the grey i / n, and so is its target."""
    greys = (torch.arange(n) / n)[:, None, None, None].expand(n, 3, 8, 8).contiguous()
    zeros = torch.zeros(1, n)
    return Synthesis(
        greys, greys, zeros[0], zeros, torch.zeros(1), {}, {}, greys if targets else None
    )


@pytest.fixture
def out(tmp_path):
    """An inversion of six images, stored in two parts."""
    given = {"settings": {}, "provenance": {"model": "robust"}}
    with ExperimentStore.create(tmp_path, experiment="invert", **given) as store:
        for name, first in (("a", 0), ("b", 3)):
            rows = [{"label": NAMES[i], "index": first + i} for i in range(3)]
            store.add(name, made(3), rows=rows)
    return tmp_path


def facts(page):
    text = page.read_text()
    return json.loads(re.search(r'id="facts">(.*?)</script>', text, re.S)[1])


def test_classes(out):
    trials = trials_of(out)
    assert [trial.choices[trial.truth] for trial in trials] == [*NAMES, *NAMES]
    assert {trial.condition for trial in trials} == {"invert robust"}
    assert [trial.name for trial in trials][:2] == ["dog 0", "cat 1"]
    for trial, grey in zip(trials, [0, 1 / 3, 2 / 3] * 2, strict=True):
        assert float(trial.image.mean()) == pytest.approx(grey)
    some = trials_of(out, choices=["cat", "dog"])
    assert len(some) == 4


def test_pairs(out):
    """The right picture is the target of the image; the other is another one, on either side."""
    trials = trials_of(out, kind="pairs")
    assert len(trials) == 6
    for trial in trials:
        assert torch.equal(trial.choices[trial.truth], trial.image)
        assert not torch.equal(trial.choices[1 - trial.truth], trial.image)
    assert {trial.truth for trial in trials_of(out, kind="pairs", seed=3)} == {0, 1}


def test_the_same_target_is_not_offered_twice(tmp_path):
    """Of several layers or radii, each has the targets again."""
    run = made(4)
    run = replace(run, target_images=run.target_images[[0, 1, 0, 1]])
    with ExperimentStore.create(tmp_path, experiment="curve", settings={}) as store:
        rows = [{"radius": radius, "left": i, "right": i} for radius in (1.0, 2.5) for i in (0, 1)]
        store.add("a", run, rows=rows)
    trials = trials_of(tmp_path, kind="pairs")
    assert [trial.condition for trial in trials] == ["curve, radius 1"] * 2 + [
        "curve, radius 2.5"
    ] * 2
    for trial, target in zip(trials, run.target_images, strict=True):
        assert torch.equal(trial.choices[trial.truth], target)
        assert not torch.equal(*trial.choices)
    with ExperimentStore.create(tmp_path / "alike", experiment="invert", settings={}) as store:
        alike = replace(run, target_images=run.target_images[[0, 0, 0, 0]])
        store.add("a", alike, rows=[{"index": i} for i in range(4)])
    with pytest.raises(InputError, match="no results that can be asked about"):
        trials_of(tmp_path / "alike", kind="pairs")


def test_the_truth_of_an_edited_image_is_the_class_it_went_to(tmp_path):
    with ExperimentStore.create(tmp_path, experiment="translate", settings={}) as store:
        rows = [{"label": "dog", "class": NAMES[i], "index": i} for i in range(3)]
        store.add("a", made(3), rows=rows)
    trials = trials_of(tmp_path)
    assert [trial.choices[trial.truth] for trial in trials] == list(NAMES)


def test_a_section_of_the_page_is_not_asked_about_again(out):
    heading = Heading("inversion", "grid", "", "")
    keep(out, heading, Found({"robust": made(6)}), {"digest": "d", "study": {}})
    assert len(trials_of(out, kind="pairs")) == 6
    only = out / "only"
    keep(only, heading, Found({"robust": made(6)}), {"digest": "d", "study": {}})
    assert len(trials_of(only, kind="pairs")) == 6


def test_interpolations_are_placed_between_their_ends(tmp_path):
    given = {"settings": {"steps": 2}, "provenance": {"model": "robust"}}
    with ExperimentStore.create(tmp_path, experiment="interpolate", **given) as store:
        rows = [
            {"left": "dog", "right": "cat", "lambda": weight}
            for _ in range(2)
            for weight in (0.0, 0.5, 1.0)
        ]
        store.add("a", made(6), rows=rows)
    trials = trials_of(tmp_path, kind="pairs")
    assert [trial.condition[-3:].strip() for trial in trials] == ["a 0", "0.5", "a 1"] * 2
    assert all(trial.truth is None for trial in trials)
    ends = [[float(one.mean()) for one in trial.choices] for trial in trials]
    assert ends[4] == pytest.approx([0.5, 5 / 6])
    with pytest.raises(InputError, match="no results that can be asked about as classes"):
        trials_of(tmp_path)


def test_the_page_holds_everything_and_lets_nothing_run(tmp_path):
    image = torch.rand(3, 8, 8)
    evil = "</script><script>alert(1)</script>"
    trials = [
        Trial(image, [evil, "b"], 0, "c", evil),
        Trial(image, [image, 1 - image], 1, "c", "x"),
    ]
    page = write_study(tmp_path / "study.html", trials, seed=4, milliseconds=200, title=evil)
    text, held = page.read_text(), facts(page)
    assert "<script>alert" not in text
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert held["trials"][0]["choices"] == [evil, "b"]
    assert held["trials"][1]["pictures"]
    assert (held["seed"], held["milliseconds"]) == (4, 200)
    again = write_study(tmp_path / "again.html", trials, seed=5)
    assert facts(again)["study"] != held["study"]


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        (("c", ["a"], 0), "nothing to choose from"),
        (("c", ["a", "b"], 2), "truth=2"),
    ],
)
def test_what_is_no_trial(tmp_path, trial, said):
    name, choices, truth = trial
    with pytest.raises(InputError, match=said):
        write_study(tmp_path / "x.html", [Trial(torch.rand(3, 8, 8), choices, truth, "", name)])


def test_what_is_no_study(out, tmp_path):
    with pytest.raises(InputError, match="no trials"):
        write_study(tmp_path / "x.html", [])
    with pytest.raises(InputError, match="milliseconds=0"):
        write_study(tmp_path / "x.html", trials_of(out), milliseconds=0)
    with pytest.raises(InputError, match="kind='both'"):
        trials_of(out, kind="both")


def test_too_many_classes(tmp_path):
    with ExperimentStore.create(tmp_path, experiment="invert", settings={}) as store:
        store.add("a", made(20), rows=[{"label": f"class {i}", "index": i} for i in range(20)])
    with pytest.raises(InputError, match="20 classes: name up to 16"):
        trials_of(tmp_path)
    assert len(trials_of(tmp_path, kind="pairs")) == 20


def test_the_command(command, out):
    status, said, err = command("study", out, "--kind", "pairs", "--milliseconds", 300)
    assert status == 0, err
    assert "6 trials, 1 conditions" in said
    assert facts(out / "study.html")["milliseconds"] == 300
    assert "4 trials" in command("study", out, "--choices", "cat, dog")[1]
