"""Plain copies of checkpoints: small, loadable by torchvision, and the same model."""

from __future__ import annotations

import json

import pytest
import torch
import torchvision
from robustness import model_utils
from robustness.datasets import CIFAR
from safetensors.torch import load_file

import robust_reps_ext as rr
from robust_reps_ext.models.checkpoints.data_facts import size_fact
from robust_reps_ext.models.converting import convert
from robust_reps_ext.models.inputs import size_of
from robust_reps_ext.models.loading import weights_digest
from robust_reps_ext.runtime.errors import InputError


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """As upstream's training writes it: every weight twice, under DataParallel's prefix."""
    torch.manual_seed(0)
    model, _ = model_utils.make_and_restore_model(arch="resnet18", dataset=CIFAR())
    path = tmp_path_factory.mktemp("run") / "checkpoint.pt.best"
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"model": state, "epoch": 3, "nat_prec1": 90.5, "adv_prec1": 60.25}, path)
    return path


def test_a_converted_checkpoint_is_the_same_model(checkpoint, tmp_path):
    out = tmp_path / "plain.safetensors"
    card = convert(checkpoint, out, dataset="cifar")
    assert json.loads(out.with_suffix(".json").read_text()) == card
    assert (card["epoch"], card["accuracies"]["nat_prec1"]) == (3, 90.5)
    model, again = rr.load_model(checkpoint, dataset="cifar"), rr.load_model(out)
    assert weights_digest(again) == weights_digest(model)
    assert torch.equal(again.normalizer.new_mean, model.normalizer.new_mean)
    assert again.card["accuracies"] == model.card["accuracies"]
    assert again.card["epoch"] == 3
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(again(x)[0], model(x)[0])


def test_torchvision_takes_the_file(tmp_path):
    network = torchvision.models.resnet18(num_classes=9).eval()
    torch.save(network.state_dict(), tmp_path / "bare.pth")
    convert(tmp_path / "bare.pth", tmp_path / "plain.safetensors", dataset="restricted_imagenet")
    other = torchvision.models.resnet18(num_classes=9).eval()
    other.load_state_dict(load_file(tmp_path / "plain.safetensors"))
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(other(x), network(x))


def test_what_is_known_of_the_images_stays_known(tmp_path):
    convert("critters-robust", tmp_path / "bundled.safetensors")
    assert size_of(rr.load_model(tmp_path / "bundled.safetensors")) == 64
    folder = {
        "name": "folder", "size": 48, "fit": "stretch", "classes": list("abcdefghi"),
        "mean": [0.5] * 3, "std": [0.25] * 3, "split_seed": 0,
    }  # fmt: skip
    state = torchvision.models.resnet18(num_classes=9).state_dict()
    normalizer = {"mean": [0.5] * 3, "std": [0.25] * 3}
    kept = {"state_dict": state, "data_set": folder, "normalizer": normalizer}
    torch.save(kept, tmp_path / "folder.pth")
    before = rr.load_model(tmp_path / "folder.pth")
    assert before.card["data_set"] == folder
    convert(tmp_path / "folder.pth", tmp_path / "folder.safetensors")
    after = rr.load_model(tmp_path / "folder.safetensors")
    assert (after.card["data_set"], size_of(after)) == (folder, size_of(before))


@pytest.mark.parametrize("size", ["64", 4, 10**9, 64.0, None])
def test_a_size_that_is_none_is_left_out(size):
    assert size_fact({"size": size}) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plain.pt", "does not end in .safetensors"),
        ("taken.safetensors", "exists already"),
        ("deep/plain.safetensors", "there is no folder"),
    ],
)
def test_a_file_that_cannot_be_written_is_named(name, message, tmp_path):
    (tmp_path / "taken.safetensors").write_text("kept")
    with pytest.raises(InputError, match=message):
        convert("critters-vgg", tmp_path / name)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]
