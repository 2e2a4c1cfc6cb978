"""Photographs in a folder: how it may lie, what is measured, and what a checkpoint keeps."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters.networks import CrittersResNet
from robust_reps_ext.datasets.folder import FolderDataSet, FolderImages, parts_of
from robust_reps_ext.datasets.samples import open_data_set, training_set, validation_set
from robust_reps_ext.models.checkpoints.data_facts import data_facts
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.upstream.data.bad_images import BadImages

CLASSES = ("cat", "dog")
SIZE = 8


def photograph(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (10, 12, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUST_REPS_EXT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tree(tmp_path):
    """A folder for each class."""
    for label, name in enumerate(CLASSES):
        for i in range(10):
            photograph(tmp_path / "tree" / name / f"{i}.png", 100 * label + i)
    return tmp_path / "tree"


@pytest.fixture
def parted(tree, tmp_path):
    """The same images as a seed splits them, in train/ and val/."""
    for part, files in parts_of(tree, 3)._asdict().items():
        for path, label in files if part != "classes" else []:
            to = tmp_path / "parted" / part / CLASSES[label] / path.rpartition("/")[2]
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)
    return tmp_path / "parted"


def test_one_tree_is_split_by_a_seed_class_by_class(tree):
    parts = parts_of(tree, 3)
    assert parts.classes == CLASSES
    assert [label for _, label in parts.val] == [0] * 2 + [1] * 2
    assert len(parts.train) == 16
    assert not {*parts.train} & {*parts.val}
    assert parts == parts_of(tree, 3)
    assert parts != parts_of(tree, 4)


def test_both_layouts_give_the_same_images_and_statistics(tree, parted):
    one = FolderDataSet(tree, size=SIZE, split_seed=3)
    other = FolderDataSet(parted, size=SIZE)
    for part in (training_set, validation_set):
        for (image, label), (same, too) in zip(part(one), part(other), strict=True):
            assert torch.equal(image, same)
            assert label == too
    assert torch.equal(one.mean, other.mean)
    pixels = torch.stack([image for image, _ in training_set(one)]).double()
    torch.testing.assert_close(one.mean.double(), pixels.mean((0, 2, 3)), atol=1e-5, rtol=0)
    spread = pixels.std((0, 2, 3), correction=0)
    torch.testing.assert_close(one.std.double(), spread, atol=1e-5, rtol=0)


def test_the_facts_of_a_data_set_make_it_again(tree):
    made = FolderDataSet(tree, size=SIZE, fit="pad", split_seed=3)
    facts = data_facts({"data_set": made.facts})
    assert facts == made.facts
    del facts["name"]
    again = open_data_set("folder", tree, **facts)
    assert again.facts == made.facts
    assert (
        open_data_set("folder", tree, size=SIZE, mean=[0, 0, 0], std=[1, 1, 1]).std.tolist()
        == [1.0] * 3
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"size": 10**9},
        {"size": True},
        {"fit": "squeeze"},
        {"classes": [3]},
        {"classes": []},
        {"mean": [0.5, 0.5]},
        {"std": [0.5, 0.5, 0.0]},
        {"std": [0.5, 0.5, float("nan")]},
        {"split_seed": -1},
        {"name": "other"},
    ],
)
def test_facts_of_a_strangers_checkpoint_are_not_relied_on(changed):
    facts = {
        "name": "folder",
        "size": 8,
        "fit": "crop",
        "classes": ["a"],
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "split_seed": 0,
    }
    assert data_facts({"data_set": facts}) == facts
    assert data_facts({"data_set": facts | changed}) == {}
    assert data_facts({}) == {}


def test_a_damaged_photograph_is_named_or_passed_over(tree):
    (tree / "dog" / "3.png").write_bytes(b"no image")
    images = FolderImages(tree, train=True, size=SIZE, split_seed=3)
    if not any(path.endswith("dog/3.png") for path in images.paths):
        images = FolderImages(tree, train=False, size=SIZE, split_seed=3)
    with pytest.raises(InputError, match=r"cannot read the image .*dog/3\.png"):
        list(images)
    images.bad_images = BadImages("skip")
    assert sum(isinstance(one, InputError) for one in images) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs the size of its images: give --size"),
        ({"size": 4}, "size=4: give a whole number of pixels, 8 or more"),
        ({"size": 8, "fit": "squeeze"}, "fit='squeeze' is not known: choose crop, pad, stretch"),
        ({"size": 8, "mean": [0.5] * 3}, "give both --mean and --std"),
        ({"size": 8, "mean": [0.5], "std": [1.0]}, "give three numbers each"),
        ({"size": 8, "classes": ["cat", "cow"]}, r"other classes than the model.*\(cow, dog\)"),
    ],
)
def test_settings_that_cannot_be_used(tree, arguments, message):
    with pytest.raises(InputError, match=message):
        FolderDataSet(tree, **arguments)


def test_folders_that_are_laid_out_otherwise(tree, parted, tmp_path):
    with pytest.raises(InputError, match="no folder"):
        FolderDataSet(tmp_path / "none", size=SIZE)
    with pytest.raises(InputError, match=r"has no class folders.*--images"):
        FolderDataSet(tree / "cat", size=SIZE)
    photograph(parted / "val" / "cow" / "1.png", 7)
    with pytest.raises(InputError, match=r"in only one of train/ and val/ \(cow\)"):
        FolderDataSet(parted, size=SIZE)
    photograph(tree / "cow" / "1.png", 7)
    with pytest.raises(InputError, match=r"cow has one image"):
        FolderDataSet(tree, size=SIZE)


@pytest.mark.parametrize("how", [{}, {"fit": "pad", "split_seed": 3}])
def test_shards_that_are_made_of_a_folder_open_it_again(tree, tmp_path, how):
    data = open_data_set("folder", tree, size=32, **how)
    torch.manual_seed(0)
    model = rr.load_model(CrittersResNet(num_classes=len(CLASSES), width=8), dataset=data)
    rr.robustify(model, data, tmp_path / "shards", n=4, shard_size=2, iterations=1)
    again = open_data_set("webshards", tmp_path / "shards")
    assert (again.size, again.num_classes) == (32, len(CLASSES))
    for one, other in zip(validation_set(again), validation_set(data), strict=True):
        assert torch.equal(one[0], other[0])
        assert one[1] == other[1]
