"""Restricted ImageNet: the paper's nine classes, whatever the state of the tree."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
import torch
from PIL import Image
from robustness import datasets, defaults

from robust_reps_ext.datasets.restricted_imagenet import (
    SUPER_CLASSES,
    RestrictedImageNet,
    label_mapping,
    sub_classes,
)
from robust_reps_ext.datasets.wordnet import wordnet_ids
from robust_reps_ext.runtime.errors import InputError

NAMES = ("dog", "cat", "frog", "turtle", "bird", "primate", "fish", "crab", "insect")
WNIDS = wordnet_ids()
NEEDED = [wnid for wnids in sub_classes().values() for wnid in wnids]

# One class of each, by its WordNet id: Chihuahua, tabby, bullfrog, loggerhead, black grouse,
# orangutan, barracouta, Dungeness crab, tiger beetle.
ONE_EACH = [
    *("n02085620", "n02123045", "n01641577", "n01664065", "n01795545"),
    *("n02480495", "n02514041", "n01978287", "n02165105"),
]


def grow(root, folders, images=(), splits=("train", "val")):
    """A tree of empty class folders, with one image in those of `images`, its grey the place."""
    for split in splits:
        for name in folders:
            (root / split / name).mkdir(parents=True)
        for name in images:
            value = (ONE_EACH.index(name) if name in ONE_EACH else 9) * 20
            Image.new("RGB", (32, 32), (value,) * 3).save(root / split / name / "image.png")
    return root


def positions(names):
    return {name: position for position, name in enumerate(sorted(names))}


def labels(names):
    found = positions(names)
    return label_mapping(list(found), found)[1]


def test_the_table_is_the_papers():
    counts = {name: len(wnids) for name, wnids in sub_classes().items()}
    assert counts == dict(zip(NAMES, (118, 5, 3, 5, 21, 18, 9, 4, 20), strict=True))
    assert [next(n for n, ids in sub_classes().items() if wnid in ids) for wnid in ONE_EACH] == [
        *NAMES
    ]
    assert len(set(NEEDED)) == 203


def test_it_is_the_registered_one():
    for registered in (datasets.DATASETS["restricted_imagenet"], datasets.RestrictedImageNet):
        assert registered is RestrictedImageNet
    data_set = RestrictedImageNet("/nowhere")
    assert data_set.classes == NAMES
    assert data_set.num_classes == 9
    assert data_set.ds_name == "restricted_imagenet"
    torch.testing.assert_close(data_set.mean, torch.tensor([0.4717, 0.4499, 0.3837]))
    torch.testing.assert_close(data_set.std, torch.tensor([0.2600, 0.2516, 0.2575]))
    assert defaults.TRAINING_DEFAULTS[RestrictedImageNet]["epochs"] == 110
    assert "restricted_imagenet" in list(datasets.DATASETS)
    with pytest.raises(KeyError):
        datasets.DATASETS["no such"]
    with pytest.raises(AttributeError, match="NoSuch"):
        datasets.NoSuch  # noqa: B018


def test_it_may_be_imported_before_upstream_is():
    code = (
        "from robust_reps_ext.datasets.restricted_imagenet import RestrictedImageNet as ours\n"
        "from robustness.datasets import *\n"
        "assert RestrictedImageNet is ours is DATASETS['restricted_imagenet']\n"
        "from robust_reps_ext.upstream.mend import outcomes\n"
        "assert not [o for o in outcomes() if o.status.startswith('failed')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_full_tree_gives_upstreams_labels():
    expected = {
        WNIDS[position]: label
        for label, (first, last) in enumerate(SUPER_CLASSES.values())
        for position in range(first, last + 1)
    }
    assert labels(WNIDS) == expected
    assert label_mapping([], positions(WNIDS))[0] == list(NAMES)


@pytest.mark.parametrize(
    "names",
    [
        NEEDED,
        [*WNIDS, "0-stray", "zebra", "n00000000"],
        [wnid for wnid in WNIDS if wnid != WNIDS[40]],
        WNIDS[20:400],
    ],
    ids=["needed only", "polluted", "one lost", "a part"],
)
def test_labels_go_by_wordnet_id_in_every_tree(names):
    assert labels(names) == labels(WNIDS)


def test_strays_are_named(caplog):
    with caplog.at_level(logging.WARNING):
        labels([*WNIDS, "0-stray"])
    assert "0-stray" in caplog.text


def test_missing_sub_classes_are_counted(caplog):
    with caplog.at_level(logging.WARNING):
        assert labels(ONE_EACH) == {wnid: label for label, wnid in enumerate(ONE_EACH)}
    first = next(wnid for wnid in NEEDED if wnid not in ONE_EACH)
    assert f"194 of the 203 classes of Restricted ImageNet have no folder ({first}" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        labels(NEEDED)
    assert not caplog.records


def test_a_thousand_other_folders_count_by_position(caplog):
    names = [f"class_{i:04}" for i in range(1000)]
    with caplog.at_level(logging.WARNING):
        found = labels(names)
    assert not caplog.records
    assert found == {names[WNIDS.index(wnid)]: label for wnid, label in labels(WNIDS).items()}


@pytest.mark.parametrize("count", [0, 9, 203, 999, 1001])
def test_any_other_number_of_them_is_refused(count):
    with pytest.raises(InputError, match=f"these {count} class folders are not ImageNet's"):
        labels([f"class_{i:04}" for i in range(count)])


def test_a_super_class_without_folders_is_named():
    with pytest.raises(InputError, match=r"no folder for cat, crab: .*n02123045"):
        labels([wnid for wnid in ONE_EACH if wnid not in (ONE_EACH[1], ONE_EACH[7])])


def test_loaders_label_every_image(tmp_path):
    root = grow(tmp_path, [*WNIDS, "stray"], [*ONE_EACH, "stray", WNIDS[0]])
    train, val = RestrictedImageNet(str(root)).make_loaders(0, 9)
    images, targets = next(iter(val))
    assert len(val.dataset) == len(train.dataset) == 9
    assert images.shape == (9, 3, 224, 224)
    assert (images.mean(dim=(1, 2, 3)) * 255 / 20).round().long().tolist() == targets.tolist()
    assert sorted(targets.tolist()) == list(range(9))
    assert train.dataset.classes == list(NAMES)
    assert next(iter(train))[0].shape == images.shape


def test_a_class_without_images_is_named(tmp_path):
    root = grow(tmp_path, WNIDS, ONE_EACH)
    (root / "val" / ONE_EACH[7] / "image.png").unlink()
    data_set = RestrictedImageNet(str(root))
    for options in ({}, {"only_val": True}, {"subset": 3}):
        with pytest.raises(InputError, match=f"{root}/val has no images of crab") as caught:
            data_set.make_loaders(0, 9, **options)
        assert "\n" not in str(caught.value)
    for wnid in ONE_EACH:
        (root / "val" / wnid / "image.png").unlink(missing_ok=True)
    with pytest.raises(InputError, match="no images"):
        data_set.make_loaders(0, 9)


def test_a_tree_without_val_is_refused(tmp_path):
    root = grow(tmp_path, ONE_EACH, ONE_EACH, splits=["train"])
    with pytest.raises(InputError, match="has no val/"):
        RestrictedImageNet(str(root)).make_loaders(0, 1)


def test_defaults_can_be_replaced(tmp_path):
    root = grow(tmp_path, ONE_EACH, ONE_EACH)
    data_set = RestrictedImageNet(str(root), mean=[0, 0, 0], transform_test=lambda image: 1.0)
    _, val = data_set.make_loaders(0, 9, only_val=True)
    assert next(iter(val))[0].tolist() == [1.0] * 9
    assert data_set.mean.tolist() == [0, 0, 0]


def test_models_have_nine_outputs():
    model = RestrictedImageNet("/nowhere").get_model("resnet18")
    assert model.fc.out_features == 9


@pytest.mark.parametrize(
    ("arch", "pretrained", "named"),
    [
        ("resnet5O", False, "'resnet5O': try resnet50"),
        ("ResNet", False, "'ResNet'"),
        ("zzz", False, "try alexnet"),
        ("resnet18", True, "no torchvision weights"),
    ],
)
def test_models_that_do_not_exist_are_named(arch, pretrained, named):
    with pytest.raises(InputError, match=named):
        RestrictedImageNet("/nowhere").get_model(arch, pretrained)
