"""Calls of upstream's functions that a test changes in one point."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace


def model(folder, name="resnet18", classes=10, **options):
    from robustness.datasets import CIFAR
    from robustness.model_utils import make_and_restore_model

    data = CIFAR(str(folder), num_classes=classes)
    return make_and_restore_model(arch=name, dataset=data, **options)


def network(images=2):
    import torch
    from robustness.attacker import AttackerModel

    class Pixels(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(12, 3)

        def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
            return self.fc(x.flatten(1))

    data = SimpleNamespace(mean=torch.zeros(3), std=torch.ones(3))
    return AttackerModel(Pixels(), data), torch.rand(images, 3, 2, 2), torch.zeros(images).long()


def attack(**changed):
    found, images, labels = network()
    given = {"constraint": "2", "eps": 1.0, "step_size": 0.5, "iterations": 1, **changed}
    return found(images, labels, make_adv=True, **given)


def training(folder, checkpoint=None, wrap=None, **changed):
    from robustness.train import train_model

    found, images, labels = network()
    names = ("custom_eps_multiplier", "custom_lr_multiplier", "step_lr", "lr_interpolation")
    given = {
        **dict.fromkeys(("adv_train", "adv_eval", "random_start", "random_restarts"), 0),
        **dict.fromkeys(("epochs", "log_iters", "attack_steps", "use_best"), 1),
        **dict.fromkeys((*names, "mixed_precision")),
        "out_dir": str(folder),
        "lr": 0.1,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "constraint": "2",
        "eps": 1.0,
        "attack_lr": 0.5,
        "save_ckpt_iters": -1,
        **changed,
    }
    kept = {name: value for name, value in given.items() if value is not KeyError}
    batches = [(images, labels)]
    found = wrap(found) if wrap else found
    return train_model(Namespace(**kept), found, (batches, batches), checkpoint=checkpoint)


def weights(folder, state):
    import torch

    path = Path(folder, "weights.pt")
    torch.save(state, path)
    return str(path)


def loaders(folder, workers=0, batch_size=1, **options):
    from robustness.datasets import ImageNet

    return ImageNet(str(folder)).make_loaders(workers, batch_size, **options)


def pictures(folder):
    from PIL import Image

    for split in ("train", "val"):
        Path(folder, split, "n01440764").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(Path(folder, split, "n01440764", "a.png"))


def setup(**given):
    from cox.utils import Parameters
    from robustness.main import setup_args

    return setup_args(Parameters({"dataset": "cifar", **given}))


def configuration(folder, content):
    path = Path(folder, "config.json")
    path.write_bytes(content)
    return str(path)


def store(folder, *args, **options):
    from cox.store import Store

    return Store(str(folder), *args, **options)


def table(folder):
    found = store(folder, "one")
    found.add_table("t", {"a": int, "b": int})
    return found["t"]
