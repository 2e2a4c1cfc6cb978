"""Classes as the calls that edit images take them: by number, or by name where names are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor

from ..models.cards import card_of
from ..models.inputs import channels_of
from ..results.synthesis import Synthesis
from ..runtime.errors import InputError, near
from ..runtime.labels import as_labels
from ..synthesis import optimize
from ..synthesis.class_objectives import ClassCrossEntropy
from ..synthesis.protocol import Objective
from ..synthesis.settings import Settings
from .accuracy import logits

__all__ = ["as_classes", "class_named", "count_classes", "names_of_classes", "toward"]


def as_classes(model: AttackerModel, classes: Any, images: Tensor) -> Tensor:
    """A class of the model for each image, (N,) of int64.

    Parameters
    ----------
    model
        As `load_model` returns it.
    classes
        One for all images or one for each, each a number or a name.
    images
        (N, C, H, W) in [0, 1]; one is shown to the model, to count its classes.

    Raises
    ------
    InputError
        If there is no such class, or there are not as many as images.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.experiments.classes import as_classes
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> as_classes(model, 3, torch.rand(2, 3, 64, 64))
    tensor([3, 3])
    """
    n = len(images)
    if isinstance(classes, str):
        classes = class_named(classes, names_of_classes(model))
    elif isinstance(classes, Sequence) and any(isinstance(one, str) for one in classes):
        names = names_of_classes(model)
        classes = [class_named(one, names) if isinstance(one, str) else one for one in classes]
    known = logits(model, images[:1]).shape[1]
    single = isinstance(classes, int) or getattr(classes, "ndim", None) == 0
    if single:
        classes = [int(classes)]
    many = len(classes) if hasattr(classes, "__len__") else n
    chosen = as_labels(classes, 1 if many == 1 else n, known)
    return chosen.expand(n).clone() if len(chosen) == 1 else chosen


def class_named(text: str, names: Sequence[str]) -> int:
    """The number of a class, of its name or of a number as text.

    Raises
    ------
    InputError
        If no class bears the name, or several do.

    Examples
    --------
    >>> from robust_reps_ext.experiments.classes import class_named
    >>> class_named("goose", ["koala", "goose"]), class_named("0", ["koala", "goose"])
    (1, 0)
    """
    places = [i for i, name in enumerate(names) if name.lower() == text.strip().lower()]
    if len(places) == 1:
        return places[0]
    if not places and text.strip().isdecimal():
        return int(text)
    if places:
        raise InputError(f"{len(places)} classes are called {text!r}: give the number of one")
    if not names:
        raise InputError(f"class {text!r}: nothing tells the names of the classes; give its number")
    raise InputError(
        f"no class is called {text!r}: give a number from 0 to {len(names) - 1}, or a name such as "
        f"{near(text, names, names[:3])}"
    )


def names_of_classes(model: AttackerModel) -> list[str]:
    """What the model's file tells of its classes; empty where it tells nothing."""
    card = card_of(model)
    return [str(name) for name in card.get("data_set", {}).get("classes", ())]


def count_classes(model: AttackerModel, side: int) -> int:
    """How many classes the model has, by what it gives a grey image of `side` pixels."""
    grey = torch.full((1, channels_of(model), side, side), 0.5)
    return logits(model, grey).shape[1]


def toward(
    model: AttackerModel,
    classes: Tensor,
    start: Tensor,
    settings: Settings,
    *,
    objective: Objective | None = None,
    **more: Any,
) -> Synthesis:
    """What is found from a start by an objective on classes, which stand in its settings.

    Parameters
    ----------
    model
        As `load_model` returns it.
    classes
        y, (N,).
    objective
        Default: min -log softmax(z(x))_y.
    start, settings, **more
        See `robust_reps_ext.synthesis.run.optimize`.
    """
    objective = ClassCrossEntropy() if objective is None else objective
    found = optimize(model, objective, target=classes, start=start, settings=settings, **more)
    return replace(found, settings={**found.settings, "classes": classes.tolist()})
