"""Names that stand for weights published elsewhere: torchvision's, timm's, and robust networks."""

from __future__ import annotations

import json
import re

import pytest
import torch
import torchvision
from robustness import imagenet_models
from robustness.attacker import AttackerModel
from robustness.datasets import DATASETS

import robust_reps_ext as rr
from robust_reps_ext.models.loading import weights_digest
from robust_reps_ext.models.zoo.downloads import cache_folder
from robust_reps_ext.models.zoo.public import PUBLIC


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder of fetched files, on a machine without a network."""
    monkeypatch.setenv("ROBUST_REPS_EXT_CACHE", str(tmp_path))
    cache_folder().mkdir()
    return cache_folder()


def published(name):
    """The weights that torchvision would fetch under that name, and their file."""
    weights = torchvision.models.get_model_weights(name).DEFAULT
    network = torchvision.models.get_model(name, weights=None).eval()
    return network, weights, weights.url.rpartition("/")[2]


@pytest.mark.parametrize("source", ["resnet18", "torchvision:resnet18.IMAGENET1K_V1"])
def test_torchvisions_weights_bring_their_normaliser_and_accuracy(source, cache):
    network, weights, file = published("resnet18")
    torch.save(network.state_dict(), cache / file)
    model = rr.load_model(source)
    assert weights_digest(model) == weights_digest(network)
    assert model.card["arch"] == "resnet18"
    assert model.card["normalizer"]["mean"] == [0.485, 0.456, 0.406]
    assert "IMAGENET1K_V1" in model.card["normalizer"]["from"]
    assert model.card["accuracies"] == {"clean": weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]}


@pytest.mark.parametrize(
    ("name", "new", "old"),
    [
        ("densenet121", r"(denselayer\d+\.\w+)([12]\.)", r"\1.\2"),
        ("vit_b_32", r"(encoder_layer_\d+\.mlp)\.0\.", r"\1.linear_1."),
    ],
)
def test_files_from_before_a_renaming(name, new, old, cache):
    network, _, file = published(name)
    state = {re.sub(new, old, key): value for key, value in network.state_dict().items()}
    assert set(state) != set(network.state_dict())
    torch.save(state, cache / file)
    assert weights_digest(rr.load_model(name, check=False)) == weights_digest(network)


def test_a_public_model_is_loaded_by_the_name_of_its_file(cache):
    torch.manual_seed(0)
    network = imagenet_models.resnet18(num_classes=1000)
    model = AttackerModel(network, DATASETS["imagenet"](""))
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"model": state, "epoch": 90}, cache / "resnet18_l2_eps3.ckpt")
    loaded = rr.load_model("resnet18_l2_eps3")
    assert weights_digest(loaded) == weights_digest(network)
    assert loaded.card["accuracies"] == PUBLIC["resnet18_l2_eps3"].accuracies == {"clean": 53.12}
    assert loaded.card["epoch"] == 90


@pytest.mark.parametrize("source", ["resnet50_l2_eps3", "cifar_l2_0_5", "resnet50"])
def test_without_a_network_the_file_to_fetch_by_hand_is_named(source, cache):
    with pytest.raises(rr.InputError) as caught:
        rr.load_model(source)
    text = str(caught.value)
    assert "https://" in text
    assert f"put it at {cache}" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("torchvision:resnet51", r"no classifier 'resnet51' \(did you mean .*resnet50"),
        ("torchvision:resnet50.V3", "no weights 'resnet50.V3': try resnet50.IMAGENET1K_V1"),
        ("timm:resnet26.of_mine", "timm has no weights 'resnet26.of_mine'"),
        ("resnet50_l2_eps33", "did you mean resnet50_l2_eps3"),
    ],
)
def test_a_name_that_is_none_leads_to_those_that_are(source, message, cache):
    with pytest.raises(rr.InputError, match=message):
        rr.load_model(source)


def test_timm_without_a_network_is_one_line(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(rr.InputError, match=r"timm cannot fetch resnet26\.bt_in1k") as caught:
        rr.load_model("timm:resnet26.bt_in1k")
    assert "huggingface.co/timm/resnet26.bt_in1k" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_timms_own_normaliser_is_used_where_nothing_else_is_known(tmp_path):
    import timm

    network = timm.create_model("vit_tiny_patch16_224").eval()
    mean = list(network.pretrained_cfg["mean"])
    assert rr.load_model(network, check=False).card["normalizer"]["mean"] == mean
    torch.save(network.state_dict(), tmp_path / "vit.pth")
    with pytest.raises(rr.InputError, match=r"timm:vit_tiny_patch16_224.*choose one with arch="):
        rr.load_model(tmp_path / "vit.pth")
    model = rr.load_model(tmp_path / "vit.pth", arch="timm:vit_tiny_patch16_224", check=False)
    assert weights_digest(model) == weights_digest(network)
    assert model.card["normalizer"] == {
        "mean": mean,
        "std": list(network.pretrained_cfg["std"]),
        "from": "timm's pretrained_cfg",
    }
    # What the file says of itself decides where several fit.
    torch.save(
        {"state_dict": network.state_dict(), "arch": "timm:vit_tiny_patch16_224"},
        tmp_path / "named.pth",
    )
    assert rr.load_model(tmp_path / "named.pth", check=False).card["arch"] == model.card["arch"]


@pytest.mark.parametrize("by_name", [True, False])
def test_weights_of_timm_are_normalised_as_timm_says(by_name, monkeypatch, caplog):
    """A data set's normaliser is for what was trained on it, which weights of timm are not."""
    import timm

    network = timm.create_model("resnet10t", num_classes=1000).eval()
    network.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    create = monkeypatch.setattr
    create(timm, "create_model", lambda *_, **__: network)
    with caplog.at_level("WARNING", "robust_reps_ext"):
        given = "timm:resnet10t.c3_in1k" if by_name else network
        model = rr.load_model(given, dataset="imagenet", check=False)
    kept = model.card["normalizer"]
    assert kept["from"] == ("timm's pretrained_cfg" if by_name else "data set imagenet")
    assert kept["mean"] == ([0.5] * 3 if by_name else [0.485, 0.456, 0.406])
    assert "differs" in caplog.text


def test_bundled_models_tell_what_their_cards_say():
    card = rr.load_model("critters-robust", check=False).card
    assert card["epoch"] is not None
    assert 0 < card["accuracies"]["critters_fine clean"] <= 100


def test_a_folder_of_a_models_name_hides_nothing_and_a_file_does(tmp_path, monkeypatch):
    """Trainings make such folders: --exp-name resnet50."""
    monkeypatch.chdir(tmp_path)
    for name in ("critters-robust", "mine"):
        (tmp_path / name).mkdir()
    card = rr.load_model("critters-robust", check=False).card
    assert card["arch"] == "photographs_resnet"
    with pytest.raises(rr.InputError, match="mine is a folder"):
        rr.load_model("mine")
    (tmp_path / "critters-robust").rmdir()
    (tmp_path / "critters-robust").write_bytes(b"no checkpoint")
    with pytest.raises(rr.InputError, match="critters-robust"):
        rr.load_model("critters-robust")


def test_the_command_lists_everything(command):
    listed = json.loads(command("models", "--json")[1])
    assert set(listed["public"]) == set(PUBLIC)
    assert "critters-robust" in listed["bundled"]
    assert set(listed["public"]["resnet50_linf_eps4.0"]) >= {"url", "size", "sha256", "citation"}


def test_every_name_stands_on_one_line_of_the_table(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, listed, _ = command("models")
    lines = listed.splitlines()
    assert status == 0
    assert max(map(len, lines)) <= 80
    first = {line.split()[0]: line for line in lines if line.strip()}
    assert {*PUBLIC, "critters-robust"} <= set(first)
    assert first["wide_resnet50_4_l2_eps0.01"].split()[1:] == [
        *("wide_resnet50_4", "L2,", "eps", "0.01", "78.0"),
    ]
    assert first["imagenet_l2_3_0"].split()[-2:] == ["57.9", "35.2"]
    assert first["critters-robust"].split()[-2:] == ["69.0", "24.1"]


def test_the_command_tells_what_is_known_of_one(command):
    status, told, _ = command("models", "resnet50_linf_eps4.0")
    model = PUBLIC["resnet50_linf_eps4.0"]
    assert status == 0
    assert model.url in told.splitlines()
    assert "204,818,947 bytes" in told
    assert model.sha256 in told
    _, as_json, _ = command("models", "critters-robust", "--json")
    assert json.loads(as_json)["accuracies"]["critters clean"]["images"] == 1620
    status, told, error = command("models", "resnet50_l2_eps33")
    assert (status, told) == (2, "")
    assert error.startswith("error: no model is called 'resnet50_l2_eps33': did you mean resnet50")
    assert error.count("\n") == 1
