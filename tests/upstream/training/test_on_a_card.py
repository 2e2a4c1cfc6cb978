"""Training on pretended cards: no waits in a step, the model where it is asked to be."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from networks import statistics
from pretend_cuda import PretendCuda
from robustness import train
from robustness.attacker import AttackerModel
from robustness.model_utils import make_and_restore_model
from robustness.tools.helpers import DataPrefetcher
from test_every_call import network
from tiny_training import options
from torch.utils.data import DataLoader, TensorDataset

from robust_reps_ext.runtime import random_state
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.upstream.distributed.replicas import on_devices
from robust_reps_ext.upstream.training.command import _status
from robust_reps_ext.upstream.training.optimizer import make_grad_scaler


class WithLatent(torch.nn.Module):
    """A classifier as `robustness` has them, which may be asked for its representation."""

    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        latent = self.inner.body(x).mean(dim=(2, 3))
        logits = self.inner.fc(latent)
        return (logits, latent) if with_latent else logits


def loader(batches):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(4 * batches, 3, 8, 8, generator=generator)
    y = torch.randint(3, (4 * batches,), generator=generator)
    return DataLoader(TensorDataset(x, y), 4)


def trained(out, batches, cards=1, **changed):
    model = AttackerModel(WithLatent(), statistics(0.4, 0.3))
    changed = {"epochs": 1, "log_iters": 5, "adv_train": 1, **changed}
    with PretendCuda(cards) as card:
        loaders = DataPrefetcher(loader(batches)), loader(1)
        train.train_model(options(out, **changed), model, loaders)
        assert {one.device.type for one in model.parameters()} == {"cuda"}
    return card


KINDS = {
    "clean": {"adv_train": 0},
    "adversarial": {},
    "adversarial on the network itself": {"fast": 0},
    "mixed precision": {"mixed_precision": 1},
    "random starts": {"random_start": 1},
    "towards representations": {"adv_objective": "representation_matching"},
    "towards coordinates": {"adv_objective": "coordinate_maximization"},
    "parts of batches": {"grad_accumulation": 2},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_training_waits_for_nothing(kind, tmp_path, capsys):
    less, more = (trained(tmp_path / str(n), n, **KINDS[kind]) for n in (2, 5))
    assert not more.mixed
    waits = more.waits - less.waits
    # What is told while it runs is read at once, every second.
    assert {where.partition(":")[0] for _, where in waits} <= {"upstream/training/progress.py"}
    assert sum(waits.values()) <= 3


def test_the_model_is_on_the_first_of_the_cards_that_are_named():
    args = SimpleNamespace(fast=0)
    model = AttackerModel(WithLatent(), statistics(0.4, 0.3))
    with PretendCuda(2):
        for ids, device in (([1], "cuda:1"), (None, "cuda:0"), ([1, 0], "cuda:1")):
            on_devices(args, model, ids)
            assert {str(one.device) for one in model.parameters()} == {device}


def test_a_card_that_is_not_there_is_told_in_one_line():
    model = AttackerModel(WithLatent(), statistics(0.4, 0.3))
    with PretendCuda(1), pytest.raises(InputError, match=r"\[7\]: this machine has 1 card"):
        on_devices(SimpleNamespace(fast=0), model, [7])


def test_random_state_from_a_checkpoint_on_the_card_is_restored():
    """`torch.load(..., map_location="cuda")` puts the states of generators there, too."""
    kept = random_state.capture()
    expected = torch.rand(2)
    with PretendCuda() as card:
        moved = {
            "python": [one.to("cuda") if torch.is_tensor(one) else one for one in kept["python"]],
            "numpy": [one.to("cuda") if torch.is_tensor(one) else one for one in kept["numpy"]],
            "torch": kept["torch"].to("cuda"),
        }
        random_state.restore({**kept, **moved, "cuda": [kept["torch"].to("cuda")]})
        assert torch.equal(torch.rand(2), expected)
    assert not card.mixed


def test_only_float16_has_a_scale():
    args = SimpleNamespace(mixed_precision=1)
    card = torch.device("cuda", 0)
    with PretendCuda(capability=(7, 5)):
        assert make_grad_scaler(args, card, None).is_enabled()
    with PretendCuda():
        assert not make_grad_scaler(args, card, None).is_enabled()


def test_a_model_by_name_goes_to_the_card():
    data = SimpleNamespace(mean=torch.full((3,), 0.5), std=torch.full((3,), 0.25), ds_name="tiny")
    with PretendCuda():
        model, _ = make_and_restore_model(arch=WithLatent(), dataset=data)
        assert {one.device.type for one in model.parameters()} == {"cuda"}


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    ],
    ids=str,
)
def test_out_of_memory_in_training_is_one_line(error, monkeypatch, capsys):
    def run(_words):
        raise error

    monkeypatch.setattr("robust_reps_ext.upstream.training.command._command", run)
    assert _status([]) == 2
    assert "give a smaller --batch-size" in capsys.readouterr().err
