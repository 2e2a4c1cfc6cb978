"""Any checkpoint or network becomes the right AttackerModel, or one line says why not."""

import copy
import logging

import dill
import pytest
import torch
import torchvision
from robustness import cifar_models, imagenet_models
from robustness.attacker import AttackerModel
from robustness.datasets import DATASETS
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext import InputError
from robust_reps_ext.datasets.critters import networks
from robust_reps_ext.models import architectures
from robust_reps_ext.models.architectures import families
from robust_reps_ext.models.layers import RepresentationModel
from robust_reps_ext.models.loading import load_model, weights_digest

HALF = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def trained():
    """A small network whose batch statistics are not those of a fresh one."""
    torch.manual_seed(0)
    network = networks.critters_resnet(num_classes=9)
    network(torch.rand(8, 3, 32, 32))
    return network.eval()


@pytest.fixture
def restricted(trained, tmp_path):
    """A `robustness` checkpoint of `trained` with Restricted ImageNet's normaliser."""
    model = AttackerModel(trained, DATASETS["restricted_imagenet"](""))
    path = tmp_path / "checkpoint.pt.best"
    saved = {"model": nn.DataParallel(model).state_dict(), "epoch": 16, "adv_prec1": 61.5}
    torch.save({**saved, "schedule": {"f": lambda t: t}}, path, pickle_module=dill)
    return path


# -- checkpoints ---------------------------------------------------------------------------------


def test_a_checkpoint_gives_the_logits_it_was_saved_with(restricted, trained, images, caplog):
    with caplog.at_level(logging.INFO, "robust_reps_ext"):
        model = load_model(restricted)
    mean, std = torch.tensor([0.4717, 0.4499, 0.3837]), torch.tensor([0.26, 0.2516, 0.2575])
    normalized = (images - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    with torch.no_grad():
        assert torch.equal(model(images)[0], trained(normalized))
    assert not any(module.training for module in model.modules())
    assert not any(parameter.is_meta for parameter in model.parameters())
    assert model.card["arch"] == "critters_resnet"
    assert model.card["classes"] == 9
    assert model.card["format"] == "robustness"
    assert model.card["epoch"] == 16
    assert model.card["accuracies"] == {"adv_prec1": 61.5}
    assert model.card["normalizer"]["from"] == "the checkpoint"
    assert model.card["normalizer"]["mean"] == pytest.approx(mean.tolist())
    assert len(model.card["sha256"]) == 64
    (record,) = caplog.records
    assert "critters_resnet, 9 classes" in record.getMessage()
    assert "adv_prec1 61.50" in record.getMessage()


def test_loading_leaves_the_random_state_alone(restricted):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(restricted)
    assert torch.equal(torch.rand(3), expected)


def test_the_card_is_no_part_of_the_weights(restricted):
    model = load_model(restricted)
    assert not any("card" in name for name in model.state_dict())
    assert copy.deepcopy(model).card == model.card


def test_a_copy_without_meta_weights_can_be_moved_and_saved(restricted, tmp_path):
    model = load_model(restricted, device="cpu")
    torch.save({"model": model.state_dict()}, tmp_path / "again.pt")
    again = load_model(tmp_path / "again.pt")
    assert weights_digest(again) == weights_digest(model)


RECOGNIZED = {
    "imagenet resnet18": (lambda: imagenet_models.resnet18(num_classes=9), "resnet18"),
    "imagenet resnet50": (lambda: imagenet_models.resnet50(num_classes=7), "resnet50"),
    "imagenet densenet121": (lambda: imagenet_models.densenet121(num_classes=9), "densenet121"),
    "imagenet squeezenet": (lambda: imagenet_models.squeezenet1_1(num_classes=9), "squeezenet1_1"),
    "cifar resnet18": (lambda: cifar_models.resnet18(num_classes=10), "resnet18"),
    "cifar vgg11": (lambda: cifar_models.vgg11(num_classes=10), "vgg11"),
    "critters_resnet": (lambda: networks.critters_resnet(num_classes=162), "critters_resnet"),
    "critters_vgg": (lambda: networks.critters_vgg(num_classes=9), "critters_vgg"),
    "torchvision resnet18": (lambda: torchvision.models.resnet18(num_classes=9), "resnet18"),
    "torchvision mobilenet_v2": (
        lambda: torchvision.models.mobilenet_v2(num_classes=9),
        "mobilenet_v2",
    ),
}


@pytest.mark.parametrize("name", RECOGNIZED)
def test_the_architecture_is_recognised(name, images, tmp_path):
    make, arch = RECOGNIZED[name]
    network = make().eval()
    torch.save(network.state_dict(), tmp_path / "bare.pth")
    model = load_model(tmp_path / "bare.pth", normalize=HALF)
    assert model.card["arch"] == arch
    assert weights_digest(model) == weights_digest(network)
    x = images[:, :, :32, :32] if "cifar" in name else images
    with torch.no_grad():
        assert torch.allclose(model(x)[0], network((x - 0.5) / 0.25), atol=1e-6)
        assert model(x, with_latent=True)[0][1].dim() >= 2


def test_every_architecture_of_a_family_is_told_from_the_others():
    known = {
        (family, name)
        for family, _, names in families.FAMILIES
        for name in names
        if family in ("imagenet", "cifar")
    }
    for family, name in sorted(known):
        module = imagenet_models if family == "imagenet" else cifar_models
        with torch.device("meta"):
            state = getattr(module, name)(num_classes=9).state_dict()
        found, classes = architectures.recognized(state)
        assert (found.family, found.name, classes) == (family, name, 9)


def test_old_files_lack_the_counters_of_batch_normalisation(trained, tmp_path):
    state = {k: v for k, v in trained.state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "old.pth")
    model = load_model(tmp_path / "old.pth", normalize=HALF)
    assert all(int(v) == 0 for k, v in model.model.state_dict().items() if "num_batches" in k)
    assert torch.equal(model.model.fc.weight, trained.fc.weight)


def test_half_precision_files_become_float32(trained, tmp_path):
    torch.save(
        {k: v.half() if v.is_floating_point() else v for k, v in trained.state_dict().items()},
        tmp_path / "half.pth",
    )
    model = load_model(tmp_path / "half.pth", normalize=HALF)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert torch.equal(model.model.fc.weight, trained.fc.weight.half().float())


def test_a_network_given_as_arch_takes_the_weights(trained, tmp_path, images):
    class Mine(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network(x)

    torch.save({f"network.{k}": v for k, v in trained.state_dict().items()}, tmp_path / "mine.pt")
    mine = Mine(networks.critters_resnet(num_classes=9))
    model = load_model(tmp_path / "mine.pt", arch=mine, dataset="restricted_imagenet")
    assert torch.equal(mine.network.fc.weight, trained.fc.weight)
    assert isinstance(model.model, RepresentationModel)
    assert model.card["arch"] == "Mine"
    torch.save(trained.state_dict(), tmp_path / "bare.pt")
    text = message(tmp_path / "bare.pt", arch=mine, dataset="restricted_imagenet")
    assert "does not fit Mine: it lacks network." in text


# -- what does not fit ---------------------------------------------------------------------------


def message(*arguments, **keywords):
    with pytest.raises(InputError) as caught:
        load_model(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_number_of_classes(restricted):
    for keywords in ({}, {"arch": "critters_resnet"}):
        text = message(restricted, dataset="imagenet", **keywords)
        assert "fc.weight has 9 classes, dataset 'imagenet' has 1000" in text
        assert str(restricted) in text


def test_another_architecture(restricted):
    text = message(restricted, arch="critters_vgg")
    assert "does not fit critters_vgg: it lacks body." in text
    assert "unknown architecture 'resnet51': try resnet50" in message(restricted, arch="resnet51")
    text = message(restricted, arch="resnet18", dataset="restricted_imagenet")
    assert "does not fit resnet18: it lacks bn1.bias" in text


def test_missing_and_additional_weights(trained, tmp_path):
    state = trained.state_dict()
    lacking = {k: v for k, v in state.items() if k != "fc.bias"}
    torch.save(lacking, tmp_path / "lacking.pt")
    text = message(tmp_path / "lacking.pt", arch="critters_resnet", normalize=HALF)
    assert "it lacks fc.bias" in text
    torch.save({**state, "rotation.weight": torch.ones(1)}, tmp_path / "more.pt")
    text = message(tmp_path / "more.pt", arch="critters_resnet", normalize=HALF)
    assert "it has rotation.weight, unknown to the network" in text
    assert "no known architecture" in message(tmp_path / "more.pt", normalize=HALF)


def test_weights_of_whole_numbers(trained, tmp_path):
    state = {**trained.state_dict(), "fc.weight": trained.fc.weight.detach().long()}
    torch.save(state, tmp_path / "long.pt")
    text = message(tmp_path / "long.pt", normalize=HALF)
    assert "fc.weight holds torch.int64, the network needs torch.float32" in text


def test_two_architectures_with_the_same_weights(restricted, monkeypatch):
    def twin(num_classes):
        return networks.CrittersResNet(num_classes)

    monkeypatch.setitem(networks.ARCHITECTURES, "twin", twin)
    text = message(restricted)
    assert "fit critters_resnet, twin: choose one with arch=" in text
    assert load_model(restricted, arch="twin").card["arch"] == "twin"


def test_names_that_are_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        "'critters-rubust' is no file and no model's name (did you mean critters-robust"
        in message("critters-rubust")
    )
    assert message("resnet50.pt").startswith("no checkpoint at resnet50.pt")
    assert "unknown data set 'imagnet': try imagenet" in message("a.pt", dataset="imagnet")
    assert "custom_imagenet" in message("a.pt", dataset="custom_imagenet")
    with pytest.raises(TypeError):
        load_model(3)


def test_a_whole_pickled_network_needs_trust(trained, tmp_path):
    torch.save(trained, tmp_path / "whole.pt")
    assert "--trust-checkpoint" in message(tmp_path / "whole.pt", normalize=HALF)
    model = load_model(tmp_path / "whole.pt", normalize=HALF, trust=True)
    assert weights_digest(model) == weights_digest(trained)


def test_devices(restricted):
    assert "unknown device 'gpu'" in message(restricted, device="gpu")
    if not torch.cuda.is_available():
        assert "lacks: use cpu" in message(restricted, device="cuda")


# -- normalisers ---------------------------------------------------------------------------------


def test_the_checkpoints_normaliser_wins_over_the_data_sets(restricted, caplog):
    class Other(type(DATASETS["restricted_imagenet"](""))):
        pass

    other = Other("")
    other.mean = torch.tensor([0.1, 0.2, 0.3])
    with caplog.at_level(logging.WARNING, "robust_reps_ext"):
        model = load_model(restricted, dataset=other)
    assert model.normalizer.new_mean.flatten().tolist() == pytest.approx([0.4717, 0.4499, 0.3837])
    (record,) = caplog.records
    assert "[0.1, 0.2, 0.3]" in record.getMessage()


def test_equal_normalisers_are_not_worth_a_word(restricted, caplog):
    with caplog.at_level(logging.WARNING, "robust_reps_ext"):
        load_model(restricted, dataset="restricted_imagenet")
    assert not caplog.records


def test_the_argument_wins_over_everything(restricted):
    model = load_model(restricted, dataset="restricted_imagenet", normalize=HALF)
    assert model.normalizer.new_std.flatten().tolist() == [0.25] * 3
    assert model.attacker.normalize.new_std.flatten().tolist() == [0.25] * 3
    assert model.card["normalizer"] == {"mean": [0.5] * 3, "std": [0.25] * 3, "from": "normalize="}


def test_a_thousand_classes_are_imagenet():
    model = load_model(networks.critters_resnet(num_classes=1000))
    assert model.card["normalizer"]["mean"] == [0.485, 0.456, 0.406]
    assert "ImageNet" in model.card["normalizer"]["from"]


def test_without_any_normaliser_the_way_out_is_named(trained, tmp_path):
    torch.save(trained.state_dict(), tmp_path / "bare.pt")
    assert "dataset=" in message(tmp_path / "bare.pt")
    assert "normalize=(mean, std)" in message(trained)
    model = load_model(tmp_path / "bare.pt", dataset="restricted_imagenet")
    assert model.card["normalizer"]["from"] == "data set restricted_imagenet"


@pytest.mark.parametrize(
    "normalize",
    [3, (0.5, 0.25), ((0.5,) * 3,), ((0.5,) * 3, (0, 1, 1)), ("a", "b"), ((0.5,) * 2, (1,) * 2)],
)
def test_normalisers_that_are_none(normalize, trained):
    assert "three numbers each" in message(trained, normalize=normalize)


# -- networks ------------------------------------------------------------------------------------


def test_a_torchvision_network(images):
    network = torchvision.models.resnet18(num_classes=9)
    model = rr.load_model(network, dataset="restricted_imagenet")
    (logits, latent), _ = model(images, with_latent=True)
    assert latent.shape == (2, 512)
    assert torch.allclose(logits, network.fc(latent), atol=1e-5)
    assert model.card["arch"] == "ResNet"
    assert model.card["classes"] == 9
    assert model.card["sha256"] is None
    assert "has 9 classes, dataset 'imagenet' has 1000" in message(network, dataset="imagenet")


def test_upstream_networks_stay_as_they_are_unless_a_layer_is_named(trained, restricted, images):
    model = load_model(restricted)
    assert type(model.model) is type(trained)
    at_layer = load_model(restricted, layer="body.3")
    assert isinstance(at_layer.model, RepresentationModel)
    (_, latent), _ = at_layer(images, with_latent=True)
    assert latent.shape[1] != model(images, with_latent=True)[0][1].shape[1]
    assert weights_digest(at_layer) == weights_digest(model)
    assert "nonsense" in message(restricted, layer="nonsense")


def test_an_attacker_model_is_returned_itself(trained, images):
    model = AttackerModel(trained, DATASETS["restricted_imagenet"]("")).train()
    assert load_model(model) is model
    assert not model.training
    assert model.card["classes"] == 9
    assert load_model(nn.DataParallel(model)) is model
    moved = load_model(model, layer="body.3")
    assert moved is not model
    assert weights_digest(moved) == weights_digest(model)
    assert "normaliser already" in message(model, normalize=HALF)
    assert "logits already" in message(model, output=lambda found: found)
    assert "arch= names" in message(model, arch="resnet18")


# -- digests -------------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_weights_alone(trained):
    digest = weights_digest(trained)
    wrapped = load_model(trained, dataset="restricted_imagenet")
    assert weights_digest(wrapped) == digest
    assert weights_digest(load_model(trained, normalize=HALF)) == digest
    assert weights_digest(nn.DataParallel(wrapped)) == digest
    assert weights_digest(RepresentationModel(trained)) == digest
    changed = copy.deepcopy(trained)
    with torch.no_grad():
        changed.fc.bias[0] += 1e-6
    assert weights_digest(changed) != digest


def test_the_digest_does_not_go_by_order():
    torch.manual_seed(0)
    first, second = nn.Linear(2, 3), nn.Linear(3, 2)
    forward, backward = nn.Module(), nn.Module()
    forward.a, forward.b = first, second
    backward.b, backward.a = second, first
    assert weights_digest(forward) == weights_digest(backward)
    backward.a, backward.b = second, first
    assert weights_digest(forward) != weights_digest(backward)
