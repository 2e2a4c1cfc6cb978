"""Images from anyone: what is read, what is refused in one line, and what is passed over."""

from __future__ import annotations

import io
import logging
import os
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_image_trees import BAD, CLASSES, EACH, FORKS, GOOD, saved
from PIL import Image
from robustness import loaders

from robust_reps_ext.datasets.samples import open_data_set, validation_places, validation_samples
from robust_reps_ext.datasets.targets import held_out_samples
from robust_reps_ext.runtime.errors import InputError, one_line
from robust_reps_ext.runtime.image_files import MOST_ELONGATED, BadImageError, pil_loader
from robust_reps_ext.upstream.data.bad_images import BadImages
from robust_reps_ext.upstream.data.folders import find_classes, make_dataset

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"


def png(width, height, *chunks, data=b""):
    """A PNG file of any claimed size."""

    def chunk(kind, content):
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(data))]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, chunk(b"IEND", b"")])


REFUSED = {
    "empty.png": (b"", "no JPEG, PNG, PPM, BMP, TIFF, WEBP or GIF, or damaged"),
    "text.jpg": (b"no image", "no JPEG"),
    "cut.jpg": (saved("JPEG", size=(64, 64))[:400], "runcated"),
    "bomb.png": (png(2**15, 2**15), "more than 89,478,485 pixels"),
    "half-a-bomb.png": (png(10_000, 9_000), "more than 89,478,485 pixels"),
    "strip.png": (png(1, MOST_ELONGATED + 1, data=b"\0" * 2000), "500 times the other"),
    "floats.tif": (saved("TIFF", "F", 0.5), "floating-point"),
    "postscript.jpg": (EPS, "no JPEG"),
    "icon.png": (saved("ICO"), "no JPEG"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named_in_one_line(tmp_path, name):
    content, reason = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadImageError) as caught:
        pil_loader(tmp_path / name)
    said = str(caught.value)
    assert said.startswith(f"cannot read the image {tmp_path / name} (")
    assert reason in said
    assert "\n" not in said
    assert str(tmp_path) not in said[len("cannot read the image ") + len(str(tmp_path)) :]


def test_what_looks_odd_is_read_all_the_same(tmp_path):
    """CMYK, frames, EXIF of the largest size or without sense, another ending: pixels count."""
    frames = [Image.new("P", (8, 8), i) for i in range(3)]
    for frame in frames:
        frame.putpalette([10, 20, 30, 1, 1, 1, 2, 2, 2])
    animated = io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    webp = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 20, 30)).save(
        webp, "WEBP", save_all=True, append_images=[Image.new("RGB", (8, 8))], lossless=True
    )
    color, near = (10, 20, 30), 4
    cases = {
        "cmyk.jpg": saved("JPEG", "CMYK", (245, 235, 225, 0), quality=100),
        "animated.jpg": animated.getvalue(),
        "animated.webp": webp.getvalue(),
        "exif.jpg": saved("JPEG", color=color, exif=b"Exif\0\0" + b"\xff" * 65_000, quality=100),
        "png.jpg": saved("PNG", color=color),
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        read = pil_loader(tmp_path / name)
        assert read.mode == "RGB"
        assert abs(np.asarray(read).astype(int) - color).max() <= near, name


def test_no_other_program_is_started_for_an_image(tmp_path):
    """Pillow hands EPS to Ghostscript, whatever the file's name ends in."""
    (tmp_path / "postscript.jpg").write_bytes(EPS)
    program = (
        "import sys\nfrom robust_reps_ext.runtime.image_files import pil_loader\n"
        "seen = []\n"
        "sys.addaudithook(lambda event, _: seen.append(event))\n"
        "try:\n    pil_loader(sys.argv[1])\nexcept ValueError:\n"
        "    print([e for e in seen if e.startswith(('subprocess', 'os.')) and 'Popen' in e])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "postscript.jpg")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_does_not_make_it_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadImageError, match="no ordinary file"):
        pil_loader(tmp_path / "pipe.png")


def test_a_name_cannot_write_over_the_terminal(tmp_path):
    path = tmp_path / "a\nb\x1b[2J\u202e.png"
    path.write_bytes(b"")
    with pytest.raises(BadImageError, match=r"a\\nb\\x1b\[2J\\u202e\.png"):
        pil_loader(path)
    assert one_line("ügly 名 \U0001f98a \u200c") == "ügly 名 \U0001f98a \u200c"


def test_names_of_classes_are_text(tmp_path):
    for name in ("a\x1b[2J", b"\xff".decode("utf-8", "surrogateescape"), "a\nb"):
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match="rename it"):
            find_classes(tmp_path)
        (tmp_path / name).rmdir()


def test_links_are_followed_for_reading_and_end(tmp_path):
    """A tree is often a link, and so are its class folders and its files; loops come to an end."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "0.png").write_bytes(saved("PNG"))
    tree = tmp_path / "tree"
    (tree / "files").mkdir(parents=True)
    (tree / "files" / "1.png").symlink_to(elsewhere / "0.png")
    (tree / "files" / "gone.png").symlink_to(tmp_path / "missing.png")
    (tree / "linked").symlink_to(elsewhere)
    (tree / "files" / "loop").symlink_to(tree)
    (tmp_path / "root").symlink_to(tree)
    before = {path: path.stat().st_mtime_ns for path in elsewhere.rglob("*")}
    classes, positions = find_classes(tmp_path / "root")
    images = make_dataset(tmp_path / "root", positions, [".png"])
    assert classes == ["files", "linked"]
    assert [Path(path).relative_to(tmp_path / "root").as_posix() for path, _ in images] == [
        "files/1.png",
        "files/gone.png",
        "linked/0.png",
    ]
    assert pil_loader(images[0][0]).size == (8, 8)
    with pytest.raises(BadImageError, match="no such file"):
        pil_loader(images[1][0])
    assert {path: path.stat().st_mtime_ns for path in elsewhere.rglob("*")} == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_what_may_not_be_read_is_not_left_out_in_silence(tmp_path):
    (tmp_path / "a" / "locked").mkdir(parents=True)
    (tmp_path / "a" / "0.png").write_bytes(saved("PNG"))
    (tmp_path / "a" / "0.png").chmod(0)
    with pytest.raises(BadImageError, match="permission denied"):
        pil_loader(tmp_path / "a" / "0.png")
    (tmp_path / "a" / "locked").chmod(0)
    try:
        with pytest.raises(InputError, match="locked"):
            make_dataset(tmp_path, {"a": 0}, [".png"])
    finally:
        (tmp_path / "a" / "locked").chmod(0o700)


def greys(images):
    return [round(image.mean().item() * 255) // 10 for image in images]


@FORKS
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_loaders_keep_the_order_of_the_others(tree, small, caplog, workers, batch_size):
    data_set = open_data_set("small", tree, on_bad_image="skip")
    train, val = data_set.make_loaders(workers, batch_size)
    for _ in range(2):
        found = [(i, label) for x, y in val for i, label in zip(greys(x), y.tolist(), strict=True)]
        assert found == [(i, i // EACH) for i in GOOD]
        assert sorted(i for x, _ in train for i in greys(x)) == GOOD
    names = [f"val/{CLASSES[i // EACH]}/{i:02}.png" for i in BAD]
    names += [f"train/{CLASSES[i // EACH]}/{i:02}.png" for i in BAD]
    said = data_set.bad_images.skipped
    assert len(said) == 4
    assert all(any(name in line for line in said) for name in names)
    lines = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert [line.partition(": ")[0] for line in lines] == [
        f"skipped image {i}" for i in range(1, 5)
    ]
    assert not any("--on-bad-image" in line for line in lines)


@FORKS
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_stops_by_default_and_names_the_image(tree, small, workers):
    _, val = open_data_set("small", tree).make_loaders(workers, 5, only_val=True)
    with pytest.raises(BadImageError) as caught:
        list(val)
    said = str(caught.value)
    assert said.startswith(f"cannot read the image {tree}/val/ant/02.png (")
    assert "\n" not in said


@FORKS
def test_a_worker_that_dies_is_one_line(small):
    class Deadly(torch.utils.data.Dataset):
        def __init__(self, **_):
            self.data = [0]

        def __len__(self):
            return 1

        def __getitem__(self, i):
            os.kill(os.getpid(), signal.SIGKILL)

    _, val = loaders.make_loaders(1, 1, (None, None), "", custom_class=Deadly, only_val=True)
    with pytest.raises(InputError, match="worker") as caught:
        list(val)
    assert "\n" not in str(caught.value)


def test_samples_are_taken_from_the_others(tree, small):
    """As if the order of all had been gone through, and the two were not in it."""
    data_set = open_data_set("small", tree, on_bad_image="skip")
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3)).tolist()
    expected = [i for i in order if i not in BAD]
    first = validation_samples(data_set, 4, seed=3)
    others = validation_samples(data_set, 6, skip=4, seed=3)
    assert [*first.indices.tolist(), *others.indices.tolist()] == expected
    for one in (first, others):
        assert greys(one.images) == one.indices.tolist()
        assert one.labels.tolist() == [i // EACH for i in one.indices.tolist()]
    with pytest.raises(InputError, match="10 of the 12"):
        validation_samples(data_set, 11)
    with pytest.raises(BadImageError):
        validation_samples(open_data_set("small", tree), 12)


def test_places_are_those_of_images_that_can_be_read(tree, small):
    data_set = open_data_set("small", tree, on_bad_image="skip")
    assert sorted(validation_places(data_set, None)) == GOOD
    assert validation_places(data_set, 6, seed=3) == [
        *validation_samples(data_set, 6, seed=3).indices.tolist()
    ]
    part = validation_samples(data_set, 3, skip=3, seed=3, part=slice(1, 3))
    assert part.indices.tolist() == validation_places(data_set, 6, seed=3)[4:]
    everything = open_data_set("small", tree)
    assert sorted(validation_places(everything, None)) == list(range(12))


def test_left_out_classes_pass_over_too(tree, small):
    data_set = open_data_set("small", tree, on_bad_image="skip")
    data_set.label_mapping = lambda classes, positions: (["cat"], {"cat": 0})
    found = held_out_samples(data_set, 6, seed=1)
    assert sorted(greys(found.images)) == [i for i in GOOD if i < 2 * EACH]
    assert greys(found.images) == found.indices.tolist()
    data_set.bad_images = BadImages("stop")
    with pytest.raises(BadImageError):
        held_out_samples(data_set, 8)


def test_other_words_are_refused(tree, small):
    with pytest.raises(InputError, match="choose stop, skip"):
        open_data_set("small", tree, on_bad_image="ignore")
