"""Training images moved towards a class: what they are, and how they are labelled."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from networks import Convolutional
from robust_shards import FAST, IN_ALL
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.datasets.samples import training_set
from robust_reps_ext.datasets.shards import read_members
from robust_reps_ext.datasets.webshards import ShardImages
from robust_reps_ext.experiments.towards_class import new_label
from robust_reps_ext.runtime.errors import InputError

EPS = 0.8
MOVED = {"eps": EPS, "step_size": 0.2, "iterations": 8, "shard_size": 9}
# Half a level of each of 3 * 32 * 32 values.
ROUNDING = 0.5 / 255 * math.sqrt(3 * 32 * 32)


def read(folder):
    names = sorted(path.name for path in folder.glob("*.tar"))
    facts = [one for name in names for one in read_members(folder / name, metadata=True).metadata]
    stored = ShardImages(folder, lambda image: torch.tensor(np.array(image)).permute(2, 0, 1) / 255)
    images, labels = zip(*(stored[i] for i in range(len(stored))), strict=True)
    return torch.stack(images), torch.tensor(labels), facts


@pytest.fixture(scope="module", params=["random", "next"])
def moved(request, model, data, tmp_path_factory, one_thread):
    out = tmp_path_factory.mktemp(request.param)
    index = rr.robustify(model, data, out, kind=request.param, **MOVED)
    return request.param, index, out


def test_images_are_moved_towards_their_new_label_and_no_farther_than_eps(moved, model, data):
    kind, index, out = moved
    images, labels, facts = read(out)
    originals, true = zip(*(training_set(data)[i] for i in range(IN_ALL)), strict=True)
    originals = torch.stack(originals)
    assert [one["source"] for one in facts] == [one["start"] for one in facts] == [*range(IN_ALL)]
    assert [one["label"] for one in facts] == list(true)
    assert ((images - originals).flatten(1).norm(dim=1) <= EPS + ROUNDING).all()
    before, after = (
        model(some, with_image=False).log_softmax(1).gather(1, labels[:, None])
        for some in (originals, images)
    )
    assert (after > before).all()
    seen = model(images, with_image=False).argmax(1)
    assert [one["reached"] for one in facts] == (seen == labels).tolist()
    if kind == "next":
        assert labels.tolist() == [(one + 1) % 9 for one in true]
    else:
        assert len(set((labels - torch.tensor(true)).remainder(9).tolist())) > 3
    distance = [rr.representation(model, some) for some in (images, originals)]
    distance = (distance[0] - distance[1]).norm(dim=1) / distance[1].norm(dim=1)
    torch.testing.assert_close(
        torch.tensor([one["distance"] for one in facts]), distance, rtol=1e-4, atol=1e-6
    )
    assert repr(index).startswith(f"{kind.capitalize()} data set of 18 images")


def test_what_is_made_of_an_image_depends_on_seed_and_image_alone(moved, model, data, tmp_path):
    kind, _, out = moved
    images, labels, _ = read(out)
    rr.robustify(model, data, tmp_path, kind=kind, n=5, **{**MOVED, "shard_size": 2})
    few, same, facts = read(tmp_path)
    places = [one["source"] for one in facts]
    assert same.tolist() == labels[places].tolist()
    assert (few - images[places]).abs().max() <= 1.01 / 255


def test_random_labels_are_drawn_alike_and_by_the_seed():
    drawn = [[new_label("random", 3, i, 9, seed=seed) for i in range(900)] for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    for some in drawn:
        counts = np.bincount(some, minlength=9)
        assert len(counts) == 9
        assert (counts > 60).all()


def test_the_defaults_are_theirs_for_cifar(model, data, tmp_path):
    index = rr.robustify(model, data, tmp_path, kind="random", n=1)
    assert index.settings["eps"] == pytest.approx(0.5)
    assert index.settings["step_size"] == pytest.approx(0.1)
    assert index.settings["iterations"] == 100


def test_enhanced_images_keep_their_label_and_say_how_hard_they_were(model, data, tmp_path):
    index = rr.robustify(model, data, tmp_path, kind="enhanced", n=2, shard_size=1)
    images, labels, facts = read(tmp_path)
    originals, true = zip(*(training_set(data)[one["source"]] for one in facts), strict=True)
    originals, places = torch.stack(originals), (range(2), list(true))
    assert labels.tolist() == [one["label"] for one in facts] == list(true)
    before, after = (model(some, with_image=False)[places] for some in (originals, images))
    assert [one["difficulty"] for one in facts] == pytest.approx((-before).tolist(), abs=1e-5)
    assert (after > before).all()
    eps, steps = 20 * 32 / 224, index.settings["iterations"]
    assert (index.settings["eps"], steps) == (pytest.approx(eps), 40)
    assert index.settings["step_size"] == pytest.approx(eps / 40)
    by_call = rr.enhance(model, originals, true)
    assert (by_call.images - images).abs().max() <= 0.51 / 255
    assert repr(index).startswith("Enhanced data set of 2 images")
    assert index.to_frame()["difficulty"].tolist() == [one["difficulty"] for one in facts]


def test_enhanced_shards_that_are_missing_are_made_as_before(model, data, tmp_path, one_thread):
    how = {"kind": "enhanced", "n": 5, "shard_size": 2, "iterations": 2}
    index = rr.robustify(model, data, tmp_path, **how)
    paths = [tmp_path / shard.name for shard in index.shards]
    bytes_of, made = paths[1].read_bytes(), [path.stat().st_mtime_ns for path in paths]
    paths[1].unlink()
    (tmp_path / "index.json").unlink()
    assert rr.robustify(model, data, tmp_path, **how) == index
    assert paths[1].read_bytes() == bytes_of
    again = [path.stat().st_mtime_ns for path in paths]
    assert [one == other for one, other in zip(made, again, strict=True)] == [True, False, True]
    with pytest.raises(InputError, match="made with kind='enhanced'"):
        rr.robustify(model, data, tmp_path, **{**how, "kind": "next"})


def test_non_robust_images_are_inverted_as_robust_ones_and_called_otherwise(
    made, model, data, tmp_path
):
    index = rr.robustify(model, data, tmp_path, kind="non-robust", **FAST)
    ours, theirs = read(tmp_path), read(made)
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])
    assert index.settings["kind"] == "non-robust"
    assert repr(index).startswith("Non-robust data set of 18 images")
    with pytest.raises(InputError, match="made with kind='non-robust'"):
        rr.robustify(model, data, tmp_path, **FAST)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kind": "other"}, "kind='other' is not known: give robust or non-robust or random or ne"),
        ({"kind": "random", "start": "noise"}, "start='noise' is of no use with kind='random'"),
        ({"kind": "next", "layer": "body"}, "layer='body' is of no use with kind='next'"),
        ({"kind": "enhanced", "start": "noise"}, "start='noise' is of no use with kind='enhanced'"),
    ],
)
def test_bad_kinds_are_refused_before_anything_is_written(model, data, tmp_path, options, reason):
    with pytest.raises(InputError, match=reason):
        rr.robustify(model, data, tmp_path / "out", **{**FAST, **options})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["next", "enhanced"])
def test_a_model_of_fewer_classes_than_the_data_is_refused(data, tmp_path, kind):
    two = Convolutional(nn.Conv2d(3, 4, 3), width=4, classes=2)
    model = rr.load_model(two, normalize=([0.5] * 3, [0.25] * 3))
    with pytest.raises(InputError, match="the model has 2 classes, and the data 9: give"):
        rr.robustify(model, data, tmp_path / "out", kind=kind, **FAST)
    assert not (tmp_path / "out").exists()
