"""Judges of metamers: what they see, and what is counted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.experiments.metamers import Recognition, recognition
from robust_reps_ext.runtime.errors import InputError

STATISTICS = ([0.0] * 3, [1.0] * 3)


class Corner(nn.Module):
    """The class says which of two pixels is the brighter."""

    def __init__(self, *pixels):
        super().__init__()
        self.pixels = list(pixels)
        self.fc = nn.Linear(12, 12)
        nn.init.eye_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x):
        return self.fc(x.flatten(1))[:, self.pixels]


@pytest.fixture
def found():
    """Noise of step 0: no metamer of anything."""
    images = torch.rand(8, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    model = rr.load_model(Corner(0, 1), normalize=STATISTICS, check=False)
    return rr.metamers(model, images, layers=["fc"], iterations=1, step_size=0.0)


def judge(*pixels):
    return rr.load_model(Corner(*pixels), normalize=STATISTICS, check=False)


def test_what_is_counted(found):
    made = recognition(found, {"a": judge(0, 1), "b": judge(2, 5)})
    for name, (i, j) in {"a": (0, 1), "b": (2, 5)}.items():
        flat, target = found.images[0].flatten(1), found.targets.flatten(1)
        same = (flat[:, i] < flat[:, j]) == (target[:, i] < target[:, j])
        [share] = made.shares(name)
        assert (share.correct, share.n) == (int(same.sum()), 8)
    frame = made.to_frame()
    assert frame["judge"].tolist() == ["a", "b"]
    assert (frame["low"] <= frame["recognised"]).all()


def test_coarse_labels(found):
    made = recognition(found, {"a": judge(0, 1)}, group=torch.tensor([0, 0]))
    assert made.recognised.all()


def test_into_a_file_and_back(found, tmp_path):
    made = recognition(found, {"a": judge(0, 1)})
    made.save(tmp_path / "made.safetensors")
    again = Recognition.load(tmp_path / "made.safetensors")
    assert torch.equal(again.seen, made.seen)
    again.figure().savefig(tmp_path / "made.png")
    assert "before 1 judges" in repr(again)


def test_no_judges(found):
    with pytest.raises(InputError, match="no judges"):
        recognition(found, {})
    with pytest.raises(InputError, match="none of a"):
        recognition(found, {"a": judge(0, 1)}).shares("b")
