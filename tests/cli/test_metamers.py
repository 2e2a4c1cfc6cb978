"""The command `metamers`: what it leaves in its folder."""

from __future__ import annotations

from functools import partial

import pandas
import pytest
import torch
from PIL import Image
from robustness.datasets import DATASETS

import robust_reps_ext as rr
from robust_reps_ext.experiments.metamers import Null

GIVEN = (
    "metamers", "--model", "critters-standard", "--dataset", "critters_fine", "--n", 2,
    "--layers", "body.8,penultimate", "--pairs", 8, "--iterations", 1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    data_set = partial(DATASETS["critters_fine"], custom_class_args={"n_val": 18})
    monkeypatch.setitem(DATASETS, "critters_fine", data_set)


def test_what_it_leaves(command, tmp_path):
    status, said, err = command(*GIVEN, "--out", tmp_path / "out")
    assert status == 0, err
    assert "body.8" in said
    [folder] = (tmp_path / "out").glob("metamers-*")
    found = rr.Metamers.load(folder / "found.safetensors")
    assert found.layers == ["body.8", "penultimate"]
    assert len(found.null) == 8
    # Kept whole: the pairs of the batches that it took.
    assert len(Null.load(folder / "null.safetensors")) >= 8
    table = pandas.read_csv(folder / "metamers.csv")
    assert len(table) == 4
    assert table["success"].tolist() == found.success.flatten().tolist()
    for picture in ("metamers", "success", "null"):
        assert (folder / f"{picture}.png").stat().st_size > 1000
    again = command(*GIVEN, "--judges", "critters-vgg", "--out", tmp_path / "out")
    assert again[0] == 0
    judged = pandas.read_csv(folder / "recognition.csv")
    assert judged["judge"].tolist() == ["critters-vgg"] * 2
    assert torch.equal(rr.Metamers.load(folder / "found.safetensors").images, found.images)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--layer", "body.8"), "--layers"),
        (("--layers", "bdy.8"), "'bdy.8' is not in PhotographsResNet"),
        (("--layers", ""), "layer ''"),
    ],
)
def test_what_it_says_to_wrong_layers(command, tmp_path, given, said):
    status, _, err = command(*GIVEN, *given, "--out", tmp_path / "out")
    assert status == 2
    assert said in err


def test_pairs_need_a_data_set(command, tmp_path):
    """A network whose card names no data set that is drawn, and images of one's own."""
    torch.manual_seed(0)
    model = tmp_path / "own.pt"
    torch.save(DATASETS["critters"]().get_model("critters_resnet").state_dict(), model)
    Image.new("RGB", (64, 64), (9, 99, 200)).save(tmp_path / "own.png")
    given = (
        "--images",
        tmp_path / "own.png",
        "--mean",
        ".5,.5,.5",
        "--std",
        ".2,.2,.2",
        "--size",
        64,
    )
    status, _, err = command("metamers", "--model", model, *given, "--out", tmp_path / "out")
    assert status == 2
    assert "give --dataset" in err


@pytest.mark.slow
@pytest.mark.parametrize(("given", "steps"), [((), 200), (("--schedule", "cosine-momentum"), 100)])
def test_a_schedule_brings_its_number_of_steps(command, tmp_path, given, steps):
    few = [*GIVEN[:-2], *given]
    few[few.index("--n") + 1], few[few.index("--layers") + 1] = 1, "penultimate"
    assert command(*few, "--out", tmp_path / "out")[0] == 0
    [folder] = (tmp_path / "out").glob("metamers-*")
    found = rr.Metamers.load(folder / "found.safetensors")
    assert found.synthesis.settings["iterations"] == steps
