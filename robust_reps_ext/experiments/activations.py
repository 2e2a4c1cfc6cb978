"""Section 4.2, Fig. 8: the images of a data set that activate a coordinate most and least."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor

from ..errors import InputError
from ..models.representation import representation
from ..objectives import check_coordinates

__all__ = ["Activations", "most_activating"]


@dataclass(frozen=True)
class Extreme:
    """The k images at one end, for each of C coordinates, the most extreme first.

    Attributes
    ----------
    images
        (C, k, channels, H, W).
    value
        (C, k), R(x)_i.
    index
        (C, k), position in the data.
    label
        (C, k), the data's label, -1 where the data has none.
    """

    images: Tensor
    value: Tensor
    index: Tensor
    label: Tensor


@dataclass(frozen=True)
class Activations:
    """The images that activate each coordinate most and least.

    Attributes
    ----------
    coordinates
        (C,), as asked for.
    most, least
        The two ends.
    seen
        How many images were looked at.
    """

    coordinates: Tensor
    most: Extreme
    least: Extreme
    seen: int


def most_activating(
    model: AttackerModel,
    loader: Iterable[Any],
    *,
    coordinates: Sequence[int],
    k: int = 3,
    layer: Any = None,
) -> Activations:
    """Go once through a data set and keep the k most and least activating images (Fig. 8).

    Memory holds the images kept and one batch, however large the data set is.

    Parameters
    ----------
    model
        As `load_model` returns it.
    loader
        Batches ``(images, labels)`` or ``images``, images (B, C, H, W) in [0, 1].
    coordinates
        Which coordinates i of R(x).
    k
        Images kept at each end; the paper shows 3.
    layer
        The representation layer; default the penultimate one.

    Returns
    -------
    Activations

    Raises
    ------
    InputError
        If a coordinate is out of range, k is below 1, or there are fewer than k images.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> batches = torch.rand(6, 3, 64, 64).split(2)
    >>> found = rr.most_activating(model, batches, coordinates=[3, 50], k=2)
    >>> found.most.value.shape, found.seen
    (torch.Size([2, 2]), 6)
    """
    if k < 1:
        raise InputError(f"k={k}: keep at least one image")
    chosen = torch.tensor([], dtype=torch.int64)
    most: Extreme | None = None
    least: Extreme | None = None
    seen = 0
    for batch in loader:
        images, labels = batch[:2] if isinstance(batch, (tuple, list)) else (batch, None)
        latent = representation(model, images, layer=layer, batch_size=max(1, len(images))).cpu()
        chosen = check_coordinates(coordinates, latent.shape[1])
        index = torch.arange(seen, seen + len(images))
        label = torch.full((len(images),), -1) if labels is None else labels.cpu().long()
        values = latent[:, chosen].T
        most = _merge(most, images.cpu(), values, index, label, k, largest=True)
        least = _merge(least, images.cpu(), values, index, label, k, largest=False)
        seen += len(images)
    if most is None or least is None or seen < k:
        raise InputError(f"the data has {seen} images, k={k}: give more data or a smaller k")
    return Activations(coordinates=chosen, most=most, least=least, seen=seen)


def _merge(
    kept: Extreme | None,
    images: Tensor,
    values: Tensor,
    index: Tensor,
    label: Tensor,
    k: int,
    *,
    largest: bool,
) -> Extreme:
    """The k most extreme of those kept and a new batch, for each coordinate."""
    c = len(values)
    own = min(k, len(images))
    value, position = values.topk(own, dim=1, largest=largest)
    new = Extreme(images[position], value, index[position], label[position])
    if kept is None:
        return new
    value, position = torch.cat([kept.value, new.value], dim=1).topk(
        min(k, kept.value.shape[1] + own), dim=1, largest=largest
    )
    rows = torch.arange(c)[:, None]
    joined = (
        torch.cat([getattr(kept, n), getattr(new, n)], dim=1) for n in ("images", "index", "label")
    )
    chosen_images, chosen_index, chosen_label = (part[rows, position] for part in joined)
    return Extreme(chosen_images, value, chosen_index, chosen_label)
