"""Which checkpoints a run leaves, what they hold, and what its arguments may be."""

from __future__ import annotations

import copy
import resource
import warnings
from argparse import Namespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime import precision
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.upstream import registry
from robust_reps_ext.upstream.training import checkpoints

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # upstream's word about apex
    from robustness import train
from tiny_training import (
    BEST,
    IMAGES,
    LABELS,
    LATEST,
    in_order,
    load,
    loaders,
    new_model,
    options,
    resume,
    same,
)


def scripted(accuracies):
    """An accuracy by evaluation, so that the best is known."""
    state = {"epoch": -1}

    def hook(model, step, loop_type, inp, target):
        if loop_type == "train" and step == 0:
            state["epoch"] += 1

    def accuracy(logits, target):
        return accuracies[max(state["epoch"], 0)], float("nan")

    return {"iteration_hook": hook, "custom_accuracy": accuracy}


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [
        ([10.0, 30.0, 20.0], 2),
        ([0.0, 0.0, 0.0], 1),
        ([float("nan"), float("nan"), float("nan")], 1),
        ([float("nan"), 1.0, float("nan")], 2),
    ],
)
def test_best_is_the_first_of_the_highest(accuracies, best, tmp_path):
    args = options(tmp_path, epochs=3, **scripted(accuracies))
    train.train_model(args, new_model(), loaders())
    assert load(tmp_path / BEST)["epoch"] == best
    assert load(tmp_path / LATEST)["epoch"] == 3


def test_best_survives_a_resume(tmp_path):
    args = options(tmp_path, **scripted([80.0, 60.0]))
    train.train_model(args, new_model(), loaders())
    model, checkpoint = resume(tmp_path / LATEST)
    assert (checkpoint["best_prec1"], checkpoint["nat_prec1"]) == (80.0, 60.0)
    args = options(tmp_path, epochs=3, **scripted([70.0]))
    train.train_model(args, model, loaders(), checkpoint=checkpoint)
    assert load(tmp_path / BEST)["epoch"] == 1
    assert load(tmp_path / LATEST)["best_prec1"] == 80.0


def test_best_is_there_once_latest_says_so(tmp_path, monkeypatch):
    """Whatever ends the run between the two files, the better network is not lost."""
    write, written = checkpoints.write, []

    def killed_after_one(path, content):
        if path.name in (BEST, LATEST):
            written.append(path.name)
            if len(written) == 2:
                raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(checkpoints, "write", killed_after_one)
    with pytest.raises(KeyboardInterrupt):
        train.train_model(
            options(tmp_path, save_ckpt_iters=-1, **scripted([80.0])), new_model(), loaders()
        )
    assert written == [BEST, LATEST]
    assert load(tmp_path / BEST)["nat_prec1"] == 80.0


def test_latest_is_written_every_epoch_and_every_hook_gets_its_own_log(tmp_path):
    seen = []

    def hook(model, info):
        seen.append((load(tmp_path / LATEST)["epoch"], info))

    args = options(tmp_path, epochs=4, log_iters=2, save_ckpt_iters=0, epoch_hook=hook)
    train.train_model(args, new_model(), loaders())
    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4]
    assert [info["epoch"] for _, info in seen] == [1, 2, 3, 4]
    assert [np.isnan(info["nat_prec1"]) for _, info in seen] == [False, True, False, False]
    assert all(np.isfinite(info["train_loss"]) and info["time"] > 0 for _, info in seen)


@pytest.mark.parametrize("never", [0, -1])
def test_never_means_never(never, tmp_path):
    evaluated = []

    def hook(model, step, loop_type, inp, target):
        if loop_type == "val" and step == 0:
            evaluated.append(loop_type)

    args = options(tmp_path, epochs=3, log_iters=never, save_ckpt_iters=never, iteration_hook=hook)
    train.train_model(args, new_model(), loaders())
    assert len(evaluated) == 1  # after the last epoch
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2_checkpoint.pt", BEST, LATEST]


def test_checkpoints_are_kept_as_often_as_asked(tmp_path):
    args = options(tmp_path, epochs=4, log_iters=0, save_ckpt_iters=2)
    train.train_model(args, new_model(), loaders())
    kept = sorted(p.name for p in tmp_path.glob("*_checkpoint.pt"))
    assert kept == ["0_checkpoint.pt", "2_checkpoint.pt", "3_checkpoint.pt"]


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / LATEST
    checkpoints.write(path, {"model": {"a": torch.zeros(10)}})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*latest: file too large"):
            checkpoints.write(path, {"model": {"a": torch.zeros(100_000)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert torch.equal(load(path)["model"]["a"], torch.zeros(10))
    assert [p.name for p in tmp_path.iterdir()] == [LATEST]


def test_only_plain_values_are_saved(tmp_path):
    content = {"a": np.float64(0.5), "b": [np.int64(2), (1, "x")], "c": np.arange(3), "d": None}
    checkpoints.write(tmp_path / "c.pt", content)
    found = load(tmp_path / "c.pt")
    assert (found["a"], found["b"], found["d"]) == (0.5, [2, [1, "x"]], None)
    assert found["c"].tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="function"):
        checkpoints.write(tmp_path / "d.pt", {"f": lambda: 0})
    assert not (tmp_path / "d.pt").exists()


def test_the_same_arguments_serve_twice(tmp_path):
    args = options(tmp_path, adv_train=1, eps="8/255", custom_eps_multiplier="[(0, 0), (2, 1)]")
    first = train.train_model(args, new_model(), loaders()).state_dict()
    assert args.eps == 8 / 255
    assert args.custom_eps_multiplier == "[(0, 0), (2, 1)]"
    assert same(first, train.train_model(args, new_model(), loaders()).state_dict())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lr": None}, "--lr is required"),
        ({"adv_train": None}, "--adv-train is required"),
        ({"adv_eval": 1, "eps": None}, "--eps is required: give it, for example --eps 3.0"),
        ({"eps": "-1", "adv_train": 1}, "--eps='-1'"),
        ({"attack_steps": 1.5, "adv_train": 1}, "--attack-steps=1.5"),
        ({"epochs": -1}, "--epochs=-1"),
        ({"lr": float("nan")}, "--lr=nan"),
        ({"custom_train_loss": print, "adv_train": 1}, "custom_adv_loss"),
        ({"custom_adv_loss": print, "adv_objective": "x", "adv_train": 1}, "exclude each other"),
        ({"adv_objective": "nothing", "adv_train": 1}, "unknown objective 'nothing'"),
    ],
)
def test_bad_arguments_are_named(changed, message, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        train.train_model(options(tmp_path / "new", **changed), new_model(), loaders())
    assert "\n" not in str(error.value)


def test_a_place_that_is_no_directory_is_named(tmp_path):
    place = tmp_path / "file"
    place.write_text("")
    with pytest.raises(InputError, match=str(place)):
        train.train_model(options(place), new_model(), loaders())


def test_wrapped_models_are_refused_and_the_plain_model_comes_back(tmp_path):
    model = new_model()
    assert train.train_model(options(tmp_path), model, loaders()) is model
    with pytest.raises(InputError, match="DataParallel"):
        train.train_model(options(tmp_path), nn.DataParallel(model), loaders())


@pytest.mark.parametrize("disable_no_grad", [False, True])
def test_autograd_is_off_in_evaluation_unless_asked(disable_no_grad, tmp_path):
    modes = set()

    def hook(model, step, loop_type, inp, target):
        assert model.module.training == (loop_type == "train")
        modes.add((loop_type, torch.is_grad_enabled()))

    args = options(tmp_path, adv_train=1, iteration_hook=hook)
    train.train_model(args, new_model(), loaders(), disable_no_grad=disable_no_grad)
    assert modes == {("train", True), ("val", disable_no_grad)}


def test_only_the_given_parameters_are_trained(tmp_path):
    model = new_model()
    before = copy.deepcopy(model.state_dict())
    train.train_model(options(tmp_path), model, loaders(), update_params=[model.model.fc.bias])
    assert torch.equal(model.state_dict()["model.fc.weight"], before["model.fc.weight"])
    assert not torch.equal(model.state_dict()["model.fc.bias"], before["model.fc.bias"])


def test_custom_losses_train_and_attack(tmp_path):
    calls = []

    def train_loss(output, target):
        calls.append("train")
        return nn.functional.mse_loss(output.softmax(1), nn.functional.one_hot(target, 3).float())

    def adv_loss(model, inp, target):
        calls.append("adv")
        output = model(inp)
        return nn.functional.cross_entropy(output, target, reduction="none"), output

    args = options(
        tmp_path, epochs=1, adv_train=1, custom_train_loss=train_loss, custom_adv_loss=adv_loss
    )
    train.train_model(args, new_model(), loaders())
    assert calls.count("train") == 9
    # Two steps and the final loss, use_best; and for training and for evaluation, once on the
    # network and once on its copy, to compare them.
    assert calls.count("adv") == 6 * 3 + 2 * 2


def test_an_error_in_a_metric_is_an_error(tmp_path):
    def accuracy(logits, target):
        raise RuntimeError("broken metric")

    with pytest.raises(RuntimeError, match="broken metric"):
        train.train_model(options(tmp_path, custom_accuracy=accuracy), new_model(), loaders())
    regression = DataLoader(TensorDataset(IMAGES, torch.rand(24, 2)), 8)
    args = options(tmp_path, custom_train_loss=lambda output, target: output.sum())
    with pytest.raises(InputError, match="custom_accuracy"):
        train.train_model(args, new_model(), (regression, regression))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(value, tmp_path):
    epoch = -1

    def hook(model, step, loop_type, inp, target):
        nonlocal epoch
        epoch += loop_type == "train" and step == 0

    def loss(output, target):
        return nn.functional.cross_entropy(output, target) * (value if epoch == 1 else 1.0)

    args = options(tmp_path, epochs=3, custom_train_loss=loss, iteration_hook=hook)
    with pytest.raises(InputError, match="in epoch 1, step 1: lower --lr"):
        train.train_model(args, new_model(), loaders())
    assert load(tmp_path / LATEST)["epoch"] == 1


def test_empty_loaders_are_named(tmp_path):
    with pytest.raises(InputError, match="the train loader has no images"):
        train.train_model(options(tmp_path), new_model(), ([], in_order()))


@pytest.mark.parametrize("units", [(), ("avx512_bf16",)])
def test_mixed_precision_is_bfloat16_on_a_cpu_that_has_it(tmp_path, monkeypatch, capsys, units):
    monkeypatch.setattr(precision, "bfloat16_units", lambda: units)
    dtypes = set()

    def loss(output, target):
        dtypes.add(output.dtype)
        return nn.functional.cross_entropy(output, target)

    args = options(tmp_path, mixed_precision=1, custom_train_loss=loss, adv_train=0, adv_eval=0)
    model = train.train_model(args, new_model(), loaders())
    assert dtypes == {torch.bfloat16 if units else torch.float32}
    assert ("no bfloat16 instructions" in capsys.readouterr().out) == (not units)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    args = options(tmp_path / "adv", mixed_precision=1, adv_train=1)
    train.train_model(args, new_model(), loaders())


class Probe:
    """An adversary that pushes the first logit up, and notes how it was called."""

    targeted = True
    calls: list = []  # noqa: RUF012

    def training_target(self, model, images, labels):
        Probe.calls.append((model.training, torch.is_grad_enabled(), labels.clone()))
        return torch.full((len(images), 2), 7.0)

    def __call__(self, model, inp, target):
        assert (target == 7.0).all()
        output, latent = model(inp, with_latent=True)
        return -output[:, 0], latent


def test_training_against_a_registered_objective(tmp_path, monkeypatch):
    monkeypatch.setitem(registry.OBJECTIVES, "probe", f"{__name__}:Probe")
    Probe.calls.clear()
    attacked, targets = [], []

    def loss(output, target):
        targets.append(target)
        attacked.append(output[:, 0].mean().item())
        return nn.functional.cross_entropy(output, target)

    args = options(
        tmp_path,
        epochs=1,
        lr=0.0,
        adv_train=1,
        adv_objective="probe",
        custom_train_loss=loss,
        constraint="2",
    )
    model = new_model()
    train.train_model(args, model, loaders())
    assert len(Probe.calls) == 6
    assert not any(training or grad for training, grad, _ in Probe.calls)
    assert torch.equal(torch.cat(targets[:3]), LABELS)  # the loss is on the true labels
    # Train, clean evaluation, attacked evaluation: the adversary did raise the first logit.
    assert np.mean(attacked[:3]) > np.mean(attacked[3:6]) + 0.1
    assert np.mean(attacked[6:]) == pytest.approx(np.mean(attacked[:3]))


def test_evaluation_gives_the_accuracy_of_a_known_model():
    model = new_model()
    with torch.no_grad():
        model.model.fc.weight.zero_()
        model.model.fc.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    row = train.eval_model(options(".", adv_eval=1), model, in_order(batch_size=7))
    share = (LABELS == 1).float().mean().item() * 100
    loss = nn.functional.cross_entropy(torch.tensor([[0.0, 1.0, 0.0]]).expand(24, 3), LABELS)
    assert row["nat_prec1"] == pytest.approx(share)
    assert row["adv_prec1"] == pytest.approx(share)  # no image moves a constant model
    assert row["nat_loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert np.isnan(row["train_loss"])


def test_evaluation_without_adversary_needs_no_attack():
    row = train.eval_model(Namespace(adv_eval=0), new_model(), in_order())
    assert np.isnan(row["adv_prec1"])
    with pytest.raises(InputError, match="--adv-eval is required"):
        train.eval_model(Namespace(), new_model(), in_order())


def test_a_seed_repeats_an_evaluation():
    model = new_model()
    found = []
    for seed in (1, 1, 2):
        args = options(".", adv_eval=1, random_start=1, attack_steps=0, eps=3.0, seed=seed)
        found.append(train.eval_model(args, model, in_order())["adv_loss"])
    assert found[0] == found[1] != found[2]
