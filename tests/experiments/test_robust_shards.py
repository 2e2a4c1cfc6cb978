"""Shards on disk: what is damaged is named, and nothing in them is trusted."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from PIL import Image
from robust_shards import IN_ALL, NAMES, edit_index

from robust_reps_ext.datasets.samples import (
    open_data_set,
)
from robust_reps_ext.datasets.shards import read_members
from robust_reps_ext.datasets.webshards import ShardImages
from robust_reps_ext.runtime.errors import InputError


def rewrite(path, members):
    """Put other members into a shard, and make the index say its new length."""
    with tarfile.open(path, "w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    edit_index(path.parent, lambda index: index["shards"][0].update(bytes=path.stat().st_size))


def members_of(path):
    with tarfile.open(path) as tar:
        return [(member, tar.extractfile(member).read()) for member in tar]


def test_an_incomplete_folder_is_refused(shards, tmp_path):
    with pytest.raises(InputError, match=r"no folder .*nowhere"):
        open_data_set("webshards", tmp_path / "nowhere")
    (shards / NAMES[3]).unlink()
    with pytest.raises(InputError, match=f"{NAMES[3]} is missing: run robust-reps robustify"):
        open_data_set("webshards", shards)
    (shards / "index.json").unlink()
    with pytest.raises(InputError, match=r"has no index.json: it is not complete"):
        open_data_set("webshards", shards)


@pytest.mark.parametrize("keep", [0, 100, 512, 20_000])
def test_a_shard_cut_short_is_named(shards, keep):
    path = shards / NAMES[1]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=f"{NAMES[1]} is damaged .it has {keep} bytes"):
        open_data_set("webshards", shards)
    edit_index(shards, lambda index: index["shards"][1].update(bytes=keep))
    with pytest.raises(InputError, match=f"{NAMES[1]} is damaged"):
        ShardImages(shards)


def test_a_flipped_bit_in_an_image_is_named(shards):
    path = shards / NAMES[0]
    offset = int(read_members(path).offsets[3]) + 700
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)
    images = ShardImages(shards)
    assert images[2][0].size == (32, 32)
    with pytest.raises(InputError, match=f"{NAMES[0]} is damaged .image 3"):
        images[3]
    loader, _ = open_data_set("webshards", shards).make_loaders(1, 4)
    with pytest.raises(InputError, match=f"^the shard .*{NAMES[0]} is damaged .image 3"):
        list(loader)
    skipping = open_data_set("webshards", shards, on_bad_image="skip")
    loader, _ = skipping.make_loaders(1, 4)
    assert sum(len(labels) for _, labels in loader) == IN_ALL - 1
    assert len(skipping.bad_images.skipped) == 1


@pytest.mark.parametrize(
    ("field", "content", "reason"),
    [
        ("cls", b"9", "label 9 is none of 9 classes"),
        ("cls", b"-1", "label -1 is none"),
        ("cls", b"dog", "invalid literal"),
        ("cls", b"1" * 70_000, "has 70000 bytes"),
        ("other", b"", "has no png"),
    ],
)
def test_a_wrong_member_is_named(shards, field, content, reason):
    path = shards / NAMES[0]
    members = members_of(path)
    place = 2 if field == "other" else 0
    member = members[place][0]
    member.name = member.name.partition(".")[0] + f".{field}"
    members[place] = (member, content)
    rewrite(path, members)
    with pytest.raises(InputError, match=f"{NAMES[0]} is damaged .*{reason}"):
        ShardImages(shards)


def test_what_is_said_of_an_image_is_read_no_deeper_than_can_be(shards):
    path = shards / NAMES[0]
    members = members_of(path)
    place = next(i for i, (member, _) in enumerate(members) if member.name.endswith(".json"))
    members[place] = (members[place][0], b"[" * 60_000)
    rewrite(path, members)
    with pytest.raises(InputError, match=f"{NAMES[0]} is damaged"):
        read_members(path, metadata=True)


def test_an_image_of_another_size_is_named(shards):
    members = members_of(shards / NAMES[0])
    buffer = io.BytesIO()
    Image.new("RGB", (16, 32)).save(buffer, "png")
    members[2] = (members[2][0], buffer.getvalue())
    rewrite(shards / NAMES[0], members)
    with pytest.raises(InputError, match=r"image 0: \(32, 16\) pixels, not \(32, 32\)"):
        ShardImages(shards)[0]


def test_names_in_a_shard_never_touch_the_disk(shards, tmp_path):
    """Absolute names, climbing names, links and devices are names, or nothing."""
    path = shards / NAMES[0]
    members = members_of(path)
    target = tmp_path / "target"
    for place, name in enumerate((f"{target}", "../../target")):
        for member, _ in members[3 * place : 3 * place + 3]:
            member.name = f"{name}.{member.name.partition('.')[2]}"
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        member = tarfile.TarInfo("link.png")
        member.type, member.linkname = kind, str(target)
        members.append((member, b""))
    rewrite(path, members)
    before = sorted(tmp_path.rglob("*"))
    images = ShardImages(shards, np.array)
    assert len([images[i] for i in range(len(images))]) == IN_ALL
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "another"}, "format 'another' is not"),
        ({"shards": [{"name": "../x.tar", "images": 1, "bytes": 1, "sha256": ""}]}, "no name of"),
        ({"shards": None}, "index.json is damaged"),
        ({"mean": [1]}, "three values"),
        ({"size": "large"}, "index.json is damaged"),
        ({"origin": {"name": "nosuch"}}, "names 'nosuch'"),
        ({"origin": {"name": "webshards"}}, "names 'webshards'"),
        ({"origin": {"name": ["critters"]}}, "which is not known"),
        ({"origin": {"name": "critters", "data": 3}}, "give a folder"),
        (
            {"origin": {"name": "critters", "arguments": {"custom_class": "os.system"}}},
            "arguments size, fit, split_seed, custom_class_args, classes only",
        ),
        ({"num_classes": 8}, "says 8 classes, 'critters' has 9"),
    ],
)
def test_a_wrong_index_is_refused(shards, change, reason):
    edit_index(shards, lambda index: index.update(change))
    with pytest.raises(InputError, match=reason):
        open_data_set("webshards", shards)


def test_an_index_that_is_no_json_is_refused(shards):
    for text in ("", "[" * 100_000, "[]", "\x00"):
        (shards / "index.json").write_text(text)
        with pytest.raises(InputError, match=r"index.json is damaged"):
            open_data_set("webshards", shards)
