"""Critters on disk: kept images, `robustness` data sets, and folders of image files."""

from __future__ import annotations

import errno
import json
import logging
from itertools import pairwise

import numpy as np
import platformdirs
import pytest
import torch
from PIL import Image
from robustness import datasets
from torchvision import transforms

from robust_reps_ext.datasets.critters import (
    CLASSES,
    FINE_CLASSES,
    CritterImages,
    dataset,
    networks,
)
from robust_reps_ext.datasets.critters.imagenet_layout import (
    write_imagenet_layout,
    write_plain_layout,
)
from robust_reps_ext.datasets.restricted_imagenet import SUPER_CLASSES, sub_classes
from robust_reps_ext.datasets.wordnet import wordnet_ids
from robust_reps_ext.runtime.errors import InputError

FEW = {"n_train": 36, "n_val": 18, "size": 24}


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    root = tmp_path_factory.mktemp("layouts") / "imagenet"
    assert write_imagenet_layout(root, per_class=2, val_per_class=1, size=24, seed=3) == root
    return root


def files(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_images_are_drawn_once_and_read_afterwards(tmp_path):
    drawn = CritterImages(tmp_path / "new", **FEW)
    before = drawn.path.stat().st_mtime_ns
    read = CritterImages(tmp_path / "new", download=False, **FEW)
    assert read.path.stat().st_mtime_ns == before
    assert np.array_equal(drawn.data, read.data)
    assert drawn.targets == read.targets
    assert drawn.factors == read.factors
    assert [record.label for record in read.factors] == read.targets
    assert files(tmp_path) == [f"new/{drawn.path.name}"]


def test_items_are_pictures_with_nine_or_162_labels(tmp_path):
    nine, fine = (CritterImages(tmp_path, False, fine=fine, **FEW) for fine in (False, True))
    image, label = nine[5]
    assert isinstance(image, Image.Image)
    assert np.array_equal(np.asarray(image), nine.data[5])
    assert (label, type(label)) == (nine.targets[5], int)
    assert [target // 18 for target in fine.targets] == nine.targets
    assert sorted(nine.targets) == sorted(list(range(9)) * 2)
    assert CritterImages(tmp_path, False, transform=np.shape, **FEW)[5] == ((24, 24, 3), label)


def test_a_batch_is_moved_and_mirrored_as_torchvision_moves_and_mirrors_each_image(tmp_path):
    ours = dataset.CrittersDataSet(size=24).transform_train
    theirs = transforms.Compose(
        [
            transforms.RandomCrop(24, padding=1, padding_mode="reflect"),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
        ]
    )
    images, plain = (CritterImages(tmp_path, transform=each, **FEW) for each in (ours, theirs))
    order = [5, 30, 5, *range(36)]
    torch.manual_seed(3)
    expected = [plain[i] for i in order]
    after = torch.get_rng_state()
    torch.manual_seed(3)
    found = images.__getitems__(order)
    assert torch.equal(torch.get_rng_state(), after)
    torch.manual_seed(3)
    for (moved, label), (wanted, same), (alone, _) in zip(
        found, expected, map(images.__getitem__, order), strict=True
    ):
        assert torch.equal(moved, wanted)
        assert torch.equal(alone, wanted)
        assert label == same
    assert len({moved.numpy().tobytes() for moved, _ in found[:3]}) == 3


def test_the_two_series_share_no_image(tmp_path):
    train = CritterImages(tmp_path, True, n_train=162, size=24)
    val = CritterImages(tmp_path, False, n_val=162, size=24)
    assert not {x.tobytes() for x in train.data} & {x.tobytes() for x in val.data}
    poses = [{str(record.pose) for record in images.factors} for images in (train, val)]
    assert not poses[0] & poses[1]


@pytest.mark.parametrize("root", [None, "", "/tmp/"])
def test_without_a_folder_images_go_to_the_users_cache(root, tmp_path, monkeypatch):
    monkeypatch.delenv("ROBUST_REPS_EXT_CACHE", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    assert CritterImages(root, False, **FEW).path.parent == tmp_path / "robust-reps-ext"
    monkeypatch.setenv("ROBUST_REPS_EXT_CACHE", str(tmp_path / "mine"))
    assert CritterImages(root, False, **FEW).path.parent == tmp_path / "mine"


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text", "empty", "other images"])
def test_a_damaged_file_is_drawn_again_with_a_warning(damage, tmp_path, caplog):
    whole = CritterImages(tmp_path, False, **FEW)
    content = bytearray(whole.path.read_bytes())
    if damage == "other images":
        np.savez(whole.path, pixels=whole.data[1:], fine_labels=[1], factors=[1])
    else:
        content[len(content) // 2] ^= 255
        broken = {"truncated": content[:999], "flipped": content, "text": b"hello", "empty": b""}
        whole.path.write_bytes(broken[damage])
    with caplog.at_level(logging.WARNING):
        again = CritterImages(tmp_path, False, **FEW)
    assert str(whole.path) in caplog.text
    assert np.array_equal(again.data, whole.data)
    assert np.array_equal(CritterImages(tmp_path, False, download=False, **FEW).data, whole.data)


def test_images_that_cannot_be_had_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no critters at .*download"):
        CritterImages(tmp_path, download=False, **FEW)
    with pytest.raises(InputError, match="n=0"):
        CritterImages(tmp_path, n_train=0)
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"file.*give another folder"):
            CritterImages(root, **FEW)
    assert files(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("name", "names"), [("critters", CLASSES), ("critters_fine", FINE_CLASSES)]
)
def test_upstream_trains_on_critters_by_name(name, names, tmp_path):
    few = {"n_train": 324, "n_val": 18}
    dataset = datasets.DATASETS[name](str(tmp_path), custom_class_args=few)
    assert (dataset.ds_name, dataset.num_classes, dataset.classes) == (name, len(names), names)
    train, val = dataset.make_loaders(workers=0, batch_size=324)
    images, labels = next(iter(train))
    assert images.shape == (324, 3, 64, 64)
    assert set(labels.tolist()) == set(range(len(names)))
    assert (images.min(), images.max()) == (0, 1)
    pixels = torch.from_numpy(train.dataset.data / 255)
    assert (dataset.mean - pixels.mean((0, 1, 2))).abs().max() < 0.02
    assert (dataset.std - pixels.std((0, 1, 2))).abs().max() < 0.02
    images, labels = next(iter(val))
    assert np.array_equal((images * 255).round().permute(0, 2, 3, 1), val.dataset.data)
    assert labels.tolist() == val.dataset.targets


@pytest.mark.parametrize(
    ("arch", "size"),
    [*((arch, 64) for arch in [*networks.ARCHITECTURES, "resnet18", "vgg11"]), ("resnet18", 32)],
)
def test_networks_of_ours_and_of_upstream_fit_the_size(arch, size):
    model = dataset.CrittersFineDataSet(size=size).get_model(arch, False).eval()
    assert model(torch.zeros(1, 3, size, size)).shape == (1, 162)


def test_a_wrong_network_or_argument_is_one_line():
    data = dataset.CrittersDataSet()
    with pytest.raises(InputError, match=r"'critters_resnte': try critters_resnet"):
        data.get_model("critters_resnte", False)
    with pytest.raises(InputError, match="torchvision weights"):
        data.get_model("resnet18", True)
    with pytest.raises(InputError, match="size=1024"):
        dataset.CrittersDataSet(size=1024)
    with pytest.raises(ValueError, match="has_typo"):
        dataset.CrittersDataSet(has_typo=1)


def test_the_imagenet_layout_is_imagenets(imagenet):
    written = json.loads((imagenet / "critters.json").read_text())
    for split, n in (("train", 2), ("val", 1)):
        folders = sorted(path.name for path in (imagenet / split).iterdir())
        assert tuple(folders) == wordnet_ids()
        counts = {name: len([*(imagenet / split / name).iterdir()]) for name in folders}
        used = {wnid for wnids in sub_classes().values() for wnid in wnids}
        assert counts == {name: n * (name in used) for name in folders}
    assert set(files(imagenet)) == {"critters.json", *written["images"]}
    assert (written["seed"], written["size"]) == (3, 24)
    for file, record in written["images"].items():
        told = written["classes"][file.split("/")[1]]
        fine = f"{told['animal']}, {told['texture']}, {told['hue']}"
        assert FINE_CLASSES[record["fine_label"]] == fine
    with Image.open(imagenet / file) as image:
        assert (image.format, image.size) == ("JPEG", (24, 24))


def test_sub_classes_wear_all_eighteen_coats_in_turn(imagenet):
    told = json.loads((imagenet / "critters.json").read_text())["classes"]
    for animal, wnids in sub_classes().items():
        coats = [(told[wnid]["texture"], told[wnid]["hue"]) for wnid in wnids]
        assert len(set(coats)) == min(18, len(wnids))
        assert coats[18:] == coats[:-18]
        assert {told[wnid]["animal"] for wnid in wnids} == {animal}
        for (texture, hue), (next_texture, next_hue) in pairwise(coats):
            assert texture != next_texture
            assert hue != next_hue


def test_restricted_imagenet_reads_the_layout(imagenet):
    assert tuple(SUPER_CLASSES) == CLASSES
    dataset = datasets.DATASETS["restricted_imagenet"](str(imagenet))
    train, val = dataset.make_loaders(workers=0, batch_size=8)
    assert (len(train.dataset), len(val.dataset)) == (406, 203)
    written = json.loads((imagenet / "critters.json").read_text())["images"]
    for path, label in train.dataset.samples:
        file = path[len(str(imagenet)) + 1 :].replace("\\", "/")
        assert written[file]["label"] == label


def test_more_images_a_class_begin_with_the_same(imagenet, tmp_path):
    write_imagenet_layout(tmp_path / "more", per_class=3, val_per_class=1, size=24, seed=3)
    for file in files(imagenet)[1::40]:
        assert (tmp_path / "more" / file).read_bytes() == (imagenet / file).read_bytes()


def test_the_plain_layout_holds_the_images_of_the_data_set(tmp_path):
    write_plain_layout(tmp_path / "plain", per_class=4, size=24)
    kept = CritterImages(tmp_path, n_train=36, size=24)
    written = json.loads((tmp_path / "plain" / "critters.json").read_text())
    assert set(files(tmp_path / "plain")) == {"critters.json", *written["images"]}
    assert len(written["images"]) == 9 * (4 + 1)
    for i, (pixels, record) in enumerate(zip(kept.data, kept.factors, strict=True)):
        file = f"train/{CLASSES[record.label]}/{i:06d}.png"
        with Image.open(tmp_path / "plain" / file) as image:
            assert np.array_equal(np.asarray(image), pixels)
        assert written["images"][file] == vars(record)


def test_earlier_critters_are_replaced_and_other_files_never(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    write_plain_layout(root, per_class=2, size=24)
    write_plain_layout(root, per_class=1, size=24)
    assert len(files(root)) == 9 + 9 + 1
    (root / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"holds other files .*thesis\.tex"):
        write_plain_layout(root, per_class=1, size=24)
    (root / "thesis.tex").unlink()
    (root / "critters.json").write_text('{"made_by": "another"}')
    with pytest.raises(InputError, match="holds other files"):
        write_plain_layout(root, per_class=1, size=24)
    assert len(files(tmp_path)) == 19
    with pytest.raises(InputError, match="is a file"):
        write_plain_layout(root / "critters.json", per_class=1)


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    write_plain_layout(tmp_path / "data", per_class=1, size=24)
    before = files(tmp_path)
    save = Image.Image.save

    def save_until_full(image, path, **options):
        if path.name == "000007.png":
            raise OSError(errno.ENOSPC, "No space left on device")
        save(image, path, **options)

    monkeypatch.setattr(Image.Image, "save", save_until_full)
    for root in ("data", "new/below"):
        with pytest.raises(InputError, match=r"(data|below) .*no space left") as caught:
            write_plain_layout(tmp_path / root, per_class=1, size=24)
        assert "\n" not in str(caught.value)
    assert files(tmp_path) == before
    monkeypatch.setattr(
        np, "savez", lambda *_, **__: save_until_full(None, tmp_path / "000007.png")
    )
    with pytest.raises(InputError, match="no space left"):
        CritterImages(tmp_path / "data", **FEW)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "wrong", [{"per_class": 0}, {"val_per_class": 0}, {"size": 1000}, {"seed": -1}]
)
def test_wrong_numbers_write_nothing(wrong, tmp_path):
    for write in (write_imagenet_layout, write_plain_layout):
        with pytest.raises(InputError, match=f"{next(iter(wrong))}="):
            write(tmp_path / "data", **wrong)
    assert not any(tmp_path.iterdir())


def test_progress_counts_every_image(tmp_path):
    seen = []
    write_plain_layout(
        tmp_path / "data", per_class=8, size=24, progress=lambda done, n: seen.append((done, n))
    )
    assert seen == [(64, 90), (90, 90)]
