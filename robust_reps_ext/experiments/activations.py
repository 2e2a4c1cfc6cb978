"""Section 4.2, Fig. 8: the images of a data set that activate a coordinate most and least."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor

from ..models.loading import Model, Normalize, as_model
from ..results.activations import Activations, Extreme
from ..runtime.errors import InputError
from ..runtime.numbers import flag, whole
from ..runtime.randomness import check_seed
from ..synthesis import Progress
from ..synthesis.objectives import ALL, check_coordinates
from .latents import batches_of, latents_of

__all__ = [
    "ALL",
    "extremes",
    "merged",
    "most_activating",
]


def most_activating(
    model: Model,
    loader: Iterable[Any],
    *,
    coordinates: int | Sequence[int] | str,
    k: int = 3,
    layer: Any = None,
    first: int = 0,
    keep_images: bool | None = None,
    batch_size: int | Literal["auto"] | None = None,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
) -> Activations:
    """Go once through a data set and keep the k most and least activating images (Fig. 8).

    Memory holds what is kept and one batch, however large the data set is. Parts of a data set
    that were gone through apart, by several processes say, are put together by `merged`.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    loader
        Batches ``(images, labels)`` or ``images``, images (B, C, H, W) in [0, 1]; or a data set.
    coordinates
        Which coordinates i of R(x); ``"all"`` for every one.
    k
        Images kept at each end; the paper shows 3.
    layer
        The representation layer; default the penultimate one.
    first
        Position in the data of the first image that the loader gives.
    keep_images
        Whether the images themselves are kept, or their positions alone; by default they are,
        unless for all coordinates, of which a ResNet-50 has 2048.
    batch_size
        The most images at once; default: as the loader gives them, and 32 of a data set.
        ``"auto"`` for as many of them as are fastest and fit into memory, by a short probe.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    seed
        Of what a network draws at random, which meets the same numbers in every batch.
    progress
        True for a bar, or ``progress(images_done, images_in_all, mean_of_the_most)``; where it
        returns True, what has been found until then is the result.

    Returns
    -------
    Activations
        `seen` says how many images were looked at.

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
    >>> rr.most_activating(model, batches, coordinates="all", k=2).most.index.shape
    torch.Size([512, 2])
    """
    found = extremes(
        model,
        loader,
        coordinates=coordinates,
        k=k,
        layer=layer,
        first=first,
        keep_images=(
            not (isinstance(coordinates, str) and coordinates == ALL)
            if keep_images is None
            else flag("keep_images", keep_images)
        ),
        fewest=whole("k", k, 1),
        batch_size=batch_size,
        normalize=normalize,
        seed=seed,
        progress=progress,
    )
    assert found is not None  # of the fewest, one is there
    return found


def extremes(
    model: Model,
    loader: Iterable[Any],
    *,
    coordinates: int | Sequence[int] | str,
    k: int,
    layer: Any,
    first: int,
    keep_images: bool,
    fewest: int = 0,
    batch_size: int | Literal["auto"] | None = None,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
) -> Activations | None:
    """As `most_activating`, of a part of the data that may be smaller than k; None of nothing.

    Data of fewer images than `fewest` are an error, unless `progress` has ended the pass.
    """
    k, first = whole("k", k, 1), whole("first", first)
    found: Activations | None = None
    seed, model = check_seed(seed), as_model(model, normalize)

    data = batches_of(model, loader, layer=layer, batch_size=batch_size, progress=progress)
    for images, label, latent in latents_of(model, data, layer=layer, seed=seed):
        chosen = check_coordinates(coordinates, latent.shape[1])
        index = torch.arange(len(images)) + first + (0 if found is None else found.seen)
        kept = images.cpu() if keep_images else torch.empty(len(images), 0)
        most, least = (
            _of_batch(kept, latent[:, chosen].T, index, label, k, largest=largest)
            for largest in (True, False)
        )
        new = Activations(chosen, most, least, seen=len(images), k=k)
        found = new if found is None else merged(found, new)
        data.value = float(found.most.value.mean())
    seen = 0 if found is None else found.seen
    if seen < fewest and not data.stopped:
        raise InputError(f"the data has {seen} images, k={k}: give more data or a smaller k")
    return found


def merged(*parts: Activations) -> Activations:
    """What going through several parts of a data set in one pass would have found.

    The order of the parts is of no moment, nor how they are put together: merging what was
    merged before gives the same.

    Parameters
    ----------
    *parts
        Of the same coordinates and k, and of parts that share no image; the index of each is its
        position in the whole (``first=`` of `most_activating`).

    Raises
    ------
    InputError
        If coordinates or k differ, or nothing is given.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.experiments.activations import merged
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> images = torch.rand(6, 3, 64, 64)
    >>> parts = [
    ...     rr.most_activating(model, [images[i : i + 3]], coordinates=[3], k=2, first=i)
    ...     for i in (0, 3)
    ... ]
    >>> whole = rr.most_activating(model, [images], coordinates=[3], k=2)
    >>> torch.equal(merged(*parts).most.index, whole.most.index)
    True
    """
    if not parts:
        raise InputError("there is nothing to merge: give what most_activating found")
    return reduce(_pair, parts)


def _pair(one: Activations, other: Activations) -> Activations:
    if one.k != other.k or not torch.equal(one.coordinates, other.coordinates):
        raise InputError(
            f"parts differ: k={one.k} and {other.k}, {len(one.coordinates)} and "
            f"{len(other.coordinates)} coordinates; merge what was asked alike"
        )
    most, least = (
        _best(_joined(getattr(one, end), getattr(other, end)), one.k, largest=end == "most")
        for end in ("most", "least")
    )
    return Activations(one.coordinates, most, least, seen=one.seen + other.seen, k=one.k)


def _of_batch(
    images: Tensor,
    values: Tensor,
    index: Tensor,
    label: Tensor,
    k: int,
    *,
    largest: bool,
) -> Extreme:
    """The k most extreme images of a batch, for each coordinate."""
    value, position = values.sort(dim=1, descending=largest, stable=True)
    position = position[:, :k]
    return Extreme(images[position], value[:, :k], index[position], label[position])


def _joined(one: Extreme, other: Extreme) -> Extreme:
    pairs = ((getattr(one, name), getattr(other, name)) for name in vars(one))
    return Extreme(*(torch.cat(pair, dim=1) for pair in pairs))


def _best(given: Extreme, k: int, *, largest: bool) -> Extreme:
    """The k most extreme, for each coordinate; of equal ones the first in the data."""
    by_index = given.index.argsort(dim=1)
    by_value = given.value.gather(1, by_index).sort(dim=1, descending=largest, stable=True)
    position = by_index.gather(1, by_value.indices[:, :k])
    rows = torch.arange(len(position))[:, None]
    return Extreme(*(part[rows, position] for part in vars(given).values()))
