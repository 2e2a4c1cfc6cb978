"""How many image-steps `paper --full` takes, by figure: ``python benchmarks/paper_cost.py``.

An image-step is one step of PGD on one image: a pass forward through the network and one back. They
are counted in what the attacker is called with, on tiny networks, and each run ends after its first
step. With ``--seconds`` of an image-step the hours are printed, too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import CrittersDataSet
from robust_reps_ext.experiments.paper.study import SCALES, Study
from robust_reps_ext.experiments.paper.units import UNITS

VALIDATION = 64  # images; the tables are printed for one
IMAGES = {"restricted_imagenet": 203 * 50, "imagenet": 1000 * 50}


def tiny(data: CrittersDataSet, seen: Counter[str], role: str) -> AttackerModel:
    """A network whose attacker counts image-steps."""
    network = nn.Sequential(
        nn.Conv2d(3, 64, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(576, data.num_classes)
    )
    model = rr.load_model(network, dataset=data)

    def count(_: nn.Module, given: Any, how: dict[str, Any], __: Any) -> None:
        seen[role] += len(given[0]) * how["iterations"]

    model.attacker.register_forward_hook(count, with_kwargs=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, help="Of an image-step of a ResNet-50.")
    given = parser.parse_args()
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        numbers = {"n_train": 9, "n_val": VALIDATION}
        data = CrittersDataSet(folder, size=24, custom_class_args=numbers)
        models = {role: tiny(data, seen, role) for role in ("robust", "standard", "vgg")}
        study = Study(models, data, data.classes, SCALES["full"], 0.3, None, 0)
        for unit in UNITS:
            seen.clear()
            unit.compute(study, unit.id != "tables" and (lambda *_: True))
            resnet, vgg = seen["robust"] + seen["standard"], seen["vgg"]
            rows = {unit.id: (resnet, vgg)}
            if unit.id == "tables":
                rows = {
                    f"tables, {name}": (resnet * n // VALIDATION, vgg * n // VALIDATION)
                    for name, n in IMAGES.items()
                }
            for name, (ours, others) in rows.items():
                hours = "" if given.seconds is None else f"{ours * given.seconds / 3600:10.1f} h"
                print(f"{name:28s} {ours:12,d} ResNet-50 {others:12,d} VGG16{hours}")


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
