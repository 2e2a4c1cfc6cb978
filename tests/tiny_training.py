"""A training run of milliseconds, with its loaders, options and checkpoints."""

from __future__ import annotations

import warnings
from argparse import Namespace
from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import robust_reps_ext  # noqa: F401

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # upstream's word about apex
    from robustness.attacker import AttackerModel


STATISTICS = SimpleNamespace(mean=torch.full((3,), 0.4), std=torch.full((3,), 0.3))


IMAGES = torch.rand(24, 3, 4, 4, generator=torch.Generator().manual_seed(0))


LABELS = (IMAGES.mean(dim=(1, 2, 3)) > 0.5).long() + (IMAGES[:, 0].amax(dim=(1, 2)) > 0.95).long()


LATEST, BEST = "checkpoint.pt.latest", "checkpoint.pt.best"


class Linear(nn.Module):
    """A linear classifier of 4x4 images with upstream's forward call."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(48, 3)

    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        flat = x.flatten(1)
        return (self.fc(flat), flat) if with_latent else self.fc(flat)


def new_model(wrapper=AttackerModel):
    torch.manual_seed(5)
    return wrapper(Linear(), STATISTICS)


def options(out_dir, **changed):
    return Namespace(
        **{
            "epochs": 2,
            "out_dir": str(out_dir),
            "adv_train": 0,
            "log_iters": 1,
            "lr": 0.1,
            "momentum": 0.9,
            "weight_decay": 1e-3,
            "attack_steps": 2,
            "eps": "1/2",
            "constraint": "2",
            "use_best": 1,
            "attack_lr": "0.25",
            "random_restarts": 0,
            **changed,
        }
    )


def in_order(batch_size=8):
    return DataLoader(TensorDataset(IMAGES, LABELS), batch_size)


def loaders():
    return in_order(), in_order()


def load(path):
    return torch.load(path, weights_only=True)


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def resume(path):
    """A model with a checkpoint's weights, and the checkpoint."""
    checkpoint = load(path)
    model = new_model()
    model.load_state_dict({k.removeprefix("module."): v for k, v in checkpoint["model"].items()})
    return model, checkpoint
