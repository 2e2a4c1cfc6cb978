"""Images of every kind come in by one door, and what is no image is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset
from torchvision.datasets import ImageFolder

from robust_reps_ext import InputError, load_images
from robust_reps_ext.runtime.images import as_images

PIXELS = torch.randint(0, 256, (3, 3, 6, 8), generator=torch.Generator().manual_seed(0)).byte()
FLOATS = PIXELS.float() / 255
ARRAYS = [one.permute(1, 2, 0).numpy() for one in PIXELS]
PICTURES = [Image.fromarray(one) for one in ARRAYS]
ORIENTATION = 0x0112


@pytest.fixture
def folder(tmp_path):
    for name, picture in zip("abc", PICTURES, strict=True):
        (tmp_path / "one").mkdir(exist_ok=True)
        picture.save(tmp_path / "one" / f"{name}.png")
    (tmp_path / "one" / "notes.txt").write_text("no image")
    return tmp_path


@pytest.mark.parametrize(
    "kind",
    {
        "floats": lambda _: FLOATS,
        "bytes": lambda _: PIXELS,
        "array": lambda _: np.stack(ARRAYS),
        "channels first": lambda _: PIXELS.numpy(),
        "pictures": lambda _: PICTURES,
        "arrays": lambda _: ARRAYS,
        "tensors": lambda _: tuple(FLOATS),
        "files": lambda there: [str(there / "one" / f"{name}.png") for name in "abc"],
        "a folder": lambda there: there / "one",
        "a pattern": lambda there: str(there / "one" / "*.png"),
        "an ImageFolder": lambda there: ImageFolder(str(there)),
        "a loader": lambda _: DataLoader(TensorDataset(FLOATS, torch.arange(3)), 2),
    }.items(),
    ids=lambda kind: kind[0],
)
def test_every_kind_gives_the_same_images(kind, folder):
    found = as_images("images", kind[1](folder), 3)
    assert found.dtype == torch.float32
    assert torch.equal(found, FLOATS)


def test_one_grey_channel_is_no_colour_image_but_a_grey_photograph_is():
    with pytest.raises(InputError, match=r"\(3, 1, 6, 8\), and the model takes images of 3"):
        as_images("targets", FLOATS[:, :1], 3)
    grey = PICTURES[0].convert("L")
    assert as_images("targets", grey, 3).shape == (1, 3, 6, 8)
    assert as_images("targets", PICTURES, 1).shape == (3, 1, 6, 8)
    assert torch.equal(as_images("targets", grey, 1)[0, 0], torch.tensor(np.asarray(grey)) / 255)


def test_sixteen_bits_are_scaled():
    deep = Image.fromarray(np.full((4, 4), 65535 // 2, np.uint16))
    assert as_images("targets", deep, 3).mean().item() == pytest.approx(0.5, abs=0.01)


def test_files_are_turned_as_the_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    PICTURES[0].save(tmp_path / "held.png", exif=exif)
    found = load_images(tmp_path / "held.png")
    assert torch.equal(found[0], FLOATS[0].rot90(-1, (1, 2)))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_photographs_of_several_sizes_are_brought_to_one(fit):
    wide, high = Image.new("RGB", (40, 20), "red"), Image.new("RGB", (10, 30), "red")
    with pytest.raises(InputError, match=r"several sizes.*load_images\(\.\.\., size=224\)"):
        as_images("targets", [wide, high])
    found = load_images([wide, high], size=8, fit=fit)
    assert found.shape == (2, 3, 8, 8)
    red = torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand(3, 8, 8)
    assert torch.equal(found[0], red) == (fit != "pad")
    assert torch.equal(found[0, :, 4], red[:, 4])


def test_what_is_no_image_is_told(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"cannot read the image .*broken\.png"):
        load_images(tmp_path)
    with pytest.raises(InputError, match=r"none\*\.png: no image file"):
        load_images(str(tmp_path / "none*.png"))
    with pytest.raises(InputError, match="fit='squeeze' is not known"):
        load_images(PICTURES, size=8, fit="squeeze")
    with pytest.raises(InputError, match="size=0"):
        load_images(PICTURES, size=0)
