"""What is kept is read like any command's results, and the command shown makes it again."""

from __future__ import annotations

import runpy
import shlex

import pytest
import torch
from explorers import Page, bundled, serving, tiny

import robust_reps_ext as rr
from robust_reps_ext.datasets.photographs import photographs
from robust_reps_ext.results.reader import read_results
from robust_reps_ext.results.synthesis import Synthesis

PAIR = ("photographs-robust", "photographs-standard")


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    out = tmp_path_factory.mktemp("explorer") / "out"
    images = photographs(3, size=64)
    images = (images * 255).round() / 255
    with serving([bundled(name) for name in PAIR], images, out) as found:
        yield found


@pytest.fixture
def page(explorer):
    with Page(explorer) as found:
        yield found


def kept(page, run):
    status, said = page.ask(f"/runs/{run}/keep")
    assert status == 200, said
    found = {one.path.name: one for one in read_results(page.explorer.out)}
    return said, [found[folder.rpartition("/")[2]] for folder in said["folders"]]


def of(experiment):
    [file] = experiment.tensors.values()
    return Synthesis.load(file)


def made_again(command, line, tmp_path, pick):
    """By each network, the images that the command makes."""
    words = shlex.split(line)
    assert words[0] == "robust-reps"
    words[words.index("--out") + 1] = str(tmp_path / "again")
    status, _, said = command(*words[1:])
    assert status == 0, said
    return {one.metadata["model"]: pick(one) for one in read_results(tmp_path / "again")}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("wanted", "row", "pick"),
    [
        pytest.param({"image": 1, "iterations": 3}, {"label": "image 1"}, 0, id="match"),
        pytest.param(
            {"image": 1, "start": "grey", "layer": "body.4", "eps": 2.5, "iterations": 2},
            *({"label": "image 1"}, 0),
            id="at a layer",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"image": 1, "start": "other", "other": 2, "schedule": "paper", "iterations": 2},
            *({"label": "image 1", "source": "image 2"}, 0),
            id="pair",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"kind": "coordinate", "coordinate": 7, "start": "image", "iterations": 3},
            *({"coordinate": 7, "seed_image": "image 0"}, 1),
            id="coordinate of an image",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"kind": "coordinate", "coordinate": 7, "iterations": 3},
            *({"coordinate": 7, "seed_image": "noise"}, 0),
            id="coordinate",
        ),
        pytest.param(
            {"kind": "between", "other": 2, "place": 3, "iterations": 2},
            *({"left": "image 0", "right": "image 2"}, 3),
            id="between",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_command_makes_it_again(page, command, tmp_path, wanted, row, pick):
    run = page.begin((0, 1), **wanted)
    page.end(run, (0, 1))
    said, experiments = kept(page, run)
    assert len(experiments) == 2
    assert said["note"] == ""
    [line] = said["commands"]
    again = made_again(command, line, tmp_path, lambda one: of(one).images[pick])
    for experiment in experiments:
        assert experiment.results.iloc[0][[*row]].to_dict() == row
        assert experiment.results.iloc[0]["command"] == line
        run = of(experiment)
        assert len(run) == 1
        other = again[experiment.metadata["model"]]
        # The command makes several images of a coordinate or a slider at once.
        near = 1e-3 if "kind" in wanted else 0.0
        torch.testing.assert_close(run.images[0], other, rtol=0, atol=near)


@pytest.mark.usefixtures("undrawn")
def test_one_that_was_stopped_is_made_again_with_as_many_steps(page, command, tmp_path):
    run = page.begin((0,), image=2, schedule="paper")
    page.hear_until(lambda one: one["type"] == "frame" and one["step"] >= 2)
    page.ask(f"/runs/{run}/stop")
    last = page.end(run)[-1]
    assert last["state"] == "stopped"
    said, [experiment] = kept(page, run)
    assert f"--iterations {last['step']}" in said["commands"][0]
    again = made_again(command, said["commands"][0], tmp_path, lambda one: of(one).images[0])
    assert torch.equal(of(experiment).images[0], again["photographs-robust"])
    assert of(experiment).settings["stopped"]


@pytest.mark.usefixtures("undrawn")
def test_steps_whose_lengths_fall_say_that_the_command_makes_all(page):
    run = page.begin((1,), image=2, schedule="cosine-momentum")
    page.hear_until(lambda one: one["type"] == "frame" and one["step"] >= 2)
    page.ask(f"/runs/{run}/stop")
    step = page.end(run, (1,))[-1]["step"]
    said, _ = kept(page, run)
    assert said["note"] == (
        f"photographs-standard was stopped after {step} steps; the command makes all of them"
    )


@pytest.mark.usefixtures("undrawn")
def test_what_is_kept_twice_is_there_once(page, explorer):
    run = page.begin((0,), iterations=1)
    page.end(run)
    first, _ = kept(page, run)
    before = rr.results(explorer.out)["explore"]
    assert before["model"].iloc[-1] in PAIR
    assert kept(page, run)[0] == first
    assert len(rr.results(explorer.out)["explore"]) == len(before)


def test_networks_of_two_sizes_have_a_command_each(tmp_path, undrawn):
    from robust_reps_ext.explore.jobs import Job
    from robust_reps_ext.explore.keeping import keep
    from robust_reps_ext.explore.pictures import Picture
    from robust_reps_ext.explore.tabs import Run
    from robust_reps_ext.explore.wanted import Wanted

    networks = [tiny("small", side=8), tiny("large", side=12)]
    picture = Picture("a b.png", {(3, side): torch.zeros(1, 3, side, side) for side in (8, 12)})
    run = Run("0" * 16, Wanted("match", picture, start="grey", iterations=1), [0, 1])
    for network in networks:
        job = Job(lambda job, one=network: run.wanted.make(one, job), lambda *_: None)
        job.run()
        run.jobs.append(job)
    made = keep(run, networks, tmp_path, ["--dataset", "critters"])
    assert [shlex.split(one)[2:6] for one in made.commands] == [
        ["--model", name, "--dataset", "critters"] for name in ("small", "large")
    ]
    for line in made.commands:
        words = shlex.split(line)
        assert rr.load_images(words[words.index("--images") + 1]).shape[-1] in (8, 12)


def test_where_nothing_can_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with serving([tiny()], torch.zeros(1, 3, 8, 8), tmp_path / "file") as explorer:
        with Page(explorer) as page:
            run = page.begin(start="grey", iterations=1)
            page.end(run)
            status, said = page.ask(f"/runs/{run}/keep")
            assert status == 400
            assert "cannot make" in said["error"]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("wanted", "row"),
    [
        pytest.param(
            {"kind": "class", "class": 5, "start": "image", "mask": ["1000", *["0000"] * 3]},
            {"class": 5, "seed_image": "image 0"},
            id="class",
        ),
        pytest.param(
            {"kind": "direction", "other": 1, "start": "other", "layer": "body.4"},
            {"towards": "image 0", "away_from": "image 1"},
            id="direction",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"kind": "coordinate", "coordinate": 9, "mask": ["01", "11"]},
            {"coordinate": 9},
            id="coordinate",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"kind": "match", "start": "other", "other": 2, "mask": ["11", "00"], "eps": 3},
            {"source": "image 2"},
            id="match",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_script_makes_again_what_no_command_does(page, wanted, row):
    run = page.begin((1,), iterations=6, **wanted)
    assert page.end(run, (1,))[-1]["state"] == "done"
    said, [experiment] = kept(page, run)
    assert said["commands"] == [f"python {experiment.path / 'again.py'}"]
    assert experiment.results.iloc[0][[*row]].to_dict() == row
    runpy.run_path(str(experiment.path / "again.py"))
    made = Synthesis.load(experiment.path / "explored.safetensors")
    again = Synthesis.load(experiment.path / "again.safetensors")
    assert torch.equal(made.images, again.images)
    assert not torch.equal(made.images, made.start)
    if "mask" in wanted:
        still = (made.images == made.start).all(dim=1)[0]
        cells = torch.tensor([[c == "0" for c in line] for line in wanted["mask"]])
        assert still[
            cells.repeat_interleave(64 // len(cells), 0).repeat_interleave(64 // len(cells), 1)
        ].all()
