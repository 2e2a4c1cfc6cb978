"""Decoded pixels in the cache: made once, and again where they are stale or damaged."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from robust_reps_ext.datasets import decoded as module
from robust_reps_ext.datasets.decoded import Decoded, decoded
from robust_reps_ext.runtime.errors import InputError

SIZE = 8


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    paths = [str(tmp_path / "data" / f"{i}.png") for i in range(5)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)).save(path)
    return paths


@pytest.fixture
def kept(tmp_path, files):
    def call():
        return decoded(files, tmp_path / "data", "some", SIZE, cache=tmp_path / "cache")

    return call


def in_cache(tmp_path):
    return sorted(path for path in (tmp_path / "cache").iterdir())


def test_pixels_are_those_of_the_files_and_no_file_is_read_again(kept, files, tmp_path):
    first = kept()
    assert first.pixels.dtype == np.uint8
    assert not first.bad.any()
    for pixels, path in zip(first.pixels, files, strict=True):
        with Image.open(path) as image:
            assert np.array_equal(pixels.transpose(1, 2, 0), np.asarray(image))
    [path] = in_cache(tmp_path)
    made, facts = path.read_bytes(), os.stat(files[0])
    with open(files[0], "r+b") as file:
        file.write(b"other")
    os.utime(files[0], ns=(facts.st_atime_ns, facts.st_mtime_ns))
    second = kept()
    assert np.array_equal(second.pixels, first.pixels)
    second.pixels[:] = 0  # in memory alone
    assert path.read_bytes() == made
    assert np.array_equal(kept().pixels, first.pixels)


def test_files_that_have_changed_are_decoded_again_and_what_was_kept_goes(kept, files, tmp_path):
    before = kept()
    [old] = in_cache(tmp_path)
    Image.new("RGB", (SIZE, SIZE), (7, 7, 7)).save(files[2])
    after = kept()
    assert (after.pixels[2] == 7).all()
    assert np.array_equal(after.pixels[3], before.pixels[3])
    [new] = in_cache(tmp_path)
    assert new != old
    os.utime(files[4], ns=(1, 1))
    kept()
    assert in_cache(tmp_path) != [new]
    os.unlink(files[4])
    assert kept().bad.tolist() == [False] * 4 + [True]


@pytest.mark.parametrize("damage", ["cut", "longer", "empty", "text", "of another kind", "pickle"])
def test_a_damaged_file_is_made_again_with_a_warning(damage, kept, tmp_path, caplog):
    pixels = np.array(kept().pixels)
    [path] = in_cache(tmp_path)
    whole = path.read_bytes()
    broken = {"cut": whole[:-9], "longer": whole + b"0", "empty": b"", "text": b"hello"}
    if damage in broken:
        path.write_bytes(broken[damage])
    else:
        odd = np.zeros(5, object if damage == "pickle" else np.uint8)
        np.save(path, odd, allow_pickle=True)
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(kept().pixels, pixels)
    assert f"{path} is damaged" in caplog.text
    assert path.read_bytes() == whole


def test_what_cannot_be_decoded_is_marked(kept, files, tmp_path):
    with open(files[1], "wb") as file:
        file.write(b"bad")
    Image.new("RGB", (SIZE, SIZE + 1)).save(files[3])
    assert kept().bad.tolist() == [False, True, False, True, False]


def test_a_copy_for_another_process_maps_the_file(kept):
    there = kept()
    sent = pickle.dumps(there)
    assert len(sent) < 500
    assert np.array_equal(pickle.loads(sent).pixels, there.pixels)


CODE = """
import sys
from pathlib import Path
from robust_reps_ext.datasets.decoded import decoded
folder = Path(sys.argv[1])
found = decoded(sys.argv[2:], folder / "data", "some", 8, cache=folder / "cache")
print(found.pixels.sum())
"""


def test_two_processes_at_once_get_the_same(files, kept, tmp_path):
    command = [sys.executable, "-c", CODE, str(tmp_path), *files]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [int(one.communicate(timeout=120)[0]) for one in both]
    assert said == [int(kept().pixels.sum())] * 2
    assert len(in_cache(tmp_path)) == 1  # no lock and nothing unfinished


def test_what_a_killed_process_left_is_removed(kept, tmp_path, monkeypatch):
    kept()
    [path] = in_cache(tmp_path)
    path.rename(path.with_name(f".{path.name}.0123456789abcdef.tmp"))
    kept()
    assert in_cache(tmp_path) == [path]


def test_many_files_are_decoded_on_every_core_in_their_order(files, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 1)  # five chunks: more than one process takes
    assert np.array_equal(kept().pixels, [module.read_pixels(path, SIZE) for path in files])


def test_a_cache_that_cannot_be_written_is_one_line(files, tmp_path):
    (tmp_path / "file").touch()
    for cache in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"cannot be kept .*ROBUST_REPS_EXT_CACHE") as caught:
            decoded(files, tmp_path / "data", "some", SIZE, cache=cache)
        assert "\n" not in str(caught.value)


def test_the_environment_names_the_folder(files, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUST_REPS_EXT_CACHE", str(tmp_path / "mine"))
    decoded(files, tmp_path / "data", "some", SIZE)
    [path] = (tmp_path / "mine" / "decoded").iterdir()
    assert isinstance(Decoded(path, len(files), SIZE), Decoded)
    assert sorted(os.listdir(tmp_path / "data")) == sorted(map(os.path.basename, files))
