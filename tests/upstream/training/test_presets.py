"""The presets: options that robustness.main knows, with the paper's values."""

from __future__ import annotations

import ast
import json

import pytest
from cox.utils import Parameters, override_json
from robustness import defaults
from robustness.datasets import DATASETS

from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.upstream.training.options import GROUPS, entries
from robust_reps_ext.upstream.training.presets import preset_names, preset_path

NAMES = (
    "critters_fine_robust",
    "critters_fine_standard",
    "critters_robust",
    "critters_standard",
    "imagenet_robust",
    "photographs_robust",
    "photographs_standard",
    "restricted_imagenet_robust",
    "restricted_imagenet_standard",
    "restricted_imagenet_vgg16",
)
OPTIONS = {name.replace("-", "_"): kind for group in GROUPS for name, kind, _, _ in entries(group)}


def read(name):
    return json.loads(preset_path(name).read_text())


def test_all_presets_are_found():
    assert preset_names() == NAMES
    assert preset_path("critters_robust").is_file()
    with pytest.raises(InputError, match="'robust': choose one of critters_fine_robust, "):
        preset_path("robust")


@pytest.mark.parametrize("name", NAMES)
def test_each_value_is_one_that_the_command_line_takes(name):
    for option, value in read(name).items():
        kind = OPTIONS[option]
        if isinstance(kind, list):
            assert value in kind
            assert type(value) is type(kind[0])
        else:
            assert type(value) is kind


@pytest.mark.parametrize("name", NAMES)
def test_with_a_place_for_results_a_preset_leaves_nothing_required(name):
    given = {"config_path": str(preset_path(name)), "out_dir": "results", "lr": None, "eps": "9"}
    args = override_json(Parameters(given), given["config_path"])
    for group in GROUPS:
        if group != "PGD_ARGS" or args.adv_train:
            args = defaults.check_and_fill_args(args, entries(group), DATASETS[args.dataset])
    assert args.lr == read(name)["lr"]
    assert args.eps == "9"
    assert args.dataset in name or (args.dataset, args.arch) == (
        "tiny_imagenet",
        "photographs_resnet_wide",
    )
    assert bool(args.adv_train) == name.endswith("robust")


@pytest.mark.parametrize(
    ("name", "drops"),
    [
        ("restricted_imagenet_robust", {30: 0.1, 60: 0.01}),
        ("restricted_imagenet_standard", {30: 0.1, 60: 0.01}),
        ("imagenet_robust", {100: 0.1}),
    ],
)
def test_the_papers_settings(name, drops):
    preset = read(name)
    table_2 = {
        "arch": "resnet50",
        "epochs": 110,
        "lr": 0.1,
        "batch_size": 256,
        "momentum": 0.9,
        "weight_decay": 5e-4,
    }
    assert table_2.items() <= preset.items()
    assert dict(ast.literal_eval(preset["custom_lr_multiplier"])) == {0: 1, **drops}
    if name.endswith("robust"):
        table_3 = {"constraint": "2", "eps": "3.0", "attack_steps": 7, "attack_lr": "0.5"}
        assert table_3.items() <= preset.items()
        assert preset["random_start"] == 1


def test_the_vgg_is_trained_as_the_papers_standard_resnet():
    vgg, resnet = read("restricted_imagenet_vgg16"), read("restricted_imagenet_standard")
    assert vgg == {**resnet, "arch": "vgg16_bn"}
    network = DATASETS["restricted_imagenet"]("/nowhere").get_model("vgg16_bn")
    assert network.classifier[-1].out_features == 9
