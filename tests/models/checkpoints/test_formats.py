"""Files of every public format, written as their authors write them, load to equal weights.

Upstream's own training writes the first two, with the dill it was published with; the others
differ from those in how the network is wrapped and under which keys it is saved.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections import OrderedDict
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
import torchvision
from cox.utils import Parameters
from hostile_files import Call
from robustness import cifar_models
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import robust_reps_ext as rr
from robust_reps_ext.models.checkpoints import read_checkpoint
from robust_reps_ext.models.converting import convert
from robust_reps_ext.models.loading import weights_digest

CIFAR = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCHEDULES = {
    "constant": {},
    "step": {"step_lr": 1, "step_lr_gamma": 0.1},
    "function": {"custom_lr_multiplier": "[(0, 1), (1, 0.5)]", "lr_interpolation": "linear"},
}


@pytest.fixture
def train(pristine, monkeypatch, tmp_path):
    """Trains an upstream `AttackerModel` around a network for one step, and gives its file."""
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self, *a, **k: self)
    monkeypatch.setattr(nn.Module, "cuda", lambda self, *a, **k: self)

    def run(network, statistics, name="checkpoint.pt.latest", **changed):
        mean, std = map(torch.tensor, statistics)
        model = sys.modules["pristine.attacker"].AttackerModel(
            network, SimpleNamespace(mean=mean, std=std)
        )
        data = TensorDataset(torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 3]))
        args = Parameters(
            {
                "epochs": 1,
                "out_dir": str(tmp_path),
                "adv_train": 0,
                "adv_eval": 0,
                "log_iters": 1,
                "save_ckpt_iters": -1,
                "lr": 1e-3,
                "momentum": 0.9,
                "weight_decay": 5e-4,
                "mixed_precision": False,
                **changed,
            }
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pristine.train_model(args, model, (DataLoader(data, 4), DataLoader(data, 4)))
        return tmp_path / name

    return run


def check(path, network, statistics, *, kind, dataset=None):
    """The file loads, without trust, as the network that was saved."""
    network.eval()
    model = rr.load_model(path, dataset=dataset)
    assert model.card["format"] == kind
    assert weights_digest(model) == weights_digest(network)
    for found, expected in zip(
        (model.normalizer.new_mean, model.normalizer.new_std), statistics, strict=True
    ):
        assert found.flatten().tolist() == pytest.approx(expected)
    x = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in statistics)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[0], network((x - mean) / std))
    return model.card


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_upstreams_training_saves(schedule, train):
    network = cifar_models.resnet18()
    path = train(network, CIFAR, **SCHEDULES[schedule])
    card = check(path, network, CIFAR, kind="robustness")
    assert (card["classes"], card["epoch"]) == (10, 1)
    assert set(card["accuracies"]) == {"nat_prec1"}
    # torch leaves functions out of what a schedule saves, so nothing in the file is code.
    assert read_checkpoint(path).unsafe_imports == ()
    state = torch.load(path, weights_only=False)["model"]
    assert {"module.normalizer.new_mean", "module.attacker.normalize.new_std"} <= set(state)
    assert {"module.model.linear.weight", "module.attacker.model.linear.weight"} <= set(state)


class Nested(nn.Module):
    """As the networks of robust-models-transfer: torchvision's, one level further down."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, *_, **__):
        return self.model(x)


@pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenet_v2_x1_0", "mnasnet1_0"])
def test_robust_models_transfer(name, train):
    network = getattr(torchvision.models, name)(num_classes=10)
    path = train(Nested(network), IMAGENET)
    assert "module.model.model." in " ".join(torch.load(path, weights_only=False)["model"])
    assert check(path, network, IMAGENET, kind="robust-models-transfer")["arch"] == name


def test_robust_models_transfer_of_an_older_key(train, tmp_path):
    network = cifar_models.resnet18()
    saved = torch.load(train(network, CIFAR), weights_only=False)
    saved["state_dict"] = saved.pop("model")
    torch.save(saved, tmp_path / "older.pt", _use_new_zipfile_serialization=False)
    check(tmp_path / "older.pt", network, CIFAR, kind="robustness")


def test_model_metamers(train, tmp_path):
    network = cifar_models.resnet18()
    saved = torch.load(train(network, CIFAR), weights_only=False)
    saved["model"] = {
        name.replace("normalizer.", "preproc.normalize.").replace(
            "attacker.normalize.", "attacker.preproc.normalize."
        ): value
        for name, value in saved["model"].items()
    }
    torch.save(saved, tmp_path / "metamers.pt")
    check(tmp_path / "metamers.pt", network, CIFAR, kind="model_metamers")


class Normalize(nn.Module):
    """As RobustBench's networks begin."""

    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, x):
        return (x - self.mean) / self.std


@pytest.mark.parametrize("under", ["state_dict", None])
@pytest.mark.parametrize("parallel", [True, False])
def test_robustbench(under, parallel, tmp_path):
    network = cifar_models.resnet18()
    whole = nn.Sequential(OrderedDict(normalize=Normalize(*CIFAR), model=network))
    state = (nn.DataParallel(whole) if parallel else whole).state_dict()
    torch.save({under: state} if under else state, tmp_path / "bench.pt")
    check(tmp_path / "bench.pt", network, CIFAR, kind="robustbench")


@pytest.mark.parametrize("suffix", ["pth", "pt", "safetensors"])
@pytest.mark.parametrize("wrap", [None, torch.compile, nn.DataParallel])
def test_bare(wrap, suffix, tmp_path):
    network = torchvision.models.mobilenet_v2(num_classes=10)
    state = (wrap(network) if wrap else network).state_dict()
    path = tmp_path / f"bare.{suffix}"
    if suffix == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    kind = "safetensors" if suffix == "safetensors" else "bare"
    check(path, network, CIFAR, kind=kind, dataset="cifar")


def test_a_converted_checkpoint_of_training_has_half_the_size(train, tmp_path):
    """Upstream keeps the optimizer's momentum, as large as the weights."""
    path = train(cifar_models.resnet18(), CIFAR)
    convert(path, tmp_path / "plain.safetensors")
    ratio = (tmp_path / "plain.safetensors").stat().st_size / path.stat().st_size
    assert 0.45 < ratio < 0.52


def test_what_a_file_wanted_to_import_is_told(tmp_path, caplog):
    state = torchvision.models.mobilenet_v2(num_classes=10).state_dict()
    command = Call(os.system, f"touch {tmp_path / 'marker'}")
    torch.save({"state_dict": state, "schedule": command}, tmp_path / "file.pt")
    with caplog.at_level(logging.INFO, "robust_reps_ext"):
        rr.load_model(tmp_path / "file.pt", dataset="cifar")
    assert "left out, for it would run code: posix.system" in caplog.text
    assert not (tmp_path / "marker").exists()
