"""Directions of a representation: where they are known, they are found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import PLAIN, Linear, wrapped
from torch.utils.data import DataLoader, TensorDataset

import robust_reps_ext as rr
from robust_reps_ext.experiments.directions import raised
from robust_reps_ext.experiments.probe import sparse_heads
from robust_reps_ext.runtime.errors import InputError

PIXELS = 12


@pytest.fixture(scope="module")
def model():
    """R(x) are the twelve pixels."""
    torch.manual_seed(0)
    return wrapped(Linear(PIXELS), PLAIN)


def images(rows):
    return rows.view(-1, 3, 2, 2)


def drawn(n, seed=0):
    return torch.rand(n, PIXELS, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n", [40, 9])
def test_components_are_those_of_the_covariance(model, n):
    """Of fewer images than coordinates, too, where no matrix of all coordinates is made."""
    rows = drawn(n) * torch.linspace(0.2, 1, PIXELS)
    found = rr.directions(model, images(rows).split(7), components=5, k=2)
    values, vectors = np.linalg.eigh(np.cov(rows.double().numpy(), rowvar=False))
    for i in range(5):
        wanted = torch.tensor(vectors[:, -1 - i]).float()
        assert abs(float(found.vectors[i] @ wanted)) == pytest.approx(1, abs=1e-4)
        assert float(found.strength[i]) == pytest.approx(values[-1 - i] / values.sum(), rel=1e-4)
        assert float(found.vectors[i].abs().max()) == float(found.vectors[i].max())
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(5), atol=1e-5, rtol=0)


def test_images_at_the_ends_are_the_farthest_along_each_direction(model):
    rows = drawn(30)
    labels = torch.arange(30) % 4
    data = DataLoader(TensorDataset(images(rows), labels), 8)
    found = rr.directions(model, data, components=3, k=4)
    along = (rows - rows.mean(0)) @ found.vectors.T
    for i in range(3):
        order = along[:, i].argsort(descending=True)
        assert found.most.index[i].tolist() == order[:4].tolist()
        assert found.least.index[i].tolist() == order.flip(0)[:4].tolist()
    assert torch.equal(found.most.images, images(rows)[found.most.index])
    assert torch.equal(found.most.label, labels[found.most.index])
    torch.testing.assert_close(found.scores(rows), along)
    torch.testing.assert_close(found.most.value, along.T.gather(1, found.most.index))


def test_the_direction_of_a_class_is_its_mean_from_the_mean_of_all(model):
    rows, labels = drawn(30), torch.tensor([5, 2, 2] * 10)
    data = [(images(rows), labels)]
    names = ["a", "b", "cat", "d", "e"]
    found = rr.directions(model, data, method="class", names=names)
    assert found.names == ["cat", "class 5"]
    for vector, length, label in zip(found.vectors, found.strength, (2, 5), strict=True):
        torch.testing.assert_close(
            vector * length, rows[labels == label].mean(0) - rows.mean(0), atol=1e-6, rtol=1e-4
        )


@pytest.fixture(scope="module")
def three():
    """Three classes: two pixels tell them, the others are noise."""
    rows, labels = drawn(240, 1) * 0.4, torch.arange(240) % 3
    rows[:, 1] += 0.5 * (labels == 1)
    rows[:, 7] += 0.5 * (labels == 2)
    return rows, labels


def test_a_probe_finds_the_features_that_tell_the_classes(model, three):
    rows, labels = three
    found = rr.directions(model, [(images(rows), labels)], method="probe")
    assert {i for i, _ in found.features(1)} >= {1}
    assert found.features(1, 1)[0][0] == 1
    assert found.features(2, 1)[0][0] == 7
    path = found.sparsity
    assert (path.cost.diff() < 0).all()
    used = path.features.sum(1)
    assert used[0] <= 6
    assert used[-1] > used[0]
    assert float(path.accuracy[path.chosen]) == 1
    assert path.held_out == 60
    assert (found.scores(rows).argmax(1) == labels).float().mean() > 0.95
    frame = path.to_frame()
    assert frame["chosen"].sum() == 1
    assert "60 held-out images right" in repr(found)


def test_how_far_the_heads_are_is_told(model, three, capsys):
    rows, labels = three
    told = []
    data = [(images(rows), labels)]
    found = rr.directions(
        model, data, method="probe", path=2, fitting=lambda *now: told.append(now)
    )
    features = found.sparsity.features.double().mean(dim=1).tolist()
    assert told == [(0, 2, 0.0), (1, 2, features[0]), (2, 2, features[1])]
    rr.directions(model, data, method="probe", path=2)
    assert capsys.readouterr().err == ""
    rr.directions(model, data, method="probe", path=2, progress=True)
    assert "2/2 costs in" in capsys.readouterr().err
    with pytest.raises(InputError, match="fitting='yes': give True for a bar, or a function"):
        rr.directions(model, data, fitting="yes")


def test_heads_are_at_the_optimum_of_their_cost(three):
    """Of mean cross-entropy + cost |w|_1: the gradient is -cost sign(w), or within the cost."""
    rows, labels = three
    heads = sparse_heads(rows, labels, [0, 1, 2], steps=3, seed=0)
    i = heads.sparsity.chosen
    held = torch.zeros(240, dtype=torch.bool)
    order = torch.randperm(240, generator=torch.Generator().manual_seed(0))
    for label in range(3):
        held[order[labels[order] == label][:20]] = True
    seen = rows[~held].double()
    mean, std = seen.mean(0), seen.std(0, correction=0)
    x, y = (seen - mean) / std, torch.eye(3).double()[labels[~held]]
    weight = heads.weight.double() * std
    bias = heads.bias.double() + heads.weight.double() @ mean
    gradient = ((x @ weight.T + bias).softmax(1) - y).T @ x / len(x)
    cost = float(heads.sparsity.cost[i])
    on = weight != 0
    assert (gradient.abs() <= cost * 1.05).all()
    torch.testing.assert_close(gradient[on], -cost * weight[on].sign(), rtol=0.05, atol=0.05 * cost)


def test_two_classes_have_a_head_each(model, three):
    rows, labels = three
    some = labels < 2
    found = rr.directions(model, [(images(rows[some]), labels[some])], method="probe", path=3)
    assert found.vectors.shape == (2, PIXELS)
    torch.testing.assert_close(found.vectors[0], -found.vectors[1])
    right = (found.scores(rows[some]).argmax(1) == labels[some]).float().mean()
    assert right > 0.95


def test_what_raises_a_direction_is_where_it_points(model):
    """In a ball around grey, R(x) . v of the pixels is largest at grey + eps v."""
    vectors = torch.nn.functional.normalize(drawn(3, 4) - 0.5, dim=1)
    grey = torch.full((1, 3, 2, 2), 0.5)
    found = raised(model, vectors, start=grey, eps=0.3, step_size=0.1, iterations=60)
    torch.testing.assert_close(found.images.flatten(1), 0.5 + 0.3 * vectors, atol=0.01, rtol=0)
    torch.testing.assert_close(
        found.objective, (found.images.flatten(1) * vectors).sum(1), atol=1e-5, rtol=0
    )


def test_directions_go_into_synthesize_and_out_of_a_file(model, tmp_path):
    found = rr.directions(model, [(images(drawn(9)), torch.arange(9) % 3)], method="class", k=1)
    again = type(found).load(found.save(tmp_path / "found.safetensors"))
    assert torch.equal(again.vectors, found.vectors)
    assert again.names == found.names


def test_given_directions_are_those_along_which_the_data_spreads_most(model, tmp_path):
    rows = drawn(20) * torch.linspace(0.1, 1, PIXELS)
    atoms = torch.eye(PIXELS) * 3
    torch.save({"dictionary._weights": atoms}, tmp_path / "sae.pt")
    found = rr.directions(model, [images(rows)], vectors=tmp_path / "sae.pt", components=4, k=1)
    order = rows.std(0).argsort(descending=True)[:4]
    assert found.method == "given"
    assert found.names == [f"direction {i}" for i in order.tolist()]
    assert torch.equal(found.vectors, torch.eye(PIXELS)[order])
    torch.testing.assert_close(found.strength, rows.std(0)[order])
    assert found.most.index[:, 0].tolist() == rows[:, order].argmax(0).tolist()
    again = rr.directions(model, [images(rows)], vectors=atoms, components=4, k=1)
    assert torch.equal(again.vectors, found.vectors)
    again = rr.directions(
        model, [images(rows)], vectors=found.save(tmp_path / "found.safetensors"), components=4
    )
    assert torch.equal(again.vectors, found.vectors)


class Shuffled:
    """A loader that gives another order each time."""

    def __init__(self, rows):
        self.rows, self.passes = rows, 0

    def __iter__(self):
        self.passes += 1
        yield images(self.rows.roll(self.passes, 0))


DATA = images(drawn(8))
LABELS = torch.arange(8) % 2


@pytest.mark.parametrize(
    ("data", "options", "reason"),
    [
        ([DATA], {"method": "ica"}, "method='ica' is not known: choose pca or class or probe"),
        ([DATA], {"components": 8}, "components=8: 8 images in R.12 have 7 at most"),
        ([DATA], {"components": 0}, "components=0: give a whole number, 1 or more"),
        ([DATA], {"k": 9}, "the data has 8 images, k=9"),
        ([DATA], {"method": "class"}, "method='class' needs labels"),
        ([(DATA, LABELS * 0)], {"method": "probe"}, "the data has 1 classes: a probe tells 2"),
        ([(DATA, torch.arange(8) // 7)], {"method": "probe"}, "class 1 has 1 images: a probe"),
        ([DATA[:1].expand(4, -1, -1, -1)], {"components": 2}, "R.x. is the same for all images"),
        (iter([DATA]), {}, "which can be gone through once"),
        (Shuffled(drawn(8)), {"components": 2}, "gives other images the second time"),
        ([], {}, "the data has no images"),
        ([DATA], {"vectors": torch.eye(3)}, "vectors have 3 coordinates, R.x. has 12"),
        ([DATA], {"vectors": torch.zeros(2, PIXELS)}, "vector 0 is 0 or not finite"),
        ([DATA], {"vectors": torch.eye(PIXELS), "method": "class"}, "vectors= gives some"),
        ([DATA], {"vectors": "nowhere.pt"}, "nowhere.pt"),
    ],
)
def test_what_cannot_be_done_is_told(model, data, options, reason):
    with pytest.raises(InputError, match=reason):
        rr.directions(model, data, **{"components": 2, **options})


def test_features_of_no_direction_are_told(model):
    found = rr.directions(model, [DATA], components=2, k=1)
    with pytest.raises(InputError, match="direction=2: there are 0 to 1"):
        found.features(2)
    with pytest.raises(InputError, match=r"give directions in R.12"):
        raised(model, torch.eye(3), start=DATA[:1])
    with pytest.raises(InputError, match="start has 2 images: give 1 or 3"):
        raised(model, torch.eye(3, PIXELS), start=DATA[:2])
