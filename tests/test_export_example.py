"""What `examples/export_model.py` writes is what it has read, and its card says what that does."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch
from tiny_imagenet_trees import grow
from torch.utils.data import Subset

import robust_reps_ext as rr
from robust_reps_ext.datasets import samples
from robust_reps_ext.datasets.photograph_networks import photographs_resnet

SCRIPT = Path(__file__).parents[1] / "examples/export_model.py"


@pytest.fixture
def export(monkeypatch, tmp_path):
    """The card, and the file beside it."""

    def call(*arguments):
        out = tmp_path / "exported.safetensors"
        given = (out, *arguments, "--command", "none", "--eps", "0.1", "--attack-steps", "1")
        monkeypatch.setattr("sys.argv", [SCRIPT.name, *map(str, given)])
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return json.loads(out.with_suffix(".json").read_text()), out

    return call


def test_critters(export, monkeypatch):
    every = samples.validation_set
    monkeypatch.setattr(samples, "validation_set", lambda data: Subset(every(data), range(9)))
    bundled = Path(rr.__file__).parent / "models/zoo/weights/critters-standard.safetensors"
    card, out = export("--checkpoint", bundled)
    assert set(card["accuracies"]) == {
        "critters_fine clean",
        "critters_fine PGD-1",
        "critters clean",
        "critters PGD-1",
    }
    exported, original = rr.load_model(out), rr.load_model(bundled)
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(exported(x)[0], original(x)[0])


def test_photographs_in_half(export, tmp_path, monkeypatch):
    """Two bytes a weight; accuracies of the animals are counted on images of animals alone."""
    monkeypatch.setenv("ROBUST_REPS_EXT_CACHE", str(tmp_path / "cache"))
    tree, checkpoint = grow(tmp_path / "tiny"), tmp_path / "checkpoint.pt.latest"
    torch.manual_seed(0)
    network = photographs_resnet(num_classes=4).eval()
    kept = {"epoch": 2, "seed": 3, "course": {"seconds": 90.0}}
    torch.save({"model": network.state_dict(), **kept}, checkpoint)
    card, out = export(
        *("--checkpoint", checkpoint, "--half", "--dataset", "tiny_imagenet", "--data", tree),
        *("--attacked", "4"),
    )
    assert (card["minutes"], card["seed"], card["epoch"]) == (1.5, 3, 2)
    assert {name: one["images"] for name, one in card["accuracies"].items()} == {
        "tiny_imagenet clean": 8,
        "tiny_imagenet PGD-1": 4,
        "restricted_tiny_imagenet clean": 6,
        "restricted_tiny_imagenet PGD-1": 6,
    }
    assert out.stat().st_size < 0.6 * checkpoint.stat().st_size
    data = samples.open_data_set("tiny_imagenet", tree)
    exported, original = rr.load_model(out), rr.load_model(network, dataset=data)
    assert {one.dtype for one in exported.parameters()} == {torch.float32}
    images = samples.validation_samples(data, 8).images
    found = [rr.representation(model, images) for model in (exported, original)]
    torch.testing.assert_close(*found, rtol=1e-2, atol=1e-2 * float(found[1].abs().max()))


def test_the_animals_of_tiny_imagenet(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUST_REPS_EXT_CACHE", str(tmp_path / "cache"))
    tree = grow(tmp_path / "tiny")
    fine = samples.open_data_set("tiny_imagenet", tree)
    assert fine.super_classes() == {"dog": [3], "cat": [0], "frog": [2]}
    coarse = samples.open_data_set("restricted_tiny_imagenet", tree)
    assert coarse.super_classes() == {"dog": [0], "cat": [1], "frog": [2]}
