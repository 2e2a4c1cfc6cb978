"""Tiny ImageNet: labels, names, layouts, the nine animals, and what is wrong with a folder."""

from __future__ import annotations

import logging
import os
import signal
from functools import partial

import pytest
import torch
from bad_image_trees import FORKS
from networks import Linear
from robustness import datasets, defaults
from tiny_imagenet_trees import (
    CLASSES,
    N_TRAIN,
    N_VAL,
    NAMES,
    grey,
    grow,
    save,
    sort_into_folders,
)
from torchvision import transforms
from training_runs import equal, train_in

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters.networks import critters_resnet
from robust_reps_ext.datasets.restricted_imagenet import SUPER_CLASSES
from robust_reps_ext.datasets.samples import open_data_set, validation_samples, validation_set
from robust_reps_ext.datasets.targets import held_out_samples
from robust_reps_ext.datasets.tiny_imagenet import TinyImages
from robust_reps_ext.results.reader import read_results
from robust_reps_ext.runtime import random_state
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.runtime.image_files import BadImageError
from robust_reps_ext.runtime.signals import Interrupted
from robust_reps_ext.upstream.data.bad_images import BadImages
from robust_reps_ext.upstream.training.command import run as training

RESTRICTED = "restricted_tiny_imagenet"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUST_REPS_EXT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tree(tmp_path):
    return grow(tmp_path / "tiny")


def pairs(images):
    """The label and the grey of each image."""
    greys = images.images.float().mean((1, 2, 3)).round().int().tolist()
    return sorted(zip(images.targets, greys, strict=True))


def test_classes_are_those_of_the_lists_in_their_order(tree):
    data_set = open_data_set("tiny_imagenet", tree)
    assert (data_set.num_classes, data_set.classes, data_set.size) == (4, NAMES, 64)
    assert data_set.ds_name == "tiny_imagenet"
    torch.testing.assert_close(data_set.mean, torch.tensor([0.4802, 0.4481, 0.3975]))
    torch.testing.assert_close(data_set.std, torch.tensor([0.2770, 0.2691, 0.2821]))
    for split, n in (("train", N_TRAIN), ("val", N_VAL)):
        images = TinyImages(tree, split == "train")
        assert len(images) == len(images.paths) == 4 * n
        pixels = images.images
        assert (pixels.shape, pixels.dtype) == ((4 * n, 3, 64, 64), torch.uint8)
        expected = [(label, grey(split, label, i)) for label in range(4) for i in range(n)]
        assert pairs(images) == expected


def test_names_are_shown_with_samples(tree):
    data_set = open_data_set("tiny_imagenet", tree)
    found = validation_samples(data_set, 8)
    assert found.images.shape == (8, 3, 64, 64)
    assert found.names == tuple(NAMES[label] for label in found.labels)
    greys = (found.images.mean((1, 2, 3)) * 255).round().int() - 100
    assert torch.equal(greys // 20, found.labels)


@pytest.mark.parametrize("within", ["", "images"])
def test_validation_images_may_lie_in_class_folders(tree, within):
    before = pairs(TinyImages(tree, False))
    after = TinyImages(sort_into_folders(tree, within), False)
    assert pairs(after) == before
    (tree / "val" / "images").mkdir()
    (tree / "val" / "val_annotations.txt").unlink()
    assert pairs(TinyImages(tree, False)) == before


def test_what_is_of_no_class_is_left_out_in_one_line(tree, caplog):
    (tree / "wnids.txt").write_text("n01641577\nn02123045\n")
    data_set = open_data_set("tiny_imagenet", tree)
    train, val = data_set.make_loaders(0, 4)
    assert data_set.classes == ("bullfrog", "tabby")
    assert (len(train.dataset), len(val.dataset)) == (2 * N_TRAIN, 2 * N_VAL)
    said = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert said == [
        f"{tree}/val/images: ignored 4 images of no class in wnids.txt "
        "(val_1.JPEG, val_3.JPEG, val_5.JPEG, val_7.JPEG)",
        f"{tree}/train: ignored 2 folders of no class in wnids.txt (n01443537, n02085620)",
    ]


def test_some_classes_by_name_or_id(tree):
    some = open_data_set("tiny_imagenet", tree, classes=["n02085620", "goldfish"])
    assert (some.classes, some.num_classes) == (("goldfish", "Chihuahua"), 2)
    found = validation_set(some)
    places = {0: 1, 1: 3}
    assert pairs(found) == [(k, grey("val", places[k], i)) for k in places for i in range(N_VAL)]
    assert held_out_samples(some, 4).names.count("tabby") == 2
    with pytest.raises(InputError, match=r"classes='goldfsh' is none .* try goldfish"):
        open_data_set("tiny_imagenet", tree, classes=["goldfsh"])
    with pytest.raises(InputError, match="give a list"):
        open_data_set("tiny_imagenet", tree, classes="goldfish")


def test_the_animals_that_are_there_are_told_from_those_that_are_not(tree, caplog):
    data_set = open_data_set(RESTRICTED, tree)
    assert (data_set.classes, data_set.num_classes) == (("dog", "cat", "frog"), 3)
    there = "dog (1 class), cat (1 class), frog (1 class); no turtle, bird, primate, fish, crab, "
    assert data_set.description == f"{there}insect"
    assert [one.getMessage() for one in caplog.records] == [f"{RESTRICTED}: {there}insect"]
    found = validation_samples(data_set, 6)
    animals = [animal for _, animal in CLASSES.values()]
    labels = {animals.index(name): name for name in data_set.classes}
    for image, name in zip(found.images, found.names, strict=True):
        assert labels[int(image.mean() * 255 + 2 - 100) // 20] == name
    left = held_out_samples(data_set, N_VAL)
    assert left.names == ("goldfish",) * N_VAL
    with pytest.raises(InputError, match="leaves no class out"):
        held_out_samples(open_data_set("tiny_imagenet", tree), 1)


def test_animals_are_numbered_in_the_papers_order_with_none_missing(tmp_path, caplog):
    from robust_reps_ext.datasets.restricted_imagenet import sub_classes

    some = [wnid for wnids in sub_classes().values() for wnid in wnids[:2]]
    (tmp_path / "wnids.txt").write_text("\n".join(reversed(some)))
    with caplog.at_level(logging.INFO):
        data_set = open_data_set(RESTRICTED, tmp_path)
    assert data_set.classes == tuple(SUPER_CLASSES)
    assert data_set.description.endswith("insect (2 classes)")
    (tmp_path / "wnids.txt").write_text("n01443537")
    with pytest.raises(InputError, match="none of these 1 classes"):
        open_data_set(RESTRICTED, tmp_path)


def test_a_class_without_a_name_is_called_by_its_id(tree, caplog):
    (tree / "words.txt").write_text("n01443537\tgoldfish\n")
    assert open_data_set("tiny_imagenet", tree).classes[:2] == ("n02123045", "goldfish")
    assert "does not name n02123045, n01641577, n02085620" in caplog.text
    (tree / "words.txt").unlink()
    assert open_data_set("tiny_imagenet", tree).classes == tuple(CLASSES)


def annotate(line, tree):
    path = tree / "val" / "val_annotations.txt"
    path.write_text(path.read_text() + line)


def without(name, tree):
    (tree / name).rename(tree / "elsewhere")


def wnids(text, tree):
    (tree / "wnids.txt").write_text(text)


def empty(tree):
    without("train", tree)
    (tree / "train").mkdir()


WRONG = {
    "no lists": (partial(without, "wnids.txt"), r"has no wnids\.txt: give the folder of Tiny"),
    "no word": (partial(wnids, "\n"), r"wnids\.txt has no line: give one id"),
    "no id": (partial(wnids, "n02123045\ncat\n"), r"wnids\.txt has 'cat', no WordNet id"),
    "a path": (partial(wnids, "../../etc\n"), r"'\.\./\.\./etc', no WordNet id"),
    "one twice": (partial(wnids, "n02123045\n" * 2), r"n02123045 twice"),
    "no train": (partial(without, "train"), r"tiny has no train/ folder: give .* wnids\.txt"),
    "empty train": (empty, r"train has no class folders"),
    "no val": (partial(without, "val"), r"tiny has no val/ folder"),
    "lost class": (
        partial(without, "train/n01641577"),
        r"train has no images of 1 of the 4 classes \(n01641577\): bring them, or take",
    ),
    "lost annotations": (
        partial(without, "val/val_annotations.txt"),
        r"val/images holds images, and there is no .*val_annotations\.txt",
    ),
    "unknown file": (
        partial(annotate, "val_99.JPEG\tn01641577\t0\t0\t9\t9\n"),
        r"val_annotations\.txt names val_99\.JPEG, not in .*images",
    ),
    "other text": (partial(annotate, "hello\n"), r"line 9 of .*annotations\.txt is 'hello': give"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_layout_is_one_line_that_says_what_was_looked_for(kind, tree):
    damage, message = WRONG[kind]
    damage(tree)
    with pytest.raises(InputError, match=message) as caught:
        open_data_set("tiny_imagenet", tree).make_loaders(0, 4)
    assert "\n" not in str(caught.value)


def test_the_folder_around_it_is_told_from_it(tree):
    with pytest.raises(InputError, match=f"did you mean {tree}"):
        open_data_set("tiny_imagenet", tree.parent)
    for name in ("tiny_imagenet", RESTRICTED):
        with pytest.raises(InputError, match=f"'{name}' is read from a folder"):
            open_data_set(name)


@pytest.mark.parametrize("within", ["train", "val"])
def test_bad_files_stop_or_are_passed_over_and_grey_ones_become_rgb(tree, within, caplog):
    images = TinyImages(tree, within == "train")
    path, small, colourless = (tree / images.paths[i] for i in (1, 3, 5))
    path.write_bytes(b"no image")
    save(small, 3, size=(32, 64))
    save(colourless, 77, mode="L")
    images = TinyImages(tree, within == "train", transform=transforms.ToTensor())
    assert (images[5][0] * 255).round().unique().tolist() == [77]
    with pytest.raises(BadImageError, match=f"cannot read the image {path} .*it is no JPEG"):
        images[1]
    with pytest.raises(BadImageError, match="it has 32 x 64 pixels, not 64 x 64"):
        images.__getitems__([0, 3])
    images.bad_images = BadImages("skip")
    found = images.__getitems__(range(len(images)))
    assert [i for i, one in enumerate(found) if isinstance(one, BadImageError)] == [1, 3]
    assert found[4][1] == images.targets[4]
    data_set = open_data_set("tiny_imagenet", tree, on_bad_image="skip")
    train, val = data_set.make_loaders(0, 4)
    assert sum(len(labels) for _, labels in (train if within == "train" else val)) == (
        len(images) - 2
    )
    assert [one[:22] for one in data_set.bad_images.skipped] == ["cannot read the image "] * 2


def test_training_images_move_as_torchvision_moves_them(tree):
    data_set = open_data_set("tiny_imagenet", tree)
    theirs = transforms.Compose(
        [
            transforms.RandomCrop(64, padding=8, padding_mode="reflect"),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
        ]
    )
    for path in sorted(tree.rglob("*_0.JPEG")):
        noise = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8).numpy()
        transforms.ToPILImage()(noise).save(path)
    order = [0, 3, 0, 6]
    torch.manual_seed(1)
    found = TinyImages(tree, transform=data_set.transform_train).__getitems__(order)
    torch.manual_seed(1)
    plain = TinyImages(tree, transform=theirs)
    for (image, label), (wanted, same) in zip(found, map(plain.__getitem__, order), strict=True):
        assert torch.equal(image, wanted)
        assert label == same
    assert not torch.equal(found[0][0], found[2][0])


@FORKS
@pytest.mark.parametrize("workers", [0, 2])
def test_a_seeded_epoch_repeats(tree, workers):
    train, _ = open_data_set("tiny_imagenet", tree).make_loaders(workers, 5)
    epochs = []
    for seed in (1, 1, 2):
        random_state.seed_epoch(seed, 0, [train])
        epochs.append(torch.cat([images.flatten(1) for images, _ in train]))
    assert torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0], epochs[2])


@FORKS
@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_epoch_goes_on_where_it_was(tree, workers, tmp_path):
    steps = []

    def interrupt(model, at, loop_type, images, labels):
        if loop_type == "train":
            steps.append(at)
            if len(steps) == 2:
                os.kill(os.getpid(), signal.SIGINT)

    def go(name, **given):
        loaders = open_data_set("tiny_imagenet", tree).make_loaders(workers, 3)
        network = partial(Linear, 3 * 64 * 64, 4)
        return train_in(
            tmp_path / name, workers=workers, loaders=loaders, network=network, seed=7, **given
        )

    whole = go("whole")
    with pytest.raises(Interrupted):
        go("parts", hook=interrupt)
    resumed = go("parts", resume=True, hook=interrupt)
    assert len(steps) == 8  # two epochs of four steps, none made twice
    assert equal(whole, resumed)


@FORKS
@pytest.mark.parametrize(("name", "workers"), [("tiny_imagenet", 2), (RESTRICTED, 0)])
def test_the_command_trains_and_evaluates(name, workers, tree, tmp_path, capsys, monkeypatch):
    for kind in ("TinyImageNet", "RestrictedTinyImageNet"):
        found = getattr(rr.datasets.tiny_imagenet, kind)
        assert defaults.TRAINING_DEFAULTS[found]["batch_size"] == 128
    runs = tmp_path / "runs"
    given = f"--dataset {name} --data {tree} --arch critters_resnet --workers {workers}".split()
    more = "--adv-train 0 --epochs 1 --batch-size 4 --lr 0.01 --seed 0 --exp-name one"
    with pytest.raises(SystemExit) as end:
        training([*given, *more.split(), "--out-dir", str(runs)])
    assert not end.value.code, capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        training([*given, "--eval-only", "1", "--resume", str(runs / "one")])
    assert not end.value.code
    images = len(validation_set(open_data_set(name, tree)))
    assert f"on {images} images: clean accuracy" in capsys.readouterr().out


def test_commands_evaluate_and_invert(tree, tmp_path, command, undrawn):
    torch.manual_seed(0)
    torch.save(critters_resnet(num_classes=4).state_dict(), tmp_path / "model.pt")
    given = ["--model", tmp_path / "model.pt", "--dataset", "tiny_imagenet", "--data", tree]
    status, told, said = command(
        "evaluate", *given, "--attack-steps", 1, "--out", tmp_path / "evaluated"
    )
    assert status == 0, said
    [experiment] = read_results(tmp_path / "evaluated")
    clean = experiment.results.iloc[0]
    assert clean["balanced"] == clean["accuracy"]  # as many images of each class
    assert "balanced" in told
    assert "by_class" not in told
    status, told, said = command(
        "invert", *given, "--n", 2, "--iterations", 1, "--out", tmp_path / "inverted"
    )
    assert status == 0, said
    [experiment] = read_results(tmp_path / "inverted")
    assert set(experiment.results["label"]) <= set(NAMES)


def test_it_is_opened_from_python(tree):
    images = TinyImages(tree, False)
    model = rr.load_model(critters_resnet(num_classes=4), dataset=datasets_of(tree))
    assert len(rr.invert(model, images.images[:2], iterations=1)) == 2
    clean, *_ = rr.evaluate(model, validation_set(datasets_of(tree)), attack_steps=[1])
    assert [n for _, n in clean.by_class] == [N_VAL] * 4


def datasets_of(tree):
    return datasets.DATASETS["tiny_imagenet"](str(tree))
