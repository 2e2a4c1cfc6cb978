"""What is looked at when a model has been loaded: that it is the model it is taken for."""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor, nn

from ..runtime.errors import InputError, first_line
from ..runtime.modules import device_of, evaluating, is_finite, is_mask
from ..runtime.randomness import NOISE, normal, shuffled
from ..upstream.data.bad_images import readable
from .hooks import RowsError
from .layers import RepresentationModel, unwrapped

__all__ = ["check_accuracy", "check_output", "check_weights"]

logger = logging.getLogger("robust_reps_ext")

IMAGES = 200
# What is small costs little where it is refused, too.
_SIZES = (32, 64, 96, 224, 28, 384)
_SIGNIFICANT = 3.0


def check_weights(network: nn.Module) -> None:
    """Raise `InputError` if a weight is NaN or infinite, or has not got its shape yet."""
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        if nn.parameter.is_lazy(value):
            raise InputError(
                f"{name} of {type(network).__name__} has no shape yet: run the network on images "
                "once before it is loaded"
            )
        if not is_finite(value) and not is_mask(value):
            raise InputError(
                f"{name} of {type(network).__name__} holds NaN or infinite weights: load another"
            )


def check_output(
    model: AttackerModel,
    classes: int | None,
    *,
    size: int | None = None,
    logits_needed: bool = True,
) -> dict[str, Any]:
    """Run an image through `model`, of the first size for which it gives one row of logits.

    The image is grey, or of noise where a network that normalises each image makes NaN of grey.

    Parameters
    ----------
    model
        In evaluation mode.
    classes
        How many the model should have, None where that is not known.
    size
        Of the data set's images, which is tried first; then 32, 64, 96, 224, 28 and 384 pixels.
    logits_needed
        Whether to warn of a model without logits: with ``layer=`` it needs none.

    Returns
    -------
    dict
        ``classes``, and ``representation``: where it is read and how long it is. Empty where the
        model takes images of no such size.

    Raises
    ------
    InputError
        If logits are not finite, or not as many as there are classes, or if the representation
        has no row for each image.
    """
    what = type(unwrapped(model.model)).__name__
    sizes = tuple(dict.fromkeys([*([] if size is None else [size]), *_SIZES]))
    found, reason = _logits_and_latent(model, sizes)
    if found is None:
        logger.warning("%s was not checked: it takes no images of %s (%s)", what, sizes, reason)
        return {}
    logits, latent = found
    told = {
        "representation": f"{_site(model)}, {latent.flatten(1).shape[1]} coordinates",
    }
    if not _are_logits(logits):
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        if logits_needed:
            logger.warning(
                "%s gives %s for one image, no logits of shape (1, classes): it is not evaluated "
                "or asked for classes; output= of load_model makes logits of it. Its "
                "representation is the %s; layer= names another",
                *(what, shape, told["representation"]),
            )
        return told
    if not torch.isfinite(logits).all():
        raise InputError(f"{what} gives logits that are not finite for grey and for noise")
    if classes is not None and logits.shape[1] != classes:
        raise InputError(
            f"{what} gives {logits.shape[1]} logits, the data set has {classes} classes: pass the "
            "data set that the network was trained on"
        )
    return {"classes": logits.shape[1], **told}


def _site(model: AttackerModel) -> str:
    if isinstance(model.model, RepresentationModel):
        return str(model.model.site(torch.empty(0)))
    return "penultimate layer"


def _are_logits(found: Any) -> bool:
    return isinstance(found, Tensor) and found.dim() == 2 and len(found) == 1


def _logits_and_latent(
    model: AttackerModel, sizes: tuple[int, ...]
) -> tuple[tuple[Any, Tensor] | None, str]:
    """Of the first size that gives logits, else of the first that gives anything."""
    reason, other, refused = "", None, None
    channels = model.normalizer.new_mean.numel()
    for size in sizes:
        shape = (1, channels, size, size)
        try:
            for image in (torch.full(shape, 0.5), normal([0], shape[1:], seed=0, stream=NOISE)):
                with torch.no_grad():
                    logits, latent = model(
                        image.to(device_of(model)), with_latent=True, with_image=False
                    )
                if not _are_logits(logits) or torch.isfinite(logits).all():
                    break
        except RowsError as error:
            refused = refused or error
            model.model.forget()
        except InputError:
            raise
        except Exception as error:  # a network may raise anything for an image it cannot take
            reason = reason or first_line(error)
        else:
            if _are_logits(logits):
                return (logits, latent), ""
            other = other or (logits, latent)
    if other is None and refused is not None:
        raise refused
    return other, reason


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
    order = torch.tensor(shuffled(len(data), seed=seed)[:n])
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
