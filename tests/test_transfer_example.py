"""A network for other data begins with the body of a bundled one, and goes on where it was."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from torchvision.utils import save_image

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters

EXAMPLE = Path(__file__).parents[1] / "examples" / "transfer.py"


@pytest.fixture
def photographs(tmp_path):
    """Six dogs and six cats, in a folder each."""
    for label, name in enumerate(("dog", "cat")):
        folder = tmp_path / "photographs" / name
        folder.mkdir(parents=True)
        for i, image in enumerate(critters.draw(6, classes=[label], seed=0).images):
            save_image(image / 255, folder / f"{i}.png")
    return tmp_path / "photographs"


def test_the_body_is_the_source_s_and_the_last_layer_new(photographs, tmp_path, monkeypatch):
    given = [
        "transfer.py", "--dataset", "folder", "--data", photographs, "--size", 64, "--lr", 0,
        "--minutes", 0.02, "--batch-size", 4, "--out-dir", tmp_path, "--exp-name", "mine",
    ]  # fmt: skip
    monkeypatch.setattr("sys.argv", list(map(str, given)))
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    latest = tmp_path / "mine" / "checkpoint.pt.latest"
    steps = torch.load(latest, weights_only=True)["course"]
    model = rr.load_model(latest)
    assert model.card["arch"] == "photographs_resnet_wide"
    assert model.card["attack"]["eps"] == 1.0
    source = dict(rr.load_model("photographs-robust").model.named_parameters())
    for name, value in model.model.named_parameters():
        if name.startswith("fc."):
            assert len(value) == 2
        else:
            assert torch.equal(value, source[name])
    # Once more: it is finished, and nothing is trained anew.
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert torch.load(latest, weights_only=True)["course"] == steps
