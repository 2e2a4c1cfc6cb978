"""Good checkpoints of every public format, as their authors write them."""

from __future__ import annotations

import io
from types import SimpleNamespace

import dill
import numpy as np
import torch
from robustness.attacker import AttackerModel
from torch import nn

MEAN, STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)


LEGACY = {"_use_new_zipfile_serialization": False}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 9))


def attacker(classifier: nn.Module) -> AttackerModel:
    return AttackerModel(
        classifier, SimpleNamespace(mean=torch.tensor(MEAN), std=torch.tensor(STD))
    )


def prefixed(state, *prefixes):
    return {prefix + name: value for prefix in prefixes for name, value in state.items()}


def saved(value, **keywords) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **keywords)
    return stream.getvalue()


def upstream_checkpoint(classifier: nn.Module) -> dict:
    """What `robustness.train.train_model` saves, with a schedule that weights_only refuses."""
    model = nn.DataParallel(attacker(classifier))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in classifier.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: np.interp([t], [0], [1])[0])
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": {**schedule.state_dict(), "lambda": lambda t: t, "rates": np.arange(3.0)},
        "epoch": 7,
        "amp": None,
        "nat_prec1": np.float64(57.9),
        "adv_prec1": torch.tensor(35.25),
    }


def formats():
    """Format -> (what is saved, keyword arguments of torch.save, has a normaliser)."""
    classifier = network()
    state = classifier.state_dict()
    model = attacker(classifier).state_dict()
    nested = attacker(SimpleNested(classifier)).state_dict()
    metamers = {
        name.replace("attacker.normalize", "attacker.preproc.normalize").replace(
            "normalizer.", "preproc.normalize."
        ): value
        for name, value in model.items()
    }
    bench = {
        **prefixed(state, "module.model."),
        "module.normalize.mean": torch.tensor(MEAN).view(1, 3, 1, 1),
        "module.normalize.std": torch.tensor(STD).view(1, 3, 1, 1),
    }
    dilled = {"pickle_module": dill}
    return {
        "robustness": ({"model": prefixed(model, "module.")}, dilled, True),
        "robustness, older key": ({"state_dict": prefixed(model, "module.")}, dilled, True),
        "robustness, legacy file": ({"model": prefixed(model, "module.")}, dilled | LEGACY, True),
        "robustness, no prefix": ({"model": model}, dilled, True),
        "robustness, compiled": ({"model": prefixed(model, "_orig_mod.module.")}, dilled, True),
        "robust-models-transfer": ({"model": prefixed(nested, "module.")}, dilled, True),
        "model_metamers": ({"state_dict": prefixed(metamers, "module.")}, dilled, True),
        "robustbench": ({"state_dict": bench}, {}, True),
        "robustbench, bare": (prefixed(state, "model."), {}, False),
        "bare": (state, {}, False),
        "bare, legacy file": (state, LEGACY, False),
        "bare, parallel": (prefixed(state, "module."), {}, False),
        "bare, parameters": (
            dict(classifier.named_parameters()) | dict(classifier.named_buffers()),
            {},
            False,
        ),
    }


class SimpleNested(nn.Module):
    """As upstream's DummyModel: a network under the name ``model``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
