"""Tiny ImageNet, as published, in folders, and cut down: labels, names, and the cache."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_photographs import EACH, draw

import robust_reps_ext as rr
from robust_reps_ext.datasets.samples import open_data_set, training_set, validation_set
from robust_reps_ext.datasets.tiny_imagenet import TinyImageNet
from robust_reps_ext.upstream.training.command import run as training

NAMES = ("Egyptian cat", "reel", "Chihuahua", "bullfrog", "goldfish")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "robust-reps-ext" / "decoded"


@pytest.fixture
def folder(tmp_path):
    return draw(tmp_path / "tiny")


def check(data_set, kinds):
    """Every image has the label of its class, told by its red, in both parts."""
    for part, images in (
        ("train", training_set(data_set)),
        ("val", validation_set(data_set)),
    ):
        seen = []
        for image, label in (images[i] for i in range(len(images))):
            assert image.shape == (3, 64, 64)
            seen.append((int((image[0].mean() * 255 - 30) / 40 + 0.5), label))
        assert sorted(seen) == sorted(
            (kind, label) for kind, label in kinds for _ in range(EACH[part])
        )


@pytest.mark.parametrize("annotated", [True, False])
def test_labels_and_names_are_in_the_order_of_wnids(annotated, tmp_path):
    data = open_data_set("tiny_imagenet", draw(tmp_path / "a", annotated=annotated))
    assert data.classes == NAMES
    assert data.num_classes == 5
    check(data, [(k, k) for k in range(5)])


def test_a_folder_cut_down_has_the_classes_that_are_there(tmp_path, caplog):
    caplog.set_level("INFO")
    data = open_data_set("tiny_imagenet", draw(tmp_path / "a", ("n04067472", "n01641577")))
    assert data.classes == ("reel", "bullfrog")
    assert "2 of the 5 classes in wnids.txt have images" in caplog.text
    check(data, [(0, 0), (1, 1)])


def test_the_papers_animals_are_found_in_the_papers_order(folder, caplog):
    caplog.set_level("INFO")
    data = open_data_set("restricted_tiny_imagenet", folder)
    assert data.classes == ("dog", "cat", "frog")
    said = "dog (1), cat (1), frog (1); none of turtle, bird, primate, fish, crab, insect"
    assert caplog.text.count(said) == 1
    check(data, [(2, 0), (0, 1), (3, 2)])


def test_without_a_folder_the_published_classes_are_meant():
    assert TinyImageNet().num_classes == 200
    with pytest.raises(rr.InputError, match="is read from a folder"):
        open_data_set("tiny_imagenet")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda f: (f / "wnids.txt").unlink(), "has no wnids.txt: give the folder of Tiny"),
        (lambda f: (f / "wnids.txt").write_text("n1\n"), "no folder of the classes in wnids.txt"),
        (lambda f: (f / "wnids.txt").write_bytes(b"\xff\n"), "wnids.txt cannot be read"),
        (lambda f: (f / "val/val_annotations.txt").write_text("x\n"), "lines that are not a file"),
        (lambda f: (f / "val/images/val_0.JPEG").unlink(), "lacks 1 of the images in val_ann"),
        (lambda f: [p.unlink() for p in f.glob("train/*/images/*")], "train has no images of its"),
    ],
)
def test_a_folder_laid_out_otherwise_is_one_line(broken, message, folder):
    broken(folder)
    with pytest.raises(rr.InputError, match=message) as error:
        open_data_set("tiny_imagenet", folder).make_loaders(0, 4)
    assert "\n" not in str(error.value)


def test_what_is_no_folder_is_one_line(tmp_path):
    with pytest.raises(rr.InputError, match=r"no folder .*nowhere"):
        open_data_set("tiny_imagenet", tmp_path / "nowhere")


def test_images_of_another_size_and_grey_ones_are_brought_to_it(folder):
    Image.new("L", (100, 80), 200).save(folder / "val/images/val_0.JPEG")
    image, _ = validation_set(open_data_set("tiny_imagenet", folder))[-1]  # annotated last
    torch.testing.assert_close(image, torch.full((3, 64, 64), 200 / 255), atol=0.01, rtol=0)


# -- the cache -----------------------------------------------------------------------------------


def pixels(folder):
    images = validation_set(open_data_set("tiny_imagenet", folder))
    return np.stack([np.asarray(images.data[i]) for i in range(len(images))])


def test_images_are_decoded_once_and_again_when_they_change(folder, cache):
    first = pixels(folder)
    expected = [
        np.asarray(Image.open(folder / "val/images" / line.split("\t")[0]).convert("RGB"))
        for line in (folder / "val/val_annotations.txt").read_text().splitlines()
    ]
    assert np.array_equal(first, np.stack(expected))
    [kept] = cache.glob("*.npy")
    stamp = kept.stat().st_mtime_ns
    assert np.array_equal(pixels(folder), first)
    assert kept.stat().st_mtime_ns == stamp
    Image.new("RGB", (64, 64), (0, 0, 255)).save(folder / "val/images/val_3.JPEG")
    assert not np.array_equal(pixels(folder), first)
    assert len(list(cache.glob("*.npy"))) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda npy, said: npy.write_bytes(npy.read_bytes()[:-10]),
        lambda npy, said: npy.write_bytes(b"\x93NUMPY"),
        lambda npy, said: said.write_text("{"),
        lambda npy, said: said.unlink(),
        lambda npy, said: np.save(npy, np.array([{}]), allow_pickle=True),
    ],
)
def test_a_damaged_cache_is_made_again(damage, folder, cache):
    first = pixels(folder)
    [npy] = cache.glob("*.npy")
    damage(npy, npy.with_suffix(".json"))
    assert np.array_equal(pixels(folder), first)


def test_a_cache_that_cannot_be_written_is_one_line(folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(rr.InputError, match="set XDG_CACHE_HOME"):
        pixels(folder)


def test_images_that_cannot_be_read_stop_or_are_passed_over(folder):
    (folder / "val/images/val_3.JPEG").write_bytes(b"no image")
    data = open_data_set("tiny_imagenet", folder)
    with pytest.raises(rr.InputError, match=r"cannot read the image .*val_3\.JPEG"):
        list(data.make_loaders(0, 4, only_val=True)[1])
    skipping = open_data_set("tiny_imagenet", folder, on_bad_image="skip")
    batches = list(skipping.make_loaders(0, 4, only_val=True)[1])
    assert sum(len(labels) for _, labels in batches) == 9
    assert len(skipping.bad_images.skipped) == 1


# -- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["tiny_imagenet", "restricted_tiny_imagenet"])
def test_the_commands(dataset, folder, tmp_path, command, capsys):
    """Train by a preset of photographs for an epoch, evaluate, and invert: classes by name."""
    out = tmp_path / "runs"
    words = {
        "--dataset": dataset, "--data": folder, "--arch": "critters_vgg", "--epochs": 1,
        "--batch-size": 8, "--adv-train": 0, "--lr": 0.01, "--out-dir": out, "--exp-name": "a",
        "--workers": 0, "--log-iters": 1, "--ema": 0.9, "--image-sizes": "[(0, 32), (0.5, 64)]",
        "--custom-lr-multiplier": "one-cycle",
    }  # fmt: skip
    with pytest.raises(SystemExit) as end:
        training([str(word) for pair in words.items() for word in pair])
    assert not end.value.code
    best = out / "a" / "checkpoint.pt.best"
    common = ("--model", best, "--dataset", dataset, "--data", folder)
    status, _, told = command("evaluate", *common, "--attack-steps", 1, "--out", tmp_path / "e")
    assert status == 0, told
    short = ("--n", 3, "--iterations", 2)
    status, _, told = command("invert", *common, *short, "--out", tmp_path / "i")
    assert status == 0, told
    from robust_reps_ext.results.reader import read_results

    [experiment] = read_results(tmp_path / "i")
    assert set(experiment.results["label"]) <= set(open_data_set(dataset, folder).classes)
