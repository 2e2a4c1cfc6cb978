"""What options default to, and which model they make."""

from __future__ import annotations

import warnings
from argparse import Namespace

import pytest
import torch
from cox.store import Store
from torch import nn

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime.errors import InputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # upstream's word about apex
    from robustness import datasets, defaults, model_utils
    from robustness.attacker import AttackerModel

from training_command import DotsData, Linear


def filled(ds_class, **given):
    args = Namespace(out_dir="x", adv_train=1, constraint="2", eps=3, attack_lr=0.5, **given)
    for entries in (defaults.TRAINING_ARGS, defaults.PGD_ARGS):
        args = defaults.check_and_fill_args(args, entries, ds_class)
    return args


def test_restricted_imagenet_trains_as_in_the_paper():
    args = filled(datasets.RestrictedImageNet)
    assert (args.epochs, args.lr, args.momentum, args.weight_decay) == (110, 0.1, 0.9, 5e-4)
    assert args.custom_lr_multiplier == "[(0, 1), (30, 0.1), (60, 0.01)]"
    assert (args.step_lr, args.random_start, args.attack_steps) == (None, 1, 7)
    assert defaults.TRAINING_DEFAULTS[datasets.RestrictedImageNet]["batch_size"] == 256


def test_asking_for_step_drops_sets_the_schedule_of_the_data_set_aside():
    args = filled(datasets.RestrictedImageNet, step_lr=10)
    assert (args.step_lr, args.custom_lr_multiplier) == (10, None)


def test_other_defaults_are_upstreams_and_subclasses_have_them():
    class Mine(datasets.CIFAR):
        pass

    args = filled(Mine)
    assert (args.epochs, args.step_lr, args.weight_decay, args.random_start) == (150, 50, 5e-4, 0)


def test_a_data_set_without_defaults_says_what_to_give():
    with pytest.raises(InputError, match=r"--epochs is required.*no entry for DataSet"):
        filled(datasets.DataSet)
    args = filled(datasets.DataSet, epochs=1, weight_decay=0.0, step_lr=1)
    assert args.momentum == 0.9


def test_models_are_made_by_position_and_by_name():
    data = DotsData("")
    model, checkpoint = model_utils.make_and_restore_model("linear", data)
    assert isinstance(model, AttackerModel)
    assert checkpoint is None
    model, _ = model_utils.make_and_restore_model(arch=Linear(2), dataset=data, parallel=True)
    assert isinstance(model, nn.DataParallel)
    with pytest.raises(TypeError):
        model_utils.make_and_restore_model("linear", data, None, False, False, False, True)


def test_a_classifier_with_a_plain_forward_is_wrapped_and_restored(tmp_path):
    plain = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    data = DotsData("")
    model, _ = model_utils.make_and_restore_model(arch=plain, dataset=data, add_custom_forward=True)
    images = torch.rand(2, 3, 4, 4)
    expected = model(images)[0]
    weights = {f"module.{k}": v for k, v in model.state_dict().items()}
    torch.save({"model": weights, "epoch": 1}, tmp_path / "plain.pt")
    fresh = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    again, checkpoint = model_utils.make_and_restore_model(
        arch=fresh, dataset=data, resume_path=tmp_path / "plain.pt", add_custom_forward=True
    )
    torch.testing.assert_close(again(images)[0], expected)
    assert checkpoint["epoch"] == 1
    assert checkpoint["model"].keys() == weights.keys()


def test_weights_that_do_not_fit_are_named(tmp_path):
    model, _ = model_utils.make_and_restore_model("linear", DotsData(""))
    weights = {f"module.{k}": v for k, v in model.state_dict().items()}
    torch.save({"model": weights, "epoch": 1}, tmp_path / "two.pt")
    with pytest.raises(
        InputError, match=r"two.pt does not fit linear.*fc.weight is 2x48, not 3x48"
    ):
        model_utils.make_and_restore_model(
            "linear", DotsData("", num_classes=3), tmp_path / "two.pt"
        )


def test_the_normaliser_of_a_checkpoint_wins(tmp_path, capsys):
    trained, _ = model_utils.make_and_restore_model("linear", DotsData(""))
    weights = {f"module.{k}": v for k, v in trained.state_dict().items()}
    torch.save({"model": weights, "epoch": 1}, tmp_path / "half.pt")
    other = DotsData("", mean=torch.full((3,), 0.1), std=torch.full((3,), 0.9))
    model, _ = model_utils.make_and_restore_model("linear", other, tmp_path / "half.pt")
    assert "instead of the data set's" in capsys.readouterr().out
    images = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(model(images)[0], trained(images)[0])
    assert torch.equal(model.attacker.normalize.new_mean, model.normalizer.new_mean)


def test_unknown_architectures_are_answered_with_near_names():
    with pytest.raises(InputError, match=r"no architecture 'resnet5': try resnet50"):
        model_utils.make_and_restore_model("resnet5", datasets.CIFAR("/tmp/"))
    with pytest.raises(InputError, match=r"no architecture 'vgg61'.*vgg16"):
        model_utils.make_and_restore_model("vgg61", datasets.ImageNet("/tmp/"))


def test_feature_extractor_leaves_the_model_as_it_was():
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Identity())
    before = set(network.state_dict())
    extractor = model_utils.FeatureExtractor(
        network, [lambda model: model[1], lambda model: model[0]]
    )
    x = torch.randn(5, 4)
    out, rectified, linear = extractor(x)
    torch.testing.assert_close(out, network(x))
    torch.testing.assert_close(linear, network[0](x))
    torch.testing.assert_close(rectified, linear.relu())
    assert set(network.state_dict()) == before
    assert not any(module._forward_hooks for module in network.modules())
    unused = nn.Linear(1, 1)
    with pytest.raises(InputError, match=r"layer 0 .* did not run"):
        model_utils.FeatureExtractor(network, [lambda model: unused])(x)


def test_a_store_without_metadata_is_named(tmp_path):
    Store(str(tmp_path), "empty").close()
    with pytest.raises(InputError, match="no metadata"):
        model_utils.model_dataset_from_store((str(tmp_path), "empty"))
    with pytest.raises(InputError, match="which='newest'"):
        model_utils.model_dataset_from_store((str(tmp_path), "empty"), which="newest")
