"""The null distribution: of what, known in closed form, kept in a file, and gone on with."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import robust_reps_ext as rr
from robust_reps_ext.experiments.metamers import Null, likeness, null_distribution
from robust_reps_ext.runtime.errors import InputError


class Pixels(nn.Module):
    """A layer that is the pixels themselves."""

    def __init__(self):
        super().__init__()
        self.flat = nn.Flatten()
        self.fc = nn.Linear(192, 2)

    def forward(self, x):
        return self.fc(self.flat(x))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return rr.load_model(Pixels(), normalize=([0.5] * 3, [0.25] * 3))


@pytest.fixture
def images():
    return torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_of_independent_pixels_it_is_known(model, images):
    """The correlation of k independent pixels has mean 0 and variance 1 / (k - 1), exactly."""
    null = null_distribution(model, images, layers=["flat"], pairs=1000)
    assert len(null) == 1000
    k = 192
    for i in range(2):
        values = null.of("flat")[:, i]
        assert abs(float(values.mean())) < 4 / math.sqrt((k - 1) * 40)
        assert float(values.var()) == pytest.approx(1 / (k - 1), rel=0.35)


def test_its_pairs_are_of_different_images_in_what_the_layer_gives(model, images):
    """With three images, all six ordered pairs are measured, each once in a batch."""
    null = null_distribution(model, images[:3], layers=["flat"], pairs=6)
    rows = model.normalizer(images[:3]).flatten(1)
    wanted = [likeness(rows[i, None], rows[j, None])[0] for i, j in permutations(range(3), 2)]
    found = null.of("flat")
    distance = torch.cdist(found, torch.stack(wanted))
    assert sorted(distance.argmin(1).tolist()) == [*range(6)]
    assert float(distance.amin(1).max()) < 1e-4


def test_chance_counts_pairs_that_are_as_alike(model):
    null = Null(["a"], torch.arange(9.0).double().view(1, 9, 1).repeat(1, 1, 3), {})
    values = torch.tensor([[-1.0, 8.0, 8.5], [4.0, 4.5, torch.inf]])
    expected = torch.tensor([[10, 2, 1], [6, 5, 1]]).double() / 10
    torch.testing.assert_close(null.chance("a", values), expected)


def test_quantiles_cover_what_they_claim():
    """Of 400 draws of 99 normal numbers, about 95% of the intervals hold the true quantile."""
    draws = torch.randn(400, 99, 1, generator=torch.Generator().manual_seed(2)).double()
    held = 0
    for draw in draws:
        found, low, high = Null(["a"], draw[None].repeat(1, 1, 3), {}).quantile("a", 0.5)[0]
        assert low <= found <= high
        held += bool(low <= 0 <= high)
    assert 0.91 < held / 400 < 0.99
    few = Null(["a"], draws[:1, :9].repeat(1, 1, 3), {}).quantile("a", 0.99)[0]
    assert few[2] == torch.inf


def test_a_file_is_gone_on_with(model, images, tmp_path):
    """In parts, in any form of the data, the same pairs as at once."""
    path = tmp_path / "null.safetensors"
    data = TensorDataset(images, torch.zeros(40))
    given = {"layers": ["flat", "penultimate"]}
    whole = null_distribution(model, images, pairs=900, **given)
    null_distribution(model, data, pairs=100, path=path, **given)
    part = path.read_bytes()
    again = null_distribution(model, DataLoader(data, 7), pairs=900, path=path, **given)
    assert torch.equal(again.values, whole.values)
    assert path.read_bytes() != part
    fewer = null_distribution(model, data, pairs=100, path=path, **given)
    assert torch.equal(fewer.values, whole.values[:, :100])


def test_a_file_of_something_else_is_refused(model, images, tmp_path):
    path = tmp_path / "null.safetensors"
    null_distribution(model, images, layers=["flat"], pairs=9, path=path)
    other = rr.load_model(Pixels(), normalize=([0.5] * 3, [0.25] * 3))
    for changed, word in [
        ({"layers": ["fc"]}, "layers"),
        ({"seed": 1}, "seed"),
        ({"data": images[:30]}, "images"),
        ({"model": other}, "weights"),
    ]:
        wanted = {"model": model, "data": images, "layers": ["flat"]} | changed
        with pytest.raises(InputError, match=f"was made with {word}"):
            null_distribution(wanted.pop("model"), wanted.pop("data"), pairs=9, path=path, **wanted)


def test_progress_ends_it(model, images, tmp_path):
    path = tmp_path / "null.safetensors"
    short = null_distribution(
        model, images, layers=["flat"], pairs=5000, path=path, progress=lambda *_: True
    )
    assert len(short) == 40 * 8
    assert len(Null.load(path)) == 40 * 8


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pairs": 0}, "pairs=0"),
        ({"data": torch.rand(1, 3, 8, 8)}, "two or more"),
        ({"layers": []}, "layers="),
        ({"layers": ["flat", "flat"]}, "more than once"),
        ({"layers": ["flt"]}, "'flt' is not in Pixels"),
        ({"data": iter([1])}, "data is a"),
    ],
)
def test_what_cannot_be_measured(model, images, changed, said):
    given = {"data": images, "layers": ["flat"], "pairs": 9} | changed
    with pytest.raises(InputError, match=said):
        null_distribution(model, given.pop("data"), **given)
