"""What is looked at when a model has been loaded: that it is the model it is taken for."""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor, nn

from ..runtime.errors import InputError
from ..runtime.modules import device_of, evaluating
from ..upstream.data.bad_images import readable
from .layers import RepresentationModel

__all__ = ["check_accuracy", "check_output", "check_weights"]

logger = logging.getLogger("robust_reps_ext")

IMAGES = 200
_SIZES = (224, 64, 32)
_SIGNIFICANT = 3.0


def check_weights(network: nn.Module) -> None:
    """Raise `InputError` if a weight is NaN or infinite, or has not got its shape yet."""
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        if nn.parameter.is_lazy(value):
            raise InputError(
                f"{name} of {type(network).__name__} has no shape yet: run the network on images "
                "once before it is loaded"
            )
        # A sum is quick, and finite only if every weight is; the converse needs the slower look.
        if value.is_floating_point() and not (
            torch.isfinite(value.sum()) or torch.isfinite(value).all()
        ):
            raise InputError(
                f"{name} of {type(network).__name__} holds NaN or infinite weights: load another"
            )


def check_output(model: AttackerModel, classes: int | None) -> dict[str, Any]:
    """Run a grey image through `model`, of 224 pixels or, where it takes none, of 64 or 32.

    Parameters
    ----------
    model
        In evaluation mode.
    classes
        How many the model should have, None where that is not known.

    Returns
    -------
    dict
        ``classes``, and ``representation``: where it is read and how long it is. Empty where the
        model takes images of no such size.

    Raises
    ------
    InputError
        If the model gives something else than a row of finite logits, one for each class.
    """
    network = model.model.module if isinstance(model.model, RepresentationModel) else model.model
    what = type(network).__name__
    found, reason = _logits_and_latent(model)
    if found is None:
        logger.warning("%s was not checked: it takes no images of %s (%s)", what, _SIZES, reason)
        return {}
    logits, latent = found
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != 1:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(
            f"{what} gives {shape} for one image, not logits of shape (1, classes): wrap it in a "
            "module that returns those"
        )
    if not torch.isfinite(logits).all():
        raise InputError(f"{what} gives logits that are not finite for a grey image")
    if classes is not None and logits.shape[1] != classes:
        raise InputError(
            f"{what} gives {logits.shape[1]} logits, the data set has {classes} classes: pass the "
            "data set that the network was trained on"
        )
    site = "penultimate layer"
    if isinstance(model.model, RepresentationModel):
        site = str(model.model.site(torch.empty(0)))
    return {
        "classes": logits.shape[1],
        "representation": f"{site}, {latent.flatten(1).shape[1]} coordinates",
    }


def _logits_and_latent(model: AttackerModel) -> tuple[tuple[Any, Tensor] | None, str]:
    reason = ""
    for size in _SIZES:
        grey = torch.full((1, 3, size, size), 0.5, device=device_of(model))
        try:
            with torch.no_grad():
                logits, latent = model(grey, with_latent=True, with_image=False)
        except InputError:
            raise
        except Exception as error:  # a network may raise anything for an image it cannot take
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        else:
            return (logits, latent), ""
    return None, reason[:160]


def check_accuracy(
    model: AttackerModel, data_set: Any, *, n: int = IMAGES, seed: int = 0
) -> float | None:
    """Clean accuracy on some validation images against the model's stored or published one.

    Warns where the two differ by more than chance: by three standard errors and two points.

    Parameters
    ----------
    model
        As `load_model` returns it: its card holds the accuracies.
    data_set
        An upstream `DataSet` whose data are there.
    n
        How many images.
    seed
        Chooses them.

    Returns
    -------
    float or None
        Percent; None where no clean accuracy is known to compare with.
    """
    name, expected = _clean(model.card, data_set)
    if expected is None:
        return None
    _, loader = data_set.make_loaders(0, 1, only_val=True, shuffle_val=False)
    data = loader.dataset
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:n]
    if not len(order):
        return None
    correct = seen = 0
    with evaluating(model), torch.no_grad():
        for places in order.split(20):
            items = [item for _, item in readable(data, places.tolist())]
            if not items:
                continue
            seen += len(items)
            images, labels = zip(*items, strict=True)
            logits = model(torch.stack(images), with_image=False)
            correct += int((logits.argmax(1).cpu() == torch.tensor(labels)).sum())
    if not seen:
        return None
    found = 100 * correct / seen
    error = math.sqrt(expected * (100 - expected) / seen)
    if abs(found - expected) > _SIGNIFICANT * error + 2:
        logger.warning(
            "accuracy on %d images is %.1f%%, %s says %.1f%%: %s",
            *(seen, found, name, expected, _cause(found, expected, data_set)),
        )
    return found


def _clean(card: dict[str, Any], data_set: Any) -> tuple[str, float | None]:
    """The stored or published clean accuracy on this data set."""
    accuracies = card.get("accuracies") or {}
    for name in (f"{data_set.ds_name} clean", "clean", "nat_prec1"):
        if name in accuracies:
            return name, accuracies[name]
    return "", None


def _cause(found: float, expected: float, data_set: Any) -> str:
    chance = 100 / data_set.num_classes
    if found > expected:
        return "it may have been trained on these images"
    if found < chance + 0.1 * (expected - chance):
        return (
            "little better than chance, so the classes may be in another order than the model's "
            "(folders are sorted by name), or the data set is another"
        )
    return (
        "the normaliser may be another (normalize=), or the images are resized or cut otherwise "
        "than the model was trained on"
    )
