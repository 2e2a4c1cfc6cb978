"""What every command does at an image that cannot be read."""

from __future__ import annotations

import pytest
import torch
from bad_image_trees import BAD, CLASSES, EACH, FORKS, GOOD
from robustness import datasets

from robust_reps_ext import cli
from robust_reps_ext.datasets.critters.networks import critters_resnet
from robust_reps_ext.results.reader import read_results
from robust_reps_ext.upstream.mends.main import run as training


@pytest.fixture
def run(monkeypatch, capfd, tree, small):
    """Call `robust-reps` on the tree; its status, what it says, and its experiment."""
    torch.manual_seed(0)
    torch.save(critters_resnet(num_classes=len(CLASSES)).state_dict(), tree / "model.pt")

    def command(name, *words):
        given = ["--model", tree / "model.pt", "--dataset", "small", "--data", tree]
        line = ["robust-reps", name, *given, "--out", tree / "out", *words]
        monkeypatch.setattr("sys.argv", list(map(str, line)))
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, capfd.readouterr().err

    return command


SKIP = ("--on-bad-image", "skip")


def test_commands_stop_or_skip_as_asked(run, tree, caplog):
    status, said = run("evaluate", "--attack-steps", "1")
    assert status == 2
    assert said.strip().splitlines()[-1].startswith(f"error: cannot read the image {tree}/val/ant/")
    assert not (tree / "out").exists()
    status, said = run("evaluate", "--attack-steps", "1", *SKIP)
    assert status == 0, said
    skips = [one.getMessage()[:16] for one in caplog.records if "skipped" in one.getMessage()]
    assert skips == ["skipped image 1:", "skipped image 2:"]
    [experiment] = read_results(tree / "out")
    assert experiment.results["n"].tolist() == [len(GOOD)] * 2


def test_activations_name_the_right_images(run, tree):
    """A passed-over image must not move the places of those after it."""
    status, said = run("activations", "--coordinates", "3", "--k", "10", "--iterations", "1", *SKIP)
    assert status == 0, said
    [experiment] = read_results(tree / "out")
    [row] = experiment.results.to_dict("records")
    assert sorted(row["most_index"]) == sorted(row["least_index"]) == GOOD
    labels = [CLASSES[i // EACH] for i in row["most_index"]]
    assert row["most"] == labels


def test_inversions_keep_the_places_of_their_targets(run, tree):
    status, said = run("invert", "--n", "10", "--iterations", "1", *SKIP)
    assert status == 0, said
    [experiment] = read_results(tree / "out")
    rows = experiment.results.to_dict("records")
    assert sorted(row["index"] for row in rows) == GOOD
    assert all(row["label"] == CLASSES[row["index"] // EACH] for row in rows)


@FORKS
@pytest.mark.parametrize("workers", [0, 2])
def test_training_stops_or_skips_as_asked(tree, small, monkeypatch, capfd, caplog, workers):
    given = (
        f"--dataset cinic --data {tree} --arch any --adv-train 0 --epochs 2 --lr 0.01 "
        f"--momentum 0.9 --weight-decay 0 --batch-size 5 --workers {workers} --log-iters 1 "
        f"--step-lr 10 --out-dir {tree / 'runs'} --seed 0"
    ).split()
    monkeypatch.setitem(datasets.DATASETS, "cinic", small)
    with pytest.raises(SystemExit) as end:
        training(given)
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert end.value.code == 2
    assert last.startswith(f"error: cannot read the image {tree}/train/")
    with pytest.raises(SystemExit) as end:
        training([*given, *SKIP])
    assert not end.value.code, capfd.readouterr().err
    said = [one.getMessage() for one in caplog.records if "skipped image" in one.getMessage()]
    assert len(said) == 2 * len(BAD)
