"""`torch.save` of a whole model: what loads without this package, and what says it does not."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import subprocess
import sys

import pytest
import torch

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters.networks import CrittersResNet

HALF = ((0.5,) * 3, (0.25,) * 3)

# Two networks of a user's: with upstream's forward call, and with torch's.
NETWORKS = """
from torch import nn


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 9)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


class Upstreams(Plain):
    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        latent = x.mean((2, 3))
        return (self.fc(latent), latent) if with_latent else self.fc(latent)
"""
ELSEWHERE = """
import sys

# As if the package were not installed: no trace of what its .pth file has brought in.
named = "robust_reps_ext"
sys.meta_path[:] = [one for one in sys.meta_path if named not in getattr(one, "__module__", "")]
for name in [name for name in sys.modules if name.startswith(named)]:
    del sys.modules[name]
sys.modules[named] = None
import torch
model = torch.load("model.pt", weights_only=False)
(logits, latent), _ = model(torch.load("images.pt"), with_latent=True)
torch.save((logits, latent), "found.pt")
"""


@pytest.fixture
def networks(tmp_path, monkeypatch):
    (tmp_path / "users_networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_networks", raising=False)
    import users_networks

    return users_networks


def elsewhere(folder):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ELSEWHERE],
        cwd=folder,
        env={**os.environ, "ROBUST_REPS_EXT_DISABLE": "1", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


def test_a_network_with_upstreams_call_loads_without_this_package(networks, tmp_path, caplog):
    model = rr.load_model(networks.Upstreams(), normalize=HALF)
    caplog.clear()
    torch.save(model, tmp_path / "model.pt")
    assert not caplog.records
    images = torch.rand(2, 3, 8, 8)
    torch.save(images, tmp_path / "images.pt")
    done = elsewhere(tmp_path)
    assert done.returncode == 0, done.stderr
    (logits, latent), _ = model(images, with_latent=True)
    for found, expected in zip(torch.load(tmp_path / "found.pt"), (logits, latent), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("name", ["RepresentationModel", "CrittersResNet"])
def test_what_needs_this_package_says_so_when_it_is_saved(name, networks, tmp_path, caplog):
    network = networks.Plain() if name == "RepresentationModel" else CrittersResNet(width=4)
    model = rr.load_model(network, normalize=HALF)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "robust_reps_ext"):
        torch.save(model, tmp_path / "model.pt")
    [record] = caplog.records
    said = record.getMessage()
    assert f"{name} is saved as a whole, which loads only where robust_reps_ext is" in said
    assert "\n" not in said
    torch.save(torch.rand(2, 3, 8, 8), tmp_path / "images.pt")
    done = elsewhere(tmp_path)
    assert done.returncode != 0
    assert "robust_reps_ext" in done.stderr.splitlines()[-1]
    again = torch.load(tmp_path / "model.pt", weights_only=False)
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(rr.representation(again, x), rr.representation(model, x))
    caplog.clear()
    copy.deepcopy(model)
    pickle.loads(pickle.dumps(model))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    assert not caplog.records
