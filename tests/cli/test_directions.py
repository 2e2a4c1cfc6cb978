"""The command `directions`: what it writes is what `rr.directions` finds."""

from __future__ import annotations

from functools import partial

import pandas
import pytest
import torch
from robustness.datasets import DATASETS
from robustness.model_utils import make_and_restore_model
from torch.utils.data import DataLoader

import robust_reps_ext as rr
from robust_reps_ext.datasets.samples import validation_set
from robust_reps_ext.results.directions import Directions
from robust_reps_ext.results.reader import read_results
from robust_reps_ext.results.synthesis import Synthesis


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Files of two untrained networks."""
    root = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("one", "other")):
        torch.manual_seed(seed)
        model, _ = make_and_restore_model(arch="critters_resnet", dataset=DATASETS["critters"]())
        state = {f"module.{key}": value for key, value in model.state_dict().items()}
        torch.save({"model": state, "epoch": 1}, root / f"{name}.pt")
    return [root / f"{name}.pt" for name in ("one", "other")]


@pytest.fixture
def call(command, two, tmp_path, monkeypatch):
    """Run it on one network or both; its status, lines and error."""
    data_set = partial(DATASETS["critters"], custom_class_args={"n_val": 27})
    monkeypatch.setitem(DATASETS, "critters", data_set)

    def run(*words, models=two[:1]):
        models = [word for model in models for word in ("--model", model)]
        return command(
            *("directions", *models, "--dataset", "critters", "--iterations", 1),
            *("--out", tmp_path / "out", *words),
        )

    return run


@pytest.mark.parametrize("method", ["pca", "class", "probe"])
def test_it_writes_the_directions_and_what_raises_each(call, two, tmp_path, method):
    status, said, err = call("--method", method, "--components", 3, "--k", 1)
    assert status == 0, err
    [stored] = read_results(tmp_path / "out")
    found = Directions.load(stored.path / "directions.safetensors")
    model = rr.load_model(str(two[0]), dataset=(data := DATASETS["critters"]()))
    wanted = rr.directions(
        model,
        DataLoader(validation_set(data), 32),
        method=method,
        components=3,
        k=1,
        names=data.classes,
    )
    assert torch.equal(found.vectors, wanted.vectors)
    assert found.names == wanted.names
    raised = Synthesis.load(stored.path / "raised.safetensors")
    rows = stored.results[stored.results["name"] == "raised"]
    assert len(raised) == len(found.names) == len(rows)
    assert rows["direction"].tolist() == found.names
    assert rows["most_index"].tolist() == found.most.index.tolist()
    assert (stored.path / "directions.png").is_file()
    assert "directions.png" in said
    if method == "probe":
        table = pandas.read_csv(stored.path / "sparsity.csv")
        assert table["accuracy"].tolist() == pytest.approx(wanted.sparsity.accuracy.tolist())
        assert len(rows["features"][0]) == len(wanted.features(0))
        page = (stored.path / "classes.html").read_text()
        assert all(f"<h3>{name}</h3>" in page for name in found.names)
        assert "<script" not in page
        few = [found.features(i, 5) for i in range(9)]
        assert page.count(">coordinate ") == sum(map(len, few))
        features = Synthesis.load(stored.path / "features.safetensors")
        assert len(features) == len({place for one in few for place, _ in one})


def test_two_networks_stand_in_one_picture_and_nothing_is_made_twice(call, two, tmp_path):
    words = ("--method", "class", "--n", 18, "--k", 1)
    status, _, err = call(*words, models=two)
    assert status == 0, err
    pictures = [*(tmp_path / "out").glob("*.directions.png")]
    assert [path.name for path in pictures] == ["directions-one-other-class-k1-n18.directions.png"]
    files = sorted((tmp_path / "out").glob("*/raised.safetensors"))
    assert len(files) == 2
    before = [path.stat().st_mtime_ns for path in files]
    (files[0].parent / "directions.safetensors").unlink()
    status, _, err = call(*words, models=two)
    assert status == 0, err
    assert [path.stat().st_mtime_ns for path in files] == before
    assert (files[0].parent / "directions.safetensors").is_file()
