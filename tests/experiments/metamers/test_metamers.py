"""Metamers: when they are successes, in closed form, and what is said of them."""

from __future__ import annotations

import pytest
import torch
from networks import Linear
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.experiments.metamers import Null, null_distribution
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.synthesis.settings import Settings

STATISTICS = ([0.5] * 3, [0.25] * 3)


class TwoLayers(nn.Module):
    """Pixels, then averages: what the second takes for the same need not be so for the first."""

    def __init__(self):
        super().__init__()
        self.pixels = nn.Identity()
        self.averages = nn.AvgPool2d(4)
        self.fc = nn.Linear(12, 4)

    def forward(self, x):
        return self.fc(self.averages(self.pixels(x)).flatten(1))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return rr.load_model(TwoLayers(), normalize=STATISTICS)


@pytest.fixture
def images():
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def made(model, images):
    return rr.metamers(model, images, layers=["pixels", "averages"], iterations=60)


def test_layers_that_can_be_matched_are(made):
    """Both layers are linear: everything is found, and the class with it."""
    assert made.success.all()
    assert float(made.distance.max()) < 0.02
    assert made.images.shape == (2, 6, 3, 8, 8)
    assert len(made.null) == 30


def test_what_a_later_layer_takes_for_the_same_an_earlier_one_need_not(made, images):
    """Averages leave the pixels open: those stay near the noise they began with."""
    outside = made.outside.all(dim=3)
    assert outside[0].all()
    assert outside[1, 1].all()
    assert float(made.measures[1, 0, :, 1].mean()) < 0.7
    assert float(made.measures[0, 0, :, 1].min()) > 0.99
    assert torch.equal(made.targets, images)


def test_an_image_is_its_own_metamer(model, images):
    made = rr.metamers(model, images, layers=["pixels"], start=images, iterations=1, step_size=0.0)
    assert made.success.all()
    assert torch.isinf(made.own[..., 2]).all()
    assert (made.chance == 1 / 31).all()


def test_noise_is_no_metamer(model, images):
    made = rr.metamers(model, images, layers=["pixels"], iterations=1, step_size=0.0)
    assert not made.success.any()


def test_the_class_counts(model, images):
    """The measures say yes; the class that is asked for is another."""
    given = {"layers": ["pixels"], "start": images, "iterations": 1, "step_size": 0.0}
    seen = model(images)[0].argmax(1)
    other = rr.metamers(model, images, labels=(seen + 1) % 4, **given)
    assert other.outside.all()
    assert not other.success.any()
    coarse = rr.metamers(model, images, group=torch.zeros(4, dtype=torch.long), **given)
    assert coarse.success.all()
    group = torch.tensor([2, 0, 1, 1])
    told, own = (
        rr.metamers(model, images, group=group, labels=labels, **given) for labels in (seen, None)
    )
    assert torch.equal(told.wanted, own.wanted)
    assert told.success.all()


def test_an_option_of_none_is_its_default(model, images):
    left_out = rr.metamers(model, images, layers=["averages"])
    assert left_out.synthesis.settings["iterations"] == 200
    nothing = {"iterations": None, "schedule": None, "layer": None, "batch_size": None}
    none = rr.metamers(model, images, layers=["averages"], **nothing)
    assert none.synthesis.settings == left_out.synthesis.settings
    assert torch.equal(none.synthesis.images, left_out.synthesis.images)


def test_tables_and_figures(made, tmp_path):
    frame = made.to_frame()
    assert len(frame) == 12
    assert {"spearman", "pearson", "snr", "success", "class_kept", "distance"} <= {*frame.columns}
    assert frame["success"].sum() == int(made.success.sum())
    assert frame.loc[7, "layer"] == "averages"
    assert frame.loc[7, "pearson"] == float(made.own[1, 1, 1])
    assert len(made.likeness_frame()) == 24
    for figure in (made.figure(), made.shares_figure(), made.null_figure(), made.null.figure()):
        figure.savefig(tmp_path / "figure.png")
    assert repr(made).startswith("Metamers of 6 images at 2 layers, against 30 pairs")


def test_they_go_into_a_file_and_back(made, tmp_path):
    made.save(tmp_path / "made.safetensors")
    again = rr.Metamers.load(tmp_path / "made.safetensors")
    assert torch.equal(again.success, made.success)
    assert again.to_frame().equals(made.to_frame())


def test_a_null_that_is_there_is_used(model, images, made, tmp_path):
    null = null_distribution(model, images, layers=["averages"], pairs=9)
    again = rr.metamers(model, images, layers=["averages"], null=null, iterations=2)
    assert len(again.null) == 9
    with pytest.raises(InputError, match="is of averages"):
        rr.metamers(model, images, layers=["pixels"], null=null, iterations=2)
    other = rr.load_model(TwoLayers(), normalize=STATISTICS)
    with pytest.raises(InputError, match="another network"):
        rr.metamers(other, images, layers=["averages"], null=null, iterations=2)
    assert isinstance(made.null, Null)


def test_by_default_all_stages_are_taken(images):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip
    model = rr.load_model(network, normalize=STATISTICS)
    made = rr.metamers(model, images, iterations=1)
    assert made.layers == ["1", "4", "penultimate"]


def test_feathers_steps_are_halved_eight_times():
    """On a linear objective every step is as long as the round says, along one line."""
    model = rr.load_model(Linear(12), normalize=([0.0] * 3, [1.0] * 3))
    start = torch.full((1, 3, 2, 2), 0.5)

    def upwards(network, inp, target):
        return inp.flatten(1).sum(1)

    settings = Settings(eps=1e5, step_size=0.01, iterations=80, schedule="feather")
    made = rr.synthesize(model, upwards, torch.zeros(1), start, settings)
    way = 10 * 0.01 * sum(0.5**k for k in range(8))
    assert float((made.images - start).norm()) == pytest.approx(way, rel=1e-4)
    paper = Settings.paper(torch.empty(1, 3, 224, 224), {"schedule": "feather"})
    assert (paper.eps, paper.step_size, paper.iterations) == (100_000, 1.0, 24_000)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"layers": "pixels"}, 'or "all"'),
        ({"layer": "pixels"}, "several layers"),
        ({"layers": ["pixls"]}, "pixls"),
        ({"labels": [0, 1]}, "labels have shape"),
        ({"steps": 3}, "steps"),
        ({"images": torch.rand(2, 1, 8, 8)}, "3 channels"),
    ],
)
def test_what_cannot_be_made(model, images, changed, said):
    with pytest.raises(InputError, match=said):
        rr.metamers(model, **{"images": images, "layers": ["pixels"], "iterations": 1} | changed)
