"""What `invert --targets` takes: the data's own images, patterns, photographs, classes left out."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from cox_stores import read
from PIL import Image

import robust_reps_ext as rr
from robust_reps_ext.datasets.patterns import kaleidoscope
from robust_reps_ext.datasets.photographs import PHOTOGRAPHS, available, photographs
from robust_reps_ext.datasets.restricted_imagenet import sub_classes
from robust_reps_ext.datasets.samples import open_data_set, validation_samples
from robust_reps_ext.datasets.targets import held_out_samples, target_samples
from robust_reps_ext.runtime.errors import InputError

TENCH, BUS = "n01440764", "n04146614"  # ImageNet classes that are none of the nine animals


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """An ImageNet folder: black images of the nine animals, white ones of two other classes."""
    root = tmp_path_factory.mktemp("imagenet")
    wanted = {wnids[0]: 0 for wnids in sub_classes().values()} | {TENCH: 255, BUS: 255}
    for split in ("train", "val"):
        for wnid, value in wanted.items():
            (root / split / wnid).mkdir(parents=True)
            for i in range(2):
                image = Image.new("RGB", (40, 30), (value,) * 3)
                image.save(root / split / wnid / f"{i}.png")
    return root


@pytest.mark.filterwarnings("ignore:.*classes of Restricted ImageNet")
def test_held_out_images_are_of_classes_outside_the_nine(tree):
    data_set = open_data_set("restricted_imagenet", tree)
    found = held_out_samples(data_set, 4, seed=3)
    assert found.images.shape == (4, 3, 224, 224)
    assert (found.images == 1).all()
    assert sorted(found.names) == ["school bus"] * 2 + ["tench"] * 2
    assert found.labels.tolist() == [-1] * 4
    first = held_out_samples(data_set, 2, seed=3)
    assert torch.equal(first.indices, found.indices[:2])
    assert (validation_samples(data_set, 18).images == 0).all()
    with pytest.raises(InputError, match=r"n=5: .* has 4 validation images .* leaves out"):
        held_out_samples(data_set, 5)


def test_where_nothing_is_left_out_it_says_so():
    with pytest.raises(InputError, match="'critters' leaves no class out: choose kaleidoscope"):
        target_samples("held-out", open_data_set("critters"), 1)


def test_targets_have_the_size_of_the_data_and_follow_the_seed():
    data_set = open_data_set("critters")
    for kind, images in {
        "data": validation_samples(data_set, 2, seed=5).images,
        "kaleidoscope": kaleidoscope(2, size=64, seed=5),
    }.items():
        assert torch.equal(target_samples(kind, data_set, 2, seed=5).images, images)
    with pytest.raises(InputError, match="targets='patterns' is not known: choose data"):
        target_samples("patterns", data_set, 1)


@pytest.mark.parametrize("kind", ["kaleidoscope", "photographs"])
def test_the_command_inverts_them(kind, command, tmp_path):
    out = tmp_path / "out"
    given = f"invert --model critters-robust --dataset critters_fine --targets {kind} --n 2"
    status, _, told = command(*given.split(), "--iterations", 1, "--out", out)
    assert status == 0, told
    [directory] = out.iterdir()
    metadata, results = read(out, "metadata"), read(out, "results")
    assert metadata["targets"].tolist() == [kind]
    found = rr.Synthesis.load(directory / "inversion.safetensors")
    expected = {
        "kaleidoscope": (lambda: kaleidoscope(2, size=64), ["kaleidoscope"] * 2),
        "photographs": (lambda: photographs(2, size=64), ["astronaut", "chelsea"]),
    }[kind]
    assert torch.equal(found.target_images, expected[0]())
    assert results["label"].tolist() == expected[1]


def test_photographs_are_cut_square_and_resized(monkeypatch, tmp_path):
    data = tmp_path / "skimage" / "data"
    data.mkdir(parents=True)
    (tmp_path / "skimage" / "__init__.py").touch()
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 30:70] = (255, 128, 0)
    Image.fromarray(wide).save(data / PHOTOGRAPHS[0])
    monkeypatch.delitem(sys.modules, "skimage", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    [photograph] = photographs(1, size=16)
    expected = torch.tensor([255, 128, 0]) / 255
    torch.testing.assert_close(photograph, expected[:, None, None].expand(3, 16, 16))
    with pytest.raises(InputError, match=r"chelsea\.png cannot be read"):
        photographs(2, size=16)


def test_without_scikit_image_there_are_three(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    taken = photographs(3, size=32)
    assert available() == ("china.jpg", "flower.jpg", "grace_hopper.jpg")
    assert (taken.flatten(1).std(dim=1) > 0.02).all()
    with pytest.raises(InputError, match=r"n=4: .* pip install 'scikit-image>=0\.22'"):
        photographs(4)


def test_the_photographs_of_scikit_image(caplog):
    with caplog.at_level("INFO", "robust_reps_ext"):
        taken = photographs(len(available()), size=32)
    assert "cut to their middle square and resized to 32 x 32" in caplog.text
    assert taken.shape == (len(PHOTOGRAPHS) + 3, 3, 32, 32)
    assert (taken.flatten(1).std(dim=1) > 0.02).all()


def test_there_are_so_many_photographs():
    for n in (0, len(available()) + 1):
        with pytest.raises(InputError, match=f"n={n}"):
            photographs(n)
