"""Which normaliser a model gets: mean and standard deviation of its training images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..runtime.errors import InputError
from .checkpoints.state_names import Normalizer

__all__ = ["Statistics", "check_channels", "chosen", "described", "from_argument", "of_timm"]

logger = logging.getLogger("robust_reps_ext")

Statistics = Sequence[float] | Tensor

_IMAGENET = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
_IMAGENET_CLASSES = 1000


def chosen(
    shown: str,
    *,
    given: Normalizer | None,
    stored: Normalizer | None,
    data: Any,
    classes: int | None,
    published: tuple[Normalizer, str] | None = None,
    network: Any = None,
) -> tuple[Normalizer, str]:
    """The normaliser that wins, and where it is from; says so in the log where two differ.

    The order: the argument ``normalize=``, the checkpoint, what was published with the weights,
    the data set, what timm notes of a network, ImageNet's where there are 1000 classes.

    Raises
    ------
    InputError
        If none is known.
    """
    of_data = None if data is None else (data.mean.flatten().float(), data.std.flatten().float())
    known = [
        (given, "normalize="),
        (stored, "the checkpoint"),
        published or (None, ""),
        (of_data, f"data set {getattr(data, 'ds_name', '')}"),
    ]
    if given is None and stored is None and published is None:
        known.append(of_timm(network) or (None, ""))
    found = [(normalizer, origin) for normalizer, origin in known if normalizer is not None]
    if not found and classes == _IMAGENET_CLASSES:
        return _IMAGENET, "ImageNet, for its 1000 classes"
    if not found:
        raise InputError(
            f"{shown} stores no normaliser: give the mean and deviation of its training images "
            "as normalize=(mean, std), or load_model(..., dataset=NAME), whose they then are"
        )
    (winner, origin), *others = found
    for other, where in others:
        if not same(winner, other):
            logger.warning(
                "%s: normaliser from %s (mean %s, std %s); that of %s differs (mean %s, std %s)",
                *(shown, origin, *map(rounded, winner), where, *map(rounded, other)),
            )
    return winner, origin


def same(one: Normalizer, other: Normalizer) -> bool:
    """Whether two normalisers are of the same channels and differ by rounding at most."""
    return all(
        a.shape == b.shape and torch.allclose(a, b, atol=1e-4)
        for a, b in zip(one, other, strict=True)
    )


def of_timm(network: Any) -> tuple[Normalizer, str] | None:
    """What timm says of images for one of its networks, and the name of the place."""
    noted = getattr(network, "pretrained_cfg", None)
    if not isinstance(noted, dict) or not noted.get("mean"):
        return None
    return (torch.tensor(noted["mean"]), torch.tensor(noted["std"])), "timm's pretrained_cfg"


def from_argument(normalize: tuple[Statistics, Statistics] | None) -> Normalizer | None:
    """Check ``normalize=(mean, std)``: a number for each channel, std above 0."""
    if normalize is None:
        return None
    try:
        mean, std = (torch.as_tensor(v, dtype=torch.float32).flatten().cpu() for v in normalize)
    except (TypeError, ValueError, RuntimeError):
        mean = std = torch.zeros(0)
    finite = bool(torch.isfinite(mean).all() and torch.isfinite(std).all())
    if not len(mean) or len(mean) != len(std) or not finite or not bool((std > 0).all()):
        raise _no_normalizer(normalize)
    return mean, std


def check_channels(normalize: Any, network: nn.Module) -> None:
    """Raise `InputError` if a network that takes no images takes another number of channels."""
    first = next((one for one in network.modules() if isinstance(one, nn.Conv2d)), None)
    if first is not None and first.in_channels != torch.as_tensor(normalize[0]).numel():
        raise _no_normalizer(normalize)


def _no_normalizer(normalize: Any) -> InputError:
    return InputError(
        f"normalize={normalize!r}: give (mean, std), three numbers each for colour images and as "
        "many as there are channels for others, std above 0"
    )


def described(normalizer: Normalizer, origin: str) -> dict[str, Any]:
    """A normaliser as plain data: mean, std and from."""
    mean, std = normalizer
    return {"mean": rounded(mean), "std": rounded(std), "from": origin}


def rounded(values: Tensor) -> list[float]:
    """Numbers as they are printed in papers."""
    return [round(value, 6) for value in values.flatten().tolist()]
