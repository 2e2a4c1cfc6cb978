"""Section 4.1: find an image with a given representation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeGuard

import torch
from robustness.attacker import AttackerModel
from torch import Tensor
from typing_extensions import Unpack

from ..models.inputs import images_for, reading_of
from ..models.loading import Model, Normalize, as_model
from ..models.representation import representation
from ..results.synthesis import Synthesis
from ..runtime.errors import InputError
from ..runtime.image_files import names_images
from ..runtime.images import Images, read_images, side_of
from ..runtime.signatures import keywords
from ..synthesis import Progress, noise, optimize
from ..synthesis.objectives import RepresentationMatching
from ..synthesis.settings import FASTEST, Options, Settings

__all__ = ["invert"]

STARTS = ("noise", "grey")
NEAR = 0.01
"""Relative distance at which an image is left as it is, unless the steps are counted."""


@keywords(Options)
def invert(
    model: Model,
    targets: Images,
    *,
    start: str | Images = "noise",
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Synthesis:
    """Find images whose representations match those of `targets`: equation (4).

    Minimises ||R(x1 + delta) - R(x2)||_2 / ||R(x2)||_2 over delta by normalised gradient steps.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    targets
        The images x2: (N, C, H, W) in [0, 1], files, PIL images, or whatever else
        `robust_reps_ext.models.inputs.images_for` takes.
    start
        The sources x1: ``"noise"`` for N(0, 1) / 20 + 0.5 (Fig. 6), ``"grey"`` for 0.5
        everywhere, or images of the shape of `targets` (Fig. 3), files included.
    seed
        For the noise.
    progress
        True for a bar, or ``progress(steps_done, steps_in_all, mean_distance)``.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    **options
        `layer`, `eps`, `step_size`, `iterations`, `schedule`, `batch_size`, `precision`, see
        `robust_reps_ext.synthesis.settings.Options`. By default 100 steps of L-BFGS,
        or as many as an image needs to come within 0.01 of its target, which is as near as any
        picture shows; ``schedule="paper"`` is appendix A.6.2: 10,000 steps of 1. Either goes at
        most eps 1000 from the source. These lengths are for 224 pixels and scale with the square
        root of the number of pixels.

    Returns
    -------
    Synthesis
        `objective` is the relative distance of each image.

    Raises
    ------
    InputError
        If images are not (N, C, H, W) in [0, 1], a setting is out of range, or `start` is of
        another shape than `targets`.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> result = rr.invert(model, torch.rand(2, 3, 64, 64), iterations=3)
    >>> result.images.shape, result.objective.shape
    (torch.Size([2, 3, 64, 64]), torch.Size([2]))
    """
    model = as_model(model, normalize)
    targets = images_for(model, "targets", targets)
    settings = Settings.paper(targets, options, schedule=FASTEST)
    return optimize(
        model,
        RepresentationMatching(fake_relu=settings.fake_relu),
        target=representation(model, targets, layer=settings.layer),
        start=sources(model, start, targets, seed=seed, first=settings.first),
        settings=settings,
        stop_when=near_enough(settings, options),
        target_images=targets,
        seed=seed,
        progress=progress,
    )


def is_word(start: Any) -> TypeGuard[str]:
    """Whether a start is a word, known or not, and no images or files of such."""
    return isinstance(start, str) and (start in STARTS or not names_images(start))


def near_enough(settings: Settings, given: Options) -> Callable[[Tensor, Any], Tensor] | None:
    """Which images need no more steps, where neither their number nor a schedule is asked for."""
    if settings.schedule != FASTEST or given.get("iterations") is not None:
        return None
    return _near


def _near(distance: Tensor, representation: Any) -> Tensor:
    return distance < NEAR


def sources(
    model: AttackerModel, start: str | Images, targets: Tensor, *, seed: int, first: int = 0
) -> Tensor:
    """The images x1 that an inversion starts from."""
    if not is_word(start):
        start = read_images("start", start, replace(reading_of(model), size=side_of(targets)))
        if start.shape != targets.shape:
            raise InputError(
                f"start has shape {tuple(start.shape)}, targets {tuple(targets.shape)}: "
                "give as many sources as targets, of the same size"
            )
        return start
    if start == "noise":
        return noise(targets, seed=seed, first=first)
    if start == "grey":
        return torch.full_like(targets, 0.5)
    raise InputError(f'start={start!r} is not known: give "noise", "grey", or images')
