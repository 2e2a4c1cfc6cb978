"""Training and evaluation attack a copy of the network: the same numbers, at less cost."""

from __future__ import annotations

import logging
import os
import signal
import threading
from argparse import Namespace

import pytest
import torch
from networks import Convolutional, statistics
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from training_runs import LATEST, equal, train_in

from robust_reps_ext.datasets.critters.networks import CrittersResNet
from robust_reps_ext.models.fast import FastCopy
from robust_reps_ext.runtime.signals import Interrupted
from robust_reps_ext.upstream.distributed.batch_norm import SyncedBatchNorm2d

from robustness import train  # isort: skip
from robustness.attacker import Attacker, AttackerModel  # isort: skip

STATISTICS = statistics(0.4, 0.3)
IMAGES = torch.rand(24, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(24) % 9
STEPS = 3


def made(network=None):
    torch.manual_seed(5)
    return AttackerModel(network or CrittersResNet(9, width=4), STATISTICS)


def loader():
    return DataLoader(TensorDataset(IMAGES, LABELS), 8)


def options(out_dir, **changed):
    return Namespace(
        **{
            "out_dir": str(out_dir),
            **dict.fromkeys(("adv_train", "use_best", "random_start", "log_iters"), 1),
            "epochs": 2,
            "lr": 0.05,
            "momentum": 0.9,
            "weight_decay": 1e-3,
            "attack_steps": STEPS,
            "eps": 1.0,
            "constraint": "2",
            "attack_lr": 0.5,
            "random_restarts": 0,
            "seed": 1,
            **changed,
        }
    )


def trained(out_dir, network=None, **changed):
    """The model, the loss of each step, and how often the network itself ran forward."""
    losses, calls = [], []

    def accuracy(logits, target):
        losses.append(nn.functional.cross_entropy(logits, target).item())
        return 0.0, 0.0

    model = made(network)
    body = model.model.body
    # A copy of the network has the same hook, on a body of its own.
    body.register_forward_pre_hook(lambda module, _: calls.append(1) if module is body else None)
    args = options(out_dir, custom_accuracy=accuracy, **changed)
    train.train_model(args, model, (loader(), loader()))
    return model, losses, len(calls)


def test_the_copy_changes_numbers_by_rounding_only(tmp_path):
    model, losses, calls = trained(tmp_path / "fast")
    plain, plain_losses, plain_calls = trained(tmp_path / "plain", fast=0)
    assert losses[:3] == pytest.approx(plain_losses[:3], rel=1e-5)
    # Rounding may send an attack to the other side of a ReLU: 2% of one batch on a Xeon with AMX.
    assert losses == pytest.approx(plain_losses, rel=5e-2)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name], rtol=1e-2, atol=3e-2)
    fast, slow = (
        torch.load(tmp_path / which / LATEST, weights_only=True) for which in ("fast", "plain")
    )
    assert list(fast["model"]) == list(slow["model"])
    assert list(fast["optimizer"]["param_groups"]) == list(slow["optimizer"]["param_groups"])
    # Two epochs of three batches each: trained on, evaluated clean, evaluated under attack; a
    # copy costs three passes of a few images (what is folded, where, and the loss to compare).
    batches, copies = 2 * 3 * 3, 2 * 2
    assert plain_calls == batches + 2 * 2 * 3 * (STEPS + 1)
    assert batches < calls <= batches + 3 * copies


def test_evaluation_gives_the_same_either_way():
    model = made()
    nn.init.normal_(model.model.body[1].running_mean)
    nn.init.normal_(model.model.fc.weight)
    fast, plain = (
        train.eval_model(options(".", adv_eval=1, fast=which), model, loader()) for which in (1, 0)
    )
    assert fast["adv_loss"] > fast["nat_loss"] + 0.01
    assert fast["adv_loss"] == pytest.approx(plain["adv_loss"], rel=1e-4)


@pytest.mark.parametrize("kind", ["locked", "hooked loss"])
def test_without_a_copy_the_network_itself_is_attacked_and_that_is_said_once(
    kind, tmp_path, caplog
):
    torch.manual_seed(5)
    network, changed = CrittersResNet(9, width=4), {}
    if kind == "locked":
        network.lock = threading.Lock()  # cannot be copied
    else:

        def adv_loss(model, inp, target):
            """Something else where batch normalisation is gone."""
            seen = []
            handles = [
                module.register_forward_hook(
                    lambda *call: seen.append(call[2].abs().mean((1, 2, 3)))
                )
                for module in model.modules()
                if isinstance(module, nn.BatchNorm2d)
            ]
            output = model(inp)
            for handle in handles:
                handle.remove()
            return sum(seen, output.logsumexp(1)), output

        changed = {"custom_adv_loss": adv_loss}
    state = {name: value.clone() for name, value in network.state_dict().items()}
    with caplog.at_level(logging.WARNING, "robust_reps_ext"):
        _, losses, _ = trained(tmp_path / "fast", network, **changed)
    assert [record.getMessage()[:30] for record in caplog.records] == [
        "no fast copy of CrittersResNet"
    ]
    network = CrittersResNet(9, width=4)
    network.load_state_dict(state)
    _, plain, _ = trained(tmp_path / "plain", network, fast=0, **changed)
    assert losses == pytest.approx(plain, rel=1e-2)


def test_an_attacker_of_ones_own_gets_what_it_always_got(tmp_path):
    asked = []

    class Own(Attacker):
        def forward(self, x, target, **options):
            asked.append(set(options))
            return super().forward(x, target, **options)

    model = made()
    model.attacker = Own(model.model, STATISTICS)
    train.train_model(options(tmp_path, epochs=1), model, (loader(), loader()))
    assert asked
    assert not any("network" in options for options in asked)


def test_batch_norm_over_all_ranks_is_folded_too():
    network = CrittersResNet(9, width=4).eval()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        nn.init.normal_(module.running_mean)
        module.__class__ = SyncedBatchNorm2d
    copy = FastCopy(network, IMAGES)
    assert len(copy.folded) == len(norms)
    torch.testing.assert_close(copy.network(IMAGES), network(IMAGES), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("step", [2, 8])
def test_an_interrupted_epoch_goes_on_bit_for_bit(step, tmp_path):
    steps = []

    def interrupt(model, at, loop_type, images, labels):
        steps.append(at)
        if loop_type == "train" and len(steps) == step + 1:
            os.kill(os.getpid(), signal.SIGINT)

    def network():
        body = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()
        return Convolutional(*body, width=24, means=False)

    run = {"workers": 0, "seed": 7, "network": network, "log_iters": 0}
    whole = train_in(tmp_path / "whole", **run)
    with pytest.raises(Interrupted):
        train_in(tmp_path / "parts", hook=interrupt, **run)
    assert equal(whole, train_in(tmp_path / "parts", resume=True, **run))
