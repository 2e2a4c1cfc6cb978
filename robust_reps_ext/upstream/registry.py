"""What is found by name: data sets, networks and objectives, upstream's and ours.

The rooms above this one are named as ``"module:attribute"`` strings and imported when upstream
asks for them, so that nothing here depends on what is built on top.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from ..runtime.errors import InputError, near

__all__ = [
    "DATA_FACTS",
    "DATA_SETS",
    "FAST_COPY",
    "FOLDER_IMAGES",
    "FOLDER_OPTIONS",
    "HF",
    "IMAGENET_CLASSES",
    "MISFIT",
    "NETWORKS",
    "OBJECTIVES",
    "READ_CHECKPOINT",
    "TRAINING_DEFAULTS",
    "WORDNET_IDS",
    "data_set",
    "data_set_arguments",
    "data_set_class",
    "is_folder",
    "load",
    "network",
    "networks",
    "networks_with_ours",
    "no_network",
    "objective",
    "register_objective",
    "three_numbers",
]

DATA_SETS = {
    "restricted_imagenet": "robust_reps_ext.datasets.restricted_imagenet:RestrictedImageNet",
    "critters": "robust_reps_ext.datasets.critters:CrittersDataSet",
    "critters_fine": "robust_reps_ext.datasets.critters:CrittersFineDataSet",
    "folder": "robust_reps_ext.datasets.folder:FolderDataSet",
    "tiny_imagenet": "robust_reps_ext.datasets.tiny_imagenet:TinyImageNet",
    "restricted_tiny_imagenet": "robust_reps_ext.datasets.tiny_imagenet:RestrictedTinyImageNet",
    "webshards": "robust_reps_ext.datasets.webshards:WebShards",
}

_AS_CIFAR = {"epochs": 150, "batch_size": 128, "weight_decay": 5e-4, "step_lr": 50}

# Restricted ImageNet: paper Table 2. Critters: docs/critters.md. The others: as CIFAR upstream.
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
    "folder": _AS_CIFAR,
    "tiny_imagenet": _AS_CIFAR,
    "restricted_tiny_imagenet": _AS_CIFAR,
}

HF = "hf:"
"""What the name of a data set of the `datasets` library begins with; its path follows."""

_AS_FOLDER = "robust_reps_ext.datasets.hugging_face:as_folder"

FOLDER_OPTIONS = ("size", "fit", "mean", "std", "split_seed")
"""What data set ``folder`` is told on the command line."""

OBJECTIVES = {
    "representation_matching": "robust_reps_ext.synthesis.objectives:RepresentationMatching",
    "coordinate_maximization": "robust_reps_ext.synthesis.objectives:CoordinateMaximization",
    "interpolation_target": "robust_reps_ext.synthesis.objectives:InterpolationTarget",
    "class_logit": "robust_reps_ext.synthesis.class_objectives:ClassLogit",
    "class_cross_entropy": "robust_reps_ext.synthesis.class_objectives:ClassCrossEntropy",
    "diverge": "robust_reps_ext.synthesis.class_objectives:Diverge",
    "total_variation": "robust_reps_ext.synthesis.penalties:TotalVariation",
    "distance_from_start": "robust_reps_ext.synthesis.penalties:DistanceFromStart",
    "direction": "robust_reps_ext.synthesis.directions:Direction",
}

NETWORKS = {
    "critters": "robust_reps_ext.datasets.critters.networks:ARCHITECTURES",
    "photographs": "robust_reps_ext.datasets.photograph_networks:ARCHITECTURES",
}
"""Networks of data sets of ours, beside upstream's sets: name to builder."""

FAST_COPY = "robust_reps_ext.models.fast:checked_copy"
"""What makes the copy of a network that attacks run on."""
DATA_FACTS = "robust_reps_ext.models.checkpoints.data_facts:data_facts"
READ_CHECKPOINT = "robust_reps_ext.models.checkpoints:read_checkpoint"
MISFIT = "robust_reps_ext.models.architectures:misfit"
FOLDER_IMAGES = "robust_reps_ext.datasets.folder:FolderImages"
IMAGENET_CLASSES = "robust_reps_ext.datasets.imagenet_tree:imagenet_classes"
WORDNET_IDS = "robust_reps_ext.datasets.wordnet:wordnet_ids"


def load(address: str) -> Any:
    """Import what an address ``"module:attribute"`` names."""
    module, _, attribute = address.partition(":")
    return getattr(importlib.import_module(module), attribute)


def is_folder(name: str) -> bool:
    """Whether a data set is a folder of images, or becomes one."""
    return name == "folder" or name.startswith(HF)


def data_set_class(name: str) -> Any:
    """The class that `robustness.datasets.DATASETS` has under `name`; `InputError` if none."""
    from robustness.datasets import DATASETS

    name = "folder" if is_folder(name) else name
    if name not in DATASETS:
        raise InputError.also(KeyError)(f"unknown data set {name!r}: try {near(name, DATASETS)}")
    return DATASETS[name]


def data_set(name: str, folder: str | os.PathLike[str] = "", **arguments: Any) -> Any:
    """The data set `name`, with its files in `folder`.

    Raises
    ------
    InputError
        If there is none of that name, or it needs more, or another folder.
    """
    if name.startswith(HF):
        folder = load(_AS_FOLDER)(name.removeprefix(HF))
    try:
        return data_set_class(name)(os.fspath(folder), **arguments)
    except InputError:
        raise
    except AssertionError as error:
        raise InputError.also(AssertionError)(
            f"data set {name!r}, --data {folder}: {error}"
        ) from error
    except TypeError as error:
        raise InputError.also(TypeError)(
            f"data set {name!r} cannot be opened by its name ({error}): build it in Python"
        ) from error


def data_set_arguments(name: str, given: Mapping[str, Any], resume: Any = None) -> dict[str, Any]:
    """What the data set `name` is told beside its folder, of options `given` and of a checkpoint.

    Parameters
    ----------
    name
        A data set; only a folder of images is told anything.
    given
        Names of `FOLDER_OPTIONS`, and their values; None where they were not given.
    resume
        A checkpoint file, whose facts are taken where nothing else was given.

    Raises
    ------
    InputError
        If an option was given for another data set, or is no numbers.
    """
    wanted = {option: given.get(option) for option in FOLDER_OPTIONS}
    wanted = {option: value for option, value in wanted.items() if value is not None}
    if not is_folder(name):
        if wanted:
            option = next(iter(wanted)).replace("_", "-")
            raise InputError(f"--{option} is for --dataset folder: {name!r} knows it by itself")
        return {}
    for option in ("mean", "std"):
        value = wanted.get(option)
        if isinstance(value, str):
            wanted[option] = three_numbers(option, value)
    facts = {} if resume is None else dict(load(DATA_FACTS)(load(READ_CHECKPOINT)(resume).raw))
    facts.pop("name", None)
    if {"size", "fit"} & {*wanted}:
        facts.pop("mean", None)  # of other pixels
        facts.pop("std", None)
    return {**facts, **wanted}


def three_numbers(option: str, text: str) -> list[float]:
    """The numbers of ``0.5,0.4,0.3``; `InputError` if they are none."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--{option} {text!r}: give three numbers such as 0.5,0.4,0.3") from None


def networks(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The networks of a module of upstream's, by name: what makes them takes ``num_classes=``."""
    return {
        name: make
        for name, make in vars(module).items()
        if inspect.isfunction(make)
        and not name.startswith("_")
        and {"num_classes", "kwargs"} & set(inspect.signature(make).parameters)
    }


def networks_with_ours(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The networks of a module of upstream's and those of all our data sets, by name."""
    found = networks(module)
    for address in NETWORKS.values():
        found |= load(address)
    return found


def network(
    data_set: Any, arch: str, known: Mapping[str, Callable[..., Any]], pretrained: bool = False
) -> Any:
    """Make the network `arch` of those `known` to a data set that has no torchvision weights.

    Raises
    ------
    InputError
        If there is no such network, or torchvision's weights are asked for.
    """
    if pretrained:
        raise InputError(
            f"data set {data_set.ds_name} has no torchvision weights: leave pretrained off, or "
            "give a checkpoint as --resume"
        )
    if arch not in known:
        raise no_network(data_set, arch, known)
    return known[arch](num_classes=data_set.num_classes)


def no_network(
    data_set: Any, arch: str, known: Iterable[str], kind: type[Exception] = KeyError
) -> InputError:
    """The error for a network that a data set does not know."""
    return InputError.also(kind)(
        f"data set {data_set.ds_name} has no architecture {arch!r}: try {near(arch, known)}"
    )


def objective(name: str) -> Any:
    """Make the objective registered under `name`; ``"name:argument"`` where it takes one.

    Raises
    ------
    InputError
        If no objective has that name, or it takes no argument, or needs one.
    """
    word, colon, argument = name.partition(":")
    if word not in OBJECTIVES:
        raise InputError(
            f"unknown objective {name!r}: choose one of {', '.join(sorted(OBJECTIVES))}"
        )
    make = load(OBJECTIVES[word])
    takes = getattr(make, "from_argument", None)
    if takes is None and colon:
        raise InputError(f"objective {name!r}: {word} takes no argument, give {word}")
    if takes is not None and not argument:
        raise InputError(f"objective {name!r}: {word} is made of a file, give {word}:FILE")
    return make() if takes is None else takes(argument)


def register_objective(name: str, address: str) -> None:
    """Make the objective at ``"module:attribute"`` known as ``--adv-objective name``.

    What has ``from_argument(text)`` is made by it, of ``--adv-objective name:text``. Call this
    before `robustness.defaults` is imported, so that the command line lists the name.
    """
    OBJECTIVES[name] = address
