"""Robust data sets: what is in the shards, that they survive kills, and that they are data."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset
from robust_shards import FAST, IN_ALL, NAMES, edit_index
from torch.utils.data import DataLoader

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters.networks import CrittersResNet
from robust_reps_ext.datasets.samples import (
    open_data_set,
    training_set,
    validation_samples,
    validation_set,
)
from robust_reps_ext.datasets.shards import read_index, read_members
from robust_reps_ext.datasets.webshards import ShardImages
from robust_reps_ext.runtime.errors import InputError

PROCESS = """
import sys
from pathlib import Path
import torch
import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import CrittersDataSet
from robust_reps_ext.experiments import robust_data
from robust_reps_ext.datasets.critters.networks import CrittersResNet

folder, out, log, steps = sys.argv[1:]
torch.set_num_threads(1)
write = robust_data.write_shard

def logged(path, samples):
    write(path, samples)
    with open(log, "a") as file:
        file.write(f"{path.name}\\n")

robust_data.write_shard = logged
data = CrittersDataSet(folder, size=32, custom_class_args={"n_train": 18, "n_val": 9})
torch.manual_seed(0)
model = rr.load_model(CrittersResNet(width=8), dataset=data)
rr.robustify(model, data, out, shard_size=5, iterations=int(steps), schedule="cosine-momentum")
"""


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.tar")}


def facts_of(folder):
    return [fact for name in NAMES for fact in read_members(folder / name, metadata=True).metadata]


def test_shards_hold_each_image_once_with_label_and_distance(made, model, data):
    originals = training_set(data)
    facts = facts_of(made)
    assert [one["source"] for one in facts] == list(range(IN_ALL))
    assert all(one["start"] != one["source"] for one in facts)
    assert len({one["start"] for one in facts}) > IN_ALL // 3
    assert {len(read_members(made / name).labels) for name in NAMES} == {5, 3}
    stored = ShardImages(made, torch.tensor)
    pixels = torch.stack([torch.tensor(np.array(stored._image(i))) for i in range(IN_ALL)])
    found = pixels.permute(0, 3, 1, 2) / 255
    wanted = torch.stack([originals[i][0] for i in range(IN_ALL)])
    starts = torch.stack([originals[one["start"]][0] for one in facts])
    assert (
        stored.targets == originals.dataset.targets
        if hasattr(originals, "dataset")
        else (stored.targets == originals.targets)
    )
    reached, aim, begun = (rr.representation(model, images) for images in (found, wanted, starts))
    distance = (reached - aim).norm(dim=1) / aim.norm(dim=1)
    torch.testing.assert_close(
        torch.tensor([one["distance"] for one in facts]), distance, rtol=1e-4, atol=1e-6
    )
    assert (distance < (begun - aim).norm(dim=1) / aim.norm(dim=1)).all()


def test_the_images_are_those_of_invert(made, model, data):
    originals = training_set(data)
    facts = facts_of(made)
    wanted = torch.stack([originals[i][0] for i in range(5)])
    starts = torch.stack([originals[one["start"]][0] for one in facts[:5]])
    length = 2 * 0.1 * 1000 / 3  # the way, three steps of falling length
    longest = 0.07 * (3 * 32 * 32) ** 0.5
    same = rr.invert(
        model, wanted, start=starts, iterations=3, schedule="cosine-momentum",
        step_size=min(length, 2 * 3.5 * (3 * 32 * 32) ** 0.5 / 3, longest),
    )  # fmt: skip
    stored = ShardImages(made, lambda image: torch.tensor(np.array(image)).permute(2, 0, 1))
    found = torch.stack([stored[i][0] for i in range(5)])
    assert (found.float() - same.images * 255).abs().max() <= 0.51


def test_the_default_is_theirs_for_cifar(model, data, tmp_path):
    index = rr.robustify(model, data, tmp_path, n=1, start="noise", iterations=1)
    assert index.settings["step_size"] == pytest.approx(0.1)
    assert index.settings["start"] == "noise"
    (facts,) = read_members(tmp_path / NAMES[0], metadata=True).metadata
    assert facts["start"] == "noise"


def test_what_is_drawn_depends_on_seed_and_image_alone(made, model, data, tmp_path):
    all_starts = [one["start"] for one in facts_of(made)]
    index = rr.robustify(model, data, tmp_path / "few", n=7, **{**FAST, "shard_size": 3})
    facts = [
        fact
        for shard in index.shards
        for fact in read_members(tmp_path / "few" / shard.name, metadata=True).metadata
    ]
    assert len({one["source"] for one in facts}) == 7
    assert [one["start"] for one in facts] == [all_starts[one["source"]] for one in facts]
    few = ShardImages(tmp_path / "few", lambda image: np.array(image).astype(int))
    every = ShardImages(made, lambda image: np.array(image).astype(int))
    for i, one in enumerate(facts):
        assert np.abs(few[i][0] - every[one["source"]][0]).max() <= 1
    rr.robustify(model, data, tmp_path / "other", seed=1, n=IN_ALL, **FAST)
    others = [one["start"] for one in facts_of(tmp_path / "other")]
    assert others != all_starts


def test_index_says_what_is_there(made, data):
    index = json.loads((made / "index.json").read_text())
    assert [shard["name"] for shard in index["shards"]] == NAMES
    assert [shard["images"] for shard in index["shards"]] == [5, 5, 5, 3]
    for shard in index["shards"]:
        content = (made / shard["name"]).read_bytes()
        assert shard["sha256"] == hashlib.sha256(content).hexdigest()
    assert index["classes"] == list(data.classes)
    assert index["mean"] == pytest.approx(data.mean.tolist())
    assert index["distance"] == pytest.approx(np.mean([one["distance"] for one in facts_of(made)]))


def test_the_index_has_a_figure_a_table_and_two_lines_as_every_result(made, tmp_path):
    index, facts = read_index(made), facts_of(made)
    frame = index.to_frame()
    assert len(frame) == index.images == sum(frame["shard"].value_counts())
    assert frame["distance"].tolist() == [one["distance"] for one in facts]
    assert frame["label"].tolist() == ShardImages(made).targets
    shown = index.figure(n=6)
    assert [text.get_text() for text in shown.texts][-6:] == [
        index.classes[label] for label in frame["label"][:6]
    ]
    first, second = repr(index).split("\n")
    assert f"of {index.images} images" in first
    assert second.startswith("data critters")
    with pytest.raises(InputError, match="n=0: give a whole number, 1 or more"):
        index.figure(n=0)


def test_the_webdataset_library_reads_them(made):
    urls = str(made / "shard-{000000..000003}.tar")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves closing to the collector
        read = webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8")
        samples = list(read.to_tuple("png", "cls", "json"))
        del read
        gc.collect()
    ours = ShardImages(made, np.array)
    assert len(samples) == len(ours) == IN_ALL
    for i, (image, label, facts) in enumerate(samples):
        assert np.array_equal(image, ours[i][0])
        assert label == ours[i][1]
        assert facts["source"] == i


def test_the_same_call_makes_what_is_missing_and_nothing_else(shards, model, data):
    before = contents(shards)
    kept = {name: (shards / name).stat().st_mtime_ns for name in NAMES if name != NAMES[2]}
    (shards / NAMES[2]).unlink()
    (shards / f".{NAMES[2]}.123.tmp").write_bytes(b"what a kill left")
    rr.robustify(model, data, shards, **FAST)
    assert contents(shards) == before
    assert {name: (shards / name).stat().st_mtime_ns for name in kept} == kept
    assert not list(shards.glob("*.tmp")) + list(shards.glob(".*.tmp"))


def test_other_settings_are_refused_unless_shards_may_be_replaced(shards, model, data):
    before = contents(shards)
    with pytest.raises(
        InputError, match=r"made with seed=0 \(now 2\), iterations=3 \(now 2\): give these again"
    ):
        rr.robustify(model, data, shards, seed=2, **{**FAST, "iterations": 2})
    torch.manual_seed(1)
    another = rr.load_model(CrittersResNet(width=8), dataset=data)
    with pytest.raises(InputError, match=r"made with weights='\w+' \(now '\w+'\): "):
        rr.robustify(another, data, shards, **FAST)
    assert contents(shards) == before
    rr.robustify(model, data, shards, overwrite=True, **FAST)
    assert contents(shards) == before
    index = rr.robustify(model, data, shards, overwrite=True, **{**FAST, "shard_size": 9})
    assert [shard.images for shard in index.shards] == [9, 9]
    assert sorted(contents(shards)) == NAMES[:2]


def test_shards_of_unknown_settings_are_refused(shards, model, data):
    (shards / "robustified.json").unlink()
    with pytest.raises(InputError, match=r"robustified\.json is missing"):
        rr.robustify(model, data, shards, **FAST)
    (shards / "robustified.json").write_text("{")
    with pytest.raises(InputError, match=r"robustified\.json is damaged"):
        rr.robustify(model, data, shards, **FAST)


def test_a_shard_of_other_settings_is_named(shards, model, data, tmp_path):
    rr.robustify(model, data, tmp_path / "other", **{**FAST, "iterations": 1})
    (shards / NAMES[1]).write_bytes((tmp_path / "other" / NAMES[1]).read_bytes())
    (shards / "index.json").unlink()
    with pytest.raises(InputError, match=f"{NAMES[1]} is damaged .it was made with other"):
        rr.robustify(model, data, shards, **FAST)


def started(folder, out, log, steps, rank=0, world=1):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROCESS, *map(str, (folder, out, log, steps))],
        env={**os.environ, "RANK": str(rank), "WORLD_SIZE": str(world)},
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_two_processes_share_and_a_kill_loses_a_shard_at_most(made, folder, data, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    killed, other = (started(folder, out, log, 3, rank, 2) for rank in range(2))
    end = time.monotonic() + 300
    while not (log.exists() and log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert other.wait(300) == 0
    assert contents(out) == contents(made)
    made_once = log.read_text().split()
    # The kill may have come between a shard and its line.
    assert len(NAMES) - 1 <= len(made_once) == len(set(made_once))
    assert (out / "index.json").exists()
    assert not list(out.glob(".*"))


def test_webshards_is_the_data_set_with_other_training_images(made, data):
    found = open_data_set("webshards", made)
    assert (found.num_classes, found.classes, found.size) == (9, data.classes, 32)
    torch.testing.assert_close(found.mean, data.mean)
    torch.testing.assert_close(found.std, data.std)
    images = training_set(found)
    assert len(images) == IN_ALL
    assert images[0][0].shape == (3, 32, 32)
    ours, theirs = validation_set(found), validation_set(data)
    assert len(ours) == len(theirs) == 9
    assert all(torch.equal(ours[i][0], theirs[i][0]) and ours[i][1] == theirs[i][1] for i in (0, 8))
    assert validation_samples(found, 2).names == validation_samples(data, 2).names


def test_the_order_is_that_of_the_seed_whatever_the_workers(made):
    def epoch(workers):
        torch.manual_seed(3)
        loader, _ = open_data_set("webshards", made).make_loaders(workers, 4, data_aug=False)
        return [torch.cat(parts) for parts in zip(*loader, strict=True)]

    alone, shared = epoch(0), epoch(2)
    assert all(torch.equal(one, other) for one, other in zip(alone, shared, strict=True))
    assert sorted(alone[1].tolist()) == sorted(ShardImages(made).targets)
    assert alone[1].tolist() != ShardImages(made).targets


def test_training_takes_the_augmentation_of_the_data_set(made):
    torch.manual_seed(0)
    augmented, _ = open_data_set("webshards", made).make_loaders(0, IN_ALL, shuffle_train=False)
    plain = DataLoader(training_set(open_data_set("webshards", made)), IN_ALL)
    (moved, labels), (still, same) = next(iter(augmented)), next(iter(plain))
    assert torch.equal(labels, same)
    assert not torch.equal(moved, still)


def test_robustness_main_trains_on_them(made, tmp_path, capsys):
    from robust_reps_ext.upstream.training.command import run

    line = "--arch critters_resnet --adv-train 0 --epochs 1 --batch-size 9 --weight-decay 5e-4"
    places = f"--dataset webshards --data {made} --out-dir {tmp_path} --step-lr 5 --workers 0"
    with pytest.raises(SystemExit) as end:
        run([*line.split(), *places.split()])
    said = capsys.readouterr()
    assert end.value.code == 0, said.err
    assert "after epoch 1: clean accuracy" in said.out


def test_shards_of_shards_come_from_the_first_data_set(made, model, tmp_path):
    index = rr.robustify(model, open_data_set("webshards", made), tmp_path, n=2, **FAST)
    assert index.origin["name"] == "critters"
    assert len(training_set(open_data_set("webshards", tmp_path))) == 2


def test_what_is_drawn_is_kept_in_one_s_own_place(shards, tmp_path):
    """And not in one that whoever made the shards names."""
    elsewhere = tmp_path / "elsewhere" / "deep"
    edit_index(shards, lambda index: index["origin"].update(data=str(elsewhere)))
    assert len(validation_set(open_data_set("webshards", shards)))
    assert not elsewhere.parent.exists()


def test_validation_images_that_have_moved_are_missed_with_the_way_out(shards, tmp_path):
    edit_index(
        shards,
        lambda index: index.update(
            origin={"name": "restricted_imagenet", "data": str(tmp_path / "gone")}
        ),
    )
    with pytest.raises(InputError, match=r"no folder .*gone.* \(.*index.json names it as origin\)"):
        validation_set(open_data_set("webshards", shards))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"start": "grey"}, "start='grey' is not known: give images or noise"),
        ({"shard_size": 0}, "shard_size=0: give a whole number, 1 or more"),
        ({"n": 0}, "n=0: there are 18 training images"),
        ({"n": 19}, "n=19: there are 18 training images"),
        ({"iterations": 0}, "iterations=0"),
        ({"frames": 4}, "frames= is of no use"),
        ({"layer": lambda network: network}, "layer= is a function"),
        ({"eps": torch.ones(18)}, "eps= has a number for each image"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(model, data, tmp_path, options, reason):
    with pytest.raises(InputError, match=reason):
        rr.robustify(model, data, tmp_path / "out", **{**FAST, **options})
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_refused(model, data, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"cannot write to .*file/out: .*; give another folder"):
        rr.robustify(model, data, Path(tmp_path, "file", "out"), **FAST)
