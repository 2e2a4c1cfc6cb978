"""From a name to weights: a bundled model, a public one, or torchvision's and timm's."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from ...runtime.errors import InputError, first_line, near
from ..architectures import TIMM, import_timm
from ..checkpoints.state_names import Normalizer
from .bundled import bundled, card, percentages
from .downloads import fetched
from .public import PUBLIC

__all__ = ["Source", "find_source", "timm_network"]

_TORCHVISION = "torchvision:"
# Trained on images that these networks bring into another range themselves.
_TRANSFORMING = ("googlenet", "inception_v3")


@dataclass(frozen=True)
class Source:
    """A file of weights, and what its publisher says of it.

    Attributes
    ----------
    path
        The file.
    network
        Builds the network that the weights are for; None where they tell it themselves.
    arch
        Name of that network.
    normalizer
        (mean, std) published with the weights, and by whom.
    facts
        Entries of the model's card: ``epoch``, ``accuracies`` in percent, ``attack`` that it was
        trained against, and ``measured``, accuracies with intervals and numbers of images.
    """

    path: Path
    network: Callable[[], nn.Module] | None = None
    arch: str | None = None
    normalizer: tuple[Normalizer, str] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def find_source(name: str | os.PathLike[str]) -> Source:
    """The weights that `name` means; fetched, if they are published elsewhere.

    An existing file comes first, then bundled models, public ones, and torchvision's. A folder of
    one of these names, such as a training's, hides nothing.

    Raises
    ------
    InputError
        If `name` is nothing of the kind, or cannot be fetched.
    """
    text = os.fspath(name)
    if os.path.exists(text) and not os.path.isdir(text):
        return Source(Path(text))
    if text in bundled():
        return Source(bundled()[text], facts=_facts_of_bundled(text))
    if text in PUBLIC:
        model = PUBLIC[text]
        path = fetched(model.url, model.file, sha256=model.sha256, size=model.size)
        against = model.attack
        facts = {"accuracies": model.accuracies} | ({"attack": against} if against else {})
        return Source(path, facts=facts)
    if text.startswith(_TORCHVISION) or text in torchvision.models.list_models():
        return _of_torchvision(text.removeprefix(_TORCHVISION))
    if not ({*text} & {*"/\\."} or os.path.exists(text)):
        raise InputError(
            f"{text!r} is no file and no model's name{_close(text)}: give a checkpoint file (with "
            "arch= its architecture), a name that robust-reps models lists, or a network"
        )
    return Source(Path(text))


def timm_network(name: str) -> tuple[nn.Module, dict[str, Any]]:
    """The network ``timm:NAME.TAG`` with its published weights, and its card's facts.

    Raises
    ------
    InputError
        If timm is not installed, has no such weights, or cannot fetch them.
    """
    timm = import_timm(name)
    wanted = name.removeprefix(TIMM)
    known = timm.list_pretrained()
    if wanted not in known and wanted not in {one.partition(".")[0] for one in known}:
        close = near(wanted, known, ["timm:resnet50.a1_in1k"])
        raise InputError(f"timm has no weights {wanted!r}: try {close}")
    try:
        with _silent("huggingface_hub"):  # it tells of each of its retries
            network: nn.Module = timm.create_model(wanted, pretrained=True)
    except Exception as error:  # the hub's client has errors of many kinds
        where = timm.get_pretrained_cfg(wanted).hf_hub_id
        address = f"https://huggingface.co/{where}" if where else "its weights"
        raise InputError(
            f"timm cannot fetch {wanted} ({first_line(error)}): fetch model.safetensors from "
            f"{address} by hand and load it with arch='timm:{wanted.partition('.')[0]}'"
        ) from error
    return network, {"arch": f"{TIMM}{wanted}", "format": "timm", "origin": f"{TIMM}{wanted}"}


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Let a library log errors only."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _facts_of_bundled(name: str) -> dict[str, Any]:
    known = card(name)
    told = ("epoch", "size", "data_set")
    facts: dict[str, Any] = {name: known[name] for name in told if name in known}
    facts["accuracies"] = percentages(known)
    if known.get("trained_against"):
        facts["attack"] = known["trained_against"]
    if "accuracies" in known and "eps" in known:
        attack = f"L2 eps {known['eps']:.4g}"
        facts["measured"] = {"attack": attack, "accuracies": known["accuracies"]}
    return facts


def _of_torchvision(text: str) -> Source:
    name, _, tag = text.partition(".")
    if name not in torchvision.models.list_models(module=torchvision.models):
        raise InputError(f"torchvision has no classifier {name!r}{_close(name)}")
    options = torchvision.models.get_model_weights(name)
    try:
        weights = options[tag] if tag else options.DEFAULT
    except KeyError as error:
        known = ", ".join(f"{name}.{one}" for one in options.__members__)
        raise InputError(f"torchvision has no weights {text!r}: try {known}") from error
    file = weights.url.rpartition("/")[2]
    # The file's name ends in the first digits of its sha256.
    digest = Path(file).stem.rpartition("-")[2]
    preset = weights.transforms()
    keywords: dict[str, Any] = {}
    if name in _TRANSFORMING:
        keywords = {"transform_input": True, "init_weights": False}
    elif name.startswith("vit_"):
        keywords = {"image_size": weights.meta["min_size"][0]}
    measured = weights.meta.get("_metrics", {}).get("ImageNet-1K", {})
    return Source(
        fetched(weights.url, file, sha256=digest),
        network=functools.partial(
            torchvision.models.get_model,
            name,
            weights=None,
            num_classes=len(weights.meta["categories"]),
            **keywords,
        ),
        arch=name,
        normalizer=(
            (torch.tensor(preset.mean), torch.tensor(preset.std)),
            f"torchvision's {weights}",
        ),
        facts={"accuracies": {"clean": measured["acc@1"]} if "acc@1" in measured else {}},
    )


def _close(name: str) -> str:
    known = [*bundled(), *PUBLIC, *torchvision.models.list_models(module=torchvision.models)]
    close = near(name, known, [""])
    return f" (did you mean {close}?)" if close else ""
