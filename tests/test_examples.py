"""The examples run as their first lines say, with few steps."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch
from PIL import Image
from robustness.datasets import DATASETS
from robustness.model_utils import make_and_restore_model

import robust_reps_ext as rr

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A file as training writes it, of an untrained network."""
    torch.manual_seed(0)
    data = DATASETS["critters_fine"]()
    model, _ = make_and_restore_model(arch="critters_resnet", dataset=data)
    path = tmp_path_factory.mktemp("run") / "checkpoint.pt.latest"
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"model": state, "epoch": 3}, path)
    return path


@pytest.fixture
def run(monkeypatch):
    def call(name, *arguments):
        monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")

    return call


def test_quick_tour(run, checkpoint, tmp_path):
    run("quick_tour.py", "--model", checkpoint, "--out", tmp_path / "tour", "--iterations", 2)
    pictures = sorted(path.name for path in (tmp_path / "tour").iterdir())
    assert pictures == [
        "added.png",
        "features.png",
        "interpolation.png",
        "inversion.png",
        "radii.png",
    ]
    for name in pictures:
        with Image.open(tmp_path / "tour" / name) as picture:
            assert len(picture.convert("RGB").getcolors(10**6)) > 1000


def test_compare_inversions(run, checkpoint, tmp_path):
    out = tmp_path / "inversion.png"
    run(
        "compare_inversions.py", out, "--robust", checkpoint, "--standard", checkpoint,
        "--iterations", 1,
    )  # fmt: skip
    assert out.stat().st_size > 10_000


def test_export_model(run, checkpoint, tmp_path, monkeypatch):
    data = DATASETS["critters_fine"]
    few = data.make_loaders

    def fewer(self, *args, **kwargs):
        _, loader = few(self, *args, **kwargs)
        return None, [next(iter(loader))]

    monkeypatch.setattr(data, "make_loaders", fewer)
    out = tmp_path / "tiny.safetensors"
    run("export_model.py", out, "--checkpoint", checkpoint, "--command", "none", "--eps", "0.1")
    card = json.loads(out.with_suffix(".json").read_text())
    assert set(card["accuracies"]) == {
        "critters_fine clean",
        "critters_fine PGD-20",
        "critters clean",
        "critters PGD-20",
    }
    exported, original = rr.load_model(out), rr.load_model(checkpoint)
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(exported(x)[0], original(x)[0])
