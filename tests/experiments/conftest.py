"""A small robust data set, and how its shards are changed."""

from __future__ import annotations

import pytest
import torch
from robust_shards import FAST, IN_ALL

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import CrittersDataSet
from robust_reps_ext.datasets.critters.networks import CrittersResNet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("critters")


@pytest.fixture(scope="module")
def data(folder):
    return CrittersDataSet(folder, size=32, custom_class_args={"n_train": IN_ALL, "n_val": 9})


@pytest.fixture(scope="module")
def model(data):
    torch.manual_seed(0)
    return rr.load_model(CrittersResNet(width=8), dataset=data)


@pytest.fixture(scope="module")
def made(model, data, tmp_path_factory, one_thread):
    """A folder of shards that no test changes."""
    out = tmp_path_factory.mktemp("made")
    rr.robustify(model, data, out, **FAST)
    return out


@pytest.fixture
def shards(made, tmp_path):
    """A copy to change."""
    out = tmp_path / "shards"
    out.mkdir()
    for path in made.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    return out
