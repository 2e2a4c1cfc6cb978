"""Data sets of the `datasets` library: parquet files on the disk become a folder of images."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import robust_reps_ext as rr
from robust_reps_ext.datasets.hugging_face import as_folder
from robust_reps_ext.datasets.samples import open_data_set, training_set, validation_set

CLASSES = ["cat", "../dog"]


@pytest.fixture(scope="module")
def library():
    found = pytest.importorskip("datasets", reason="the extra [hf] is not installed")
    if not hasattr(found, "load_dataset"):  # the folder of these tests, not the library
        pytest.skip("the extra [hf] is not installed")
    return found


@pytest.fixture(autouse=True)
def caches(request, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUST_REPS_EXT_CACHE", str(tmp_path / "cache"))
    if "library" in request.fixturenames:
        library = request.getfixturevalue("library")
        monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "arrow")
        monkeypatch.setattr(library.config, "HF_HUB_OFFLINE", True)


def picture(i, kind):
    pixels = np.random.default_rng(i).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return {"bytes": file.getvalue(), "path": None}


def write(path, rows, schema=None):
    arrow = pytest.importorskip("pyarrow", reason="the extra [hf] is not installed")
    pytest.importorskip("pyarrow.parquet").write_table(arrow.table(rows, schema=schema), path)


@pytest.fixture
def parquet(library, tmp_path):
    """Twelve images to train on, four to validate, in two files."""
    folder = tmp_path / "pets"
    features = library.Features(
        {"image": library.Image(), "label": library.ClassLabel(names=CLASSES)}
    )
    for split, start, n in (("train", 0, 12), ("validation", 100, 4)):
        kinds = ["PNG", "JPEG", "GIF"]
        rows = {
            "image": [picture(start + i, kinds[i % 3]) for i in range(n)],
            "label": [i % 2 for i in range(n)],
        }
        folder.mkdir(exist_ok=True)
        write(folder / f"{split}.parquet", rows, features.arrow_schema)
    return folder


def test_it_is_a_data_set_with_its_splits_and_classes(parquet, tmp_path):
    data_set = open_data_set(f"hf:{parquet}", size=20)
    assert data_set.classes == ("_dog", "cat")
    train, val = training_set(data_set), validation_set(data_set)
    assert (len(train), len(val)) == (12, 4)
    with Image.open(io.BytesIO(picture(100, "PNG")["bytes"])) as image:
        wanted = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    found = [image for image, label in val if data_set.classes[label] == "cat"]
    assert any(torch.equal(image, wanted) for image in found)
    # Whatever a label is called, nothing is written elsewhere.
    assert not (tmp_path / "cache" / "dog").exists()
    [kept] = (tmp_path / "cache" / "hf").glob("[!.]*")
    assert {one.name for one in kept.iterdir()} == {"train", "val"}


def test_it_is_written_once(parquet):
    one = as_folder(str(parquet))
    before = {path: path.stat().st_mtime_ns for path in one.rglob("*")}
    assert as_folder(str(parquet)) == one
    assert {path: path.stat().st_mtime_ns for path in one.rglob("*")} == before


def test_the_commands_take_it_by_name(parquet, command, tmp_path):
    torch.manual_seed(0)
    data_set = open_data_set(f"hf:{parquet}", size=20)
    network = data_set.get_model("resnet18")
    torch.save({"state_dict": network.state_dict()}, tmp_path / "net.pt")
    status, _, err = command(
        "invert", "--model", tmp_path / "net.pt", "--arch", "resnet18", "--dataset",
        f"hf:{parquet}", "--size", 32, "--n", 2, "--iterations", 1, "--out", tmp_path / "out",
    )  # fmt: skip
    assert status == 0, err
    found = rr.Synthesis.load(tmp_path / "out" / "invert-net-noise-n2" / "inversion.safetensors")
    assert found.images.shape == (2, 3, 32, 32)


def test_what_has_no_images_or_labels_is_told_in_a_line(library, tmp_path):
    (tmp_path / "words").mkdir()
    write(tmp_path / "words" / "train.parquet", {"text": ["a"]})
    with pytest.raises(rr.InputError, match=r"has no column of images \(text\)"):
        as_folder(str(tmp_path / "words"))
    with pytest.raises(rr.InputError, match=r"^hf:.*/nothing cannot be loaded: "):
        as_folder(str(tmp_path / "nothing"))


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(rr.InputError, match=r"pip install 'robust_reps_ext\[hf\]'"):
        open_data_set("hf:beans", size=32)
