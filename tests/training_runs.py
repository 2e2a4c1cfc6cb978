"""A training run of seconds, and what its checkpoints are compared by."""

from __future__ import annotations

import random
from argparse import Namespace

import torch
from networks import Linear, statistics
from robustness import train
from robustness.attacker import AttackerModel
from robustness.loaders import make_loaders

LATEST = "checkpoint.pt.latest"


class Images(torch.utils.data.Dataset):
    """Images under augmentation that draws from every generator there is."""

    def __init__(self, root, train, download, transform):
        self.images = torch.rand(48, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        self.labels = (self.images.mean(dim=(1, 2, 3)) > 0.5).long()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index] * (random.random() + torch.rand(1)) / 2, self.labels[index]


def train_in(out, *, workers, resume=False, hook=None, network=None, loaders=None, **changed):
    """A run of two epochs of six steps in the directory `out`."""
    out.mkdir(exist_ok=True)
    torch.manual_seed(3)
    random.seed(3)
    model = AttackerModel(network() if network else Linear(48), statistics(0.4, 0.3))
    options = {
        **dict.fromkeys(("use_best", "random_restarts"), 0),
        **dict.fromkeys(("adv_train", "log_iters", "random_start", "step_lr"), 1),
        **dict.fromkeys(("epochs", "attack_steps"), 2),
        "out_dir": str(out),
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "constraint": "2",
        "eps": 0.5,
        "attack_lr": 0.25,
        "custom_lr_multiplier": "[(0, 1), (2, 0)]",
        "lr_interpolation": "linear",
        "iteration_hook": hook,
    }
    args = Namespace(**{**options, **changed})
    checkpoint = None
    if resume:
        checkpoint = torch.load(out / LATEST, weights_only=True)
        prefix = "module."
        weights = {name[len(prefix) :]: value for name, value in checkpoint["model"].items()}
        model.load_state_dict(weights)
    if loaders is None:
        loaders = make_loaders(workers, 8, (None, None), "", custom_class=Images)
    train.train_model(args, model, loaders, checkpoint=checkpoint)
    return torch.load(out / LATEST, weights_only=True)


def equal(left, right):
    """The checkpoints of two runs, but for the times."""
    for state in (left, right):
        state["log"]["time"] = 0
    return str(left) == str(right) and all(
        torch.equal(left["model"][name], right["model"][name]) for name in left["model"]
    )
