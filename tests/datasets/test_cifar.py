"""CIFAR-10 by its name: the published pickles, and the same images as files in class folders."""

from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10

import robust_reps_ext as rr
from robust_reps_ext.datasets.samples import open_data_set, training_set, validation_set

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
EACH = 10


def pixels(batch):
    return np.random.default_rng(batch).integers(0, 256, (EACH, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """The files as they are published, with one image of each class in each, and their digests."""
    folder = tmp_path / "pickles" / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write(name, value):
        data = pickle.dumps(value)
        (folder / name).write_bytes(data)
        return [name, hashlib.md5(data).hexdigest()]

    written = []
    for i, name in enumerate(BATCHES):
        rows = pixels(i).transpose(0, 3, 1, 2).reshape(EACH, -1)
        written.append(write(name, {"data": rows, "labels": [*range(EACH)]}))
    meta = write("batches.meta", {"label_names": CLASSES})
    monkeypatch.setattr(CIFAR10, "train_list", written[:5])
    monkeypatch.setattr(CIFAR10, "test_list", written[5:])
    monkeypatch.setattr(
        CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]}
    )
    return folder.parent


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The same images as PNG files."""
    monkeypatch.setenv("ROBUST_REPS_EXT_CACHE", str(tmp_path / "cache"))
    for batch, name in enumerate(BATCHES):
        for label, image in enumerate(pixels(batch)):
            part = "test" if name == "test_batch" else "train"
            folder = tmp_path / "files" / part / CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{batch}.png")
    return tmp_path / "files"


def by_label(images):
    """The images of each class, in an order of their own."""
    found = [(label, image.flatten().tolist()) for image, label in images]
    return sorted(found)


def test_files_in_folders_are_the_same_data_as_the_pickles(published, files):
    one, other = open_data_set("cifar", published), open_data_set("cifar", files)
    assert (len(training_set(one)), len(validation_set(one))) == (50, 10)
    assert by_label(validation_set(one)) == by_label(validation_set(other))
    assert by_label(training_set(one)) == by_label(training_set(other))


def test_the_commands_take_both(published, files, command, tmp_path):
    torch.manual_seed(0)
    network = open_data_set("cifar", published).get_model("resnet18", False)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "net.pt")
    found = []
    for name, folder in (("pickles", published), ("files", files)):
        out = tmp_path / f"out-{name}"
        status, _, err = command(
            "invert", "--model", tmp_path / "net.pt", "--arch", "resnet18", "--dataset", "cifar",
            "--data", folder, "--n", 2, "--iterations", 1, "--out", out,
        )  # fmt: skip
        assert status == 0, err
        [path] = out.glob("*/inversion.safetensors")
        found.append(rr.Synthesis.load(path))
    assert [one.images.shape for one in found] == [(2, 3, 32, 32)] * 2
