"""What the extension adds to `robustness`: data sets and objectives, by name.

The rooms above this one are named as ``"module:attribute"`` strings and imported when upstream
asks for them, so that nothing here depends on what is built on top.
"""

from __future__ import annotations

import importlib
from typing import Any

from ..runtime.errors import InputError

__all__ = [
    "DATA_SETS",
    "FAST_COPY",
    "IMAGENET_CLASSES",
    "MISFIT",
    "NETWORKS",
    "OBJECTIVES",
    "READ_CHECKPOINT",
    "TRAINING_DEFAULTS",
    "WORDNET_IDS",
    "load",
    "objective",
    "register_objective",
]

DATA_SETS = {
    "restricted_imagenet": "robust_reps_ext.datasets.restricted_imagenet:RestrictedImageNet",
    "critters": "robust_reps_ext.datasets.critters:CrittersDataSet",
    "critters_fine": "robust_reps_ext.datasets.critters:CrittersFineDataSet",
    "webshards": "robust_reps_ext.datasets.webshards:WebShards",
}

# Restricted ImageNet: paper Table 2. Critters: docs/critters.md.
TRAINING_DEFAULTS = {
    "restricted_imagenet": {
        "epochs": 110,
        "batch_size": 256,
        "weight_decay": 5e-4,
        "step_lr": None,
        "custom_lr_multiplier": "[(0, 1), (30, 0.1), (60, 0.01)]",
    },
    "critters": {"epochs": 16, "batch_size": 128, "weight_decay": 5e-4, "step_lr": 12},
    "critters_fine": {"epochs": 16, "batch_size": 128, "weight_decay": 5e-4, "step_lr": 12},
}

OBJECTIVES = {
    "representation_matching": "robust_reps_ext.synthesis.objectives:RepresentationMatching",
    "coordinate_maximization": "robust_reps_ext.synthesis.objectives:CoordinateMaximization",
    "interpolation_target": "robust_reps_ext.synthesis.objectives:InterpolationTarget",
}

NETWORKS = {"critters": "robust_reps_ext.datasets.critters.networks:ARCHITECTURES"}
"""Networks of data sets of ours, beside upstream's sets: name to builder."""

FAST_COPY = "robust_reps_ext.models.fast:checked_copy"
"""What makes the copy of a network that attacks run on."""
READ_CHECKPOINT = "robust_reps_ext.models.checkpoints:read_checkpoint"
MISFIT = "robust_reps_ext.models.architectures:misfit"
IMAGENET_CLASSES = "robust_reps_ext.datasets.imagenet_tree:imagenet_classes"
WORDNET_IDS = "robust_reps_ext.datasets.wordnet:wordnet_ids"


def load(address: str) -> Any:
    """Import what an address ``"module:attribute"`` names."""
    module, _, attribute = address.partition(":")
    return getattr(importlib.import_module(module), attribute)


def objective(name: str) -> Any:
    """Make the objective registered under `name`.

    Raises
    ------
    InputError
        If no objective has that name.
    """
    if name not in OBJECTIVES:
        raise InputError(
            f"unknown objective {name!r}: choose one of {', '.join(sorted(OBJECTIVES))}"
        )
    return load(OBJECTIVES[name])()


def register_objective(name: str, address: str) -> None:
    """Make the objective at ``"module:attribute"`` known as ``--adv-objective name``.

    Call it before `robustness.defaults` is imported, so that the command line lists the name.
    """
    OBJECTIVES[name] = address
