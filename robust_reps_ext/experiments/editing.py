"""Images moved towards a class: translated, inpainted, enlarged (Santurkar et al. 2019)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from ..models.inputs import channels_of, images_for
from ..models.loading import Model, Normalize, as_model
from ..results.synthesis import Synthesis
from ..runtime.errors import InputError
from ..runtime.images import Images, as_images
from ..runtime.masks import as_mask, check_mask
from ..runtime.numbers import whole
from ..runtime.randomness import PATCH, check_seed
from ..runtime.signatures import keywords
from ..synthesis import Progress
from ..synthesis.settings import Options, Settings, at_size
from .accuracy import predicted_labels
from .classes import as_classes, toward
from .gaussians import enlarged, shrunk

__all__ = ["holed", "holes", "inpaint", "reduced", "translate", "upscale"]

HOLE = 60
"""Side of theirs, at 224 pixels."""


@keywords(Options)
def translate(
    model: Model,
    images: Images,
    to_class: Any,
    *,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Synthesis:
    """Turn images into such of another class: min -log softmax(z(x))_y over x near the image.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    images
        (N, C, H, W) in [0, 1].
    to_class
        The class y, one for all or one for each, a number, or a name where the model's file knows
        them.
    seed
        Recorded.
    progress
        True for a bar, or ``progress(steps_done, steps_in_all, mean_cross_entropy)``.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    **options
        See `robust_reps_ext.synthesis.settings.Options`. By default theirs: 200 steps of 0.5
        within eps 80 of the image. These lengths are for 224 pixels and scale with the image's
        side.

    Returns
    -------
    Synthesis
        `objective` is the cross-entropy to the class.

    Raises
    ------
    InputError
        If there is no such class, or a setting is out of range.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> rr.translate(model, torch.rand(2, 3, 64, 64), 4, iterations=2).images.shape
    torch.Size([2, 3, 64, 64])
    """
    model = as_model(model, normalize)
    images = images_for(model, "images", images)
    return toward(
        model,
        as_classes(model, to_class, images),
        images,
        Settings.paper(images, options, eps=80.0, step_size=0.5, iterations=200),
        seed=seed,
        progress=progress,
    )


@keywords(Options)
def inpaint(  # type: ignore[misc]  # the mask of Options, which must be given here
    model: Model,
    images: Images,
    mask: Any,
    *,
    classes: Any = None,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Synthesis:
    """Fill holes in images: min -log softmax(z(x))_y over the pixels of the hole alone.

    They keep the rest by a term of the loss; here it is kept to the bit, by projection.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    images
        (N, C, H, W) in [0, 1]; what they hold within the hole is not looked at.
    mask
        1 (or True) in the hole: (H, W) or (1, 1, H, W) for all, or (N, 1, H, W); see `holes`.
    classes
        y, one for all or one for each, a number, or a name where the model's file knows them;
        default: what the model takes each image with its hole for. (Theirs: the true one.)
    seed
        Recorded.
    progress
        True for a bar, or ``progress(steps_done, steps_in_all, mean_cross_entropy)``.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    **options
        See `robust_reps_ext.synthesis.settings.Options`. By default theirs: 720 steps of 0.1
        within eps 21.6 of the start. These lengths are for 224 pixels and scale with the image's
        side.

    Returns
    -------
    Synthesis
        `start` has the mean of the pixels outside in the hole, channel by channel (theirs: that of
        the whole image, which the hole would not tell), `target_images` are the `images`, and
        `objective` the cross-entropy to the class.

    Raises
    ------
    InputError
        If the mask does not fit the images or leaves no pixel of one, there is no such class, or a
        setting is out of range.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> images, mask = torch.rand(2, 3, 64, 64), torch.zeros(64, 64)
    >>> mask[20:30, 20:30] = 1
    >>> filled = rr.inpaint(model, images, mask, iterations=2)
    >>> torch.equal(filled.images[:, :, :20], images[:, :, :20])
    True
    """
    model = as_model(model, normalize)
    images = images_for(model, "images", images)
    hole = as_mask(mask)
    start = holed(images, hole)
    if classes is None:
        classes = predicted_labels(model, start)
    given: Any = {**options, "mask": hole}
    return toward(
        model,
        as_classes(model, classes, start),
        start,
        Settings.paper(images, given, eps=21.6, step_size=0.1, iterations=720),
        target_images=images,
        seed=seed,
        progress=progress,
    )


def holed(images: Tensor, mask: Any) -> Tensor:
    """Images whose holes have the mean of the pixels outside of them, channel by channel.

    Parameters
    ----------
    images
        (N, C, H, W).
    mask
        As for `inpaint`.

    Raises
    ------
    InputError
        If the mask does not fit, or leaves no pixel of an image.

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.experiments.editing import holed
    >>> holed(torch.tensor([[[[0.0, 0.5, 1.0]]]]), torch.tensor([[0, 1, 0]]))
    tensor([[[[0.0000, 0.5000, 1.0000]]]])
    """
    hole = as_mask(mask).to(images.device)
    check_mask(hole, images)
    if bool(hole.flatten(1).all(dim=1).any()):
        raise InputError("mask is 1 everywhere in an image, of which nothing is left: leave some")
    outside = ~hole
    mean = (images * outside).sum((-1, -2), keepdim=True) / outside.sum((-1, -2), keepdim=True)
    return torch.where(hole, mean, images)


def holes(images: Tensor, *, side: int | None = None, seed: int = 0, first: int = 0) -> Tensor:
    """A square hole at a random place of each image: a mask for `inpaint`.

    Parameters
    ----------
    images
        (N, C, H, W), of which the shape counts.
    side
        Height and width in pixels; default 60 at 224 pixels, theirs, brought to the size.
    seed
        Of the places.
    first
        Number of the first image among all that are drawn with this seed.

    Returns
    -------
    Tensor
        (N, 1, H, W), bool.

    Raises
    ------
    InputError
        If the hole is not smaller than the images.

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.experiments.editing import holes
    >>> holes(torch.rand(2, 3, 64, 64)).sum((1, 2, 3))
    tensor([289, 289])
    """
    height, width = images.shape[-2:]
    side = round(at_size(HOLE, images)) if side is None else whole("side", side, 1)
    if side >= min(height, width):
        raise InputError(
            f"a hole of {side} pixels leaves too little of images of {height} x {width}: give a "
            "smaller side"
        )
    seed = check_seed(seed)
    mask = torch.zeros(len(images), 1, height, width, dtype=torch.bool)
    for number, one in enumerate(mask, start=first):
        drawn = np.random.default_rng((seed, PATCH, number))
        top, left = drawn.integers(height - side + 1), drawn.integers(width - side + 1)
        one[0, top : top + side, left : left + side] = True
    return mask


@keywords(Options)
def upscale(
    model: Model,
    images: Images,
    factor: int,
    *,
    classes: Any = None,
    truth: Images | None = None,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Synthesis:
    """Enlarge images: min -log softmax(z(x))_y over x near the image with each pixel a square.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    images
        The small ones, (N, C, h, w) in [0, 1].
    factor
        How many times as high and wide they become: 2 or more.
    classes
        y, one for all or one for each, a number, or a name where the model's file knows them;
        default (theirs): what the model takes each enlarged image for.
    truth
        The large images, (N, C, h factor, w factor), where they are known: kept as
        `target_images`.
    seed
        Recorded.
    progress
        True for a bar, or ``progress(steps_done, steps_in_all, mean_cross_entropy)``.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    **options
        See `robust_reps_ext.synthesis.settings.Options`. By default theirs for images enlarged 8
        times to 224 pixels: 40 steps of 1 within eps 8 of the start. (For CIFAR's, 7 times: 50
        steps, eps 15.) These lengths scale with the image's side.

    Returns
    -------
    Synthesis
        `start` is the enlarged image, and `objective` the cross-entropy to the class.

    Raises
    ------
    InputError
        If the factor is no whole number from 2 on, the truth is of another size, there is no such
        class, or a setting is out of range.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> rr.upscale(model, torch.rand(2, 3, 16, 16), 4, iterations=2).images.shape
    torch.Size([2, 3, 64, 64])
    """
    model = as_model(model, normalize)
    images = as_images("images", images, channels_of(model))
    start = enlarged(images, whole("factor", factor, 2))
    if truth is not None:
        truth = images_for(model, "truth", truth)
        if truth.shape != start.shape:
            raise InputError(
                f"truth has shape {tuple(truth.shape)}, the enlarged images {tuple(start.shape)}: "
                "give the same images, large"
            )
    if classes is None:
        classes = predicted_labels(model, start)
    return toward(
        model,
        as_classes(model, classes, start),
        start,
        Settings.paper(start, options, eps=8.0, step_size=1.0, iterations=40),
        target_images=truth,
        seed=seed,
        progress=progress,
    )


def reduced(images: Tensor, factor: int) -> Tensor:
    """Images made `factor` times smaller, by averages: what `upscale` is tried on."""
    return shrunk("images", images, whole("factor", factor, 2))
