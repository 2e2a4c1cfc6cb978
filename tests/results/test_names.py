"""Short names: what tells two networks apart, and no more."""

from __future__ import annotations

import pytest

from robust_reps_ext.results.names import as_word, short_names
from robust_reps_ext.results.records import check_name


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (["critters-robust"], ["critters-robust"]),
        (["resnet50", "torchvision:resnet18"], ["resnet50", "torchvision:resnet18"]),
        (["runs/robust/checkpoint.pt.best"], ["robust"]),
        (["a/robust/checkpoint.pt.best", "a/standard/checkpoint.pt.best"], ["robust", "standard"]),
        (["robust/1/checkpoint.pt.latest", "standard/1/checkpoint.pt.latest"],
         ["robust", "standard"]),
        (["a/net.pt", "b/net.pt"], ["a", "b"]),
        (["a/net.pt", "a/other.pt"], ["net", "other"]),
        (["a/imagenet_l2_3_0.pt", "a/imagenet_l2_0_5.pt"], ["imagenet_l2_3_0", "imagenet_l2_0_5"]),
        (["runs/23_checkpoint.pt", "critters-robust"], ["runs", "critters-robust"]),
        (["a/net.pt", "a/net.pt"], ["net-1", "net-2"]),
    ],
)  # fmt: skip
def test_the_shortest_name_that_tells_them_apart(models, names):
    assert short_names(models) == names


def test_names_that_are_given_win():
    assert short_names(["a/net.pt", "b/net.pt"], ["one", "two"]) == ["one", "two"]


@pytest.mark.parametrize("text", ["torchvision:resnet50.IMAGENET1K_V1", "../x", "a b/ü", "", "-x"])
def test_a_word_can_name_a_folder(text):
    check_name("name", as_word(text))
