"""The one call behind every experiment: an objective, a start and a constraint, run by PGD."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..models.inputs import images_for
from ..models.loading import Model, Normalize, as_model
from ..results.synthesis import Synthesis
from ..runtime.errors import InputError
from ..runtime.images import Images
from ..runtime.labels import as_labels
from ..runtime.numbers import shown
from ..runtime.randomness import NOISE, normal
from .protocol import Objective, complete
from .run import optimize
from .settings import Settings
from .trace import Progress

__all__ = ["Progress", "noise", "optimize", "synthesize"]


def noise(like: Tensor, *, seed: int = 0, first: int = 0) -> Tensor:
    """Gaussian noise N(0, 1) / 20 + 0.5 in the shape of `like`: the paper's start (Fig. 6).

    Parameters
    ----------
    like
        Images, (N, C, H, W).
    seed
        Of the draw, 0 or more.
    first
        Number of the first image among all that are drawn with this seed. An image depends on
        the seed and its own number only.

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.synthesis import noise
    >>> images = torch.empty(5, 3, 8, 8)
    >>> torch.equal(noise(images)[2:], noise(images[2:], first=2))
    True
    """
    numbers = range(first, first + len(like))
    draw = normal(numbers, like.shape[1:], seed=seed, stream=NOISE) / 20 + 0.5
    return draw.clamp(0, 1).to(like.device)


def synthesize(
    model: Model,
    objective: Objective,
    target: Tensor | tuple[Tensor | None, ...] | None,
    start: Images,
    settings: Settings,
    *,
    origin: Images | None = None,
    stop_when: Callable[[Tensor, Any], Tensor] | None = None,
    target_images: Tensor | None = None,
    numbers: Tensor | None = None,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
) -> Synthesis:
    """Optimise `objective` over images by PGD, from `start`, within a set around `origin`.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    objective
        What is optimised, see `robust_reps_ext.synthesis.objectives`.
    target
        What the objective aims at, one row per image: (N, ...). For a sum of objectives a tuple
        with one for each part, or one for all; None where none is taken.
    start
        First iterates, (N, C, H, W) in [0, 1].
    settings
        How PGD runs.
    origin
        Centre of the set, (N, C, H, W); default `start`.
    stop_when
        ``stop_when(objective_values, representation) -> (N,) bool``: images for which it holds
        are left as they are.
    target_images
        The images behind `target`, kept for figures.
    numbers
        (N,), the number of each image among all that are drawn with `seed`; by default from
        ``settings.first`` on.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    seed
        Recorded, and used for the noise that nudges starts whose gradient is exactly zero. An
        objective that draws from torch's global generators meets the same numbers in every
        batch, and leaves the generators as they were.
    progress
        True for a bar, or a function.

    Returns
    -------
    Synthesis
        An image whose loss or gradient is no longer finite keeps its last iterate where both
        were; a warning names it, and ``settings["non_finite"]`` says of each image whether it is
        one (False if none is). If memory runs out, the batch begins again with half of the
        images, as do all after it.

    Raises
    ------
    InputError
        If shapes disagree, images leave [0, 1], a setting is out of range, memory runs out
        with one image at a time, or the file ``settings.snapshot`` is damaged or of another run.
    Interrupted
        After SIGINT or SIGTERM, once the step is finished and the snapshot written; only where
        there is a snapshot.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.synthesis.settings import Settings
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> start = torch.rand(2, 3, 64, 64)
    >>> settings = Settings(eps=10, step_size=0.5, iterations=3)
    >>> brighter = rr.synthesize(model, rr.CoordinateMaximization(), torch.tensor([0, 1]), start,
    ...                          settings)
    >>> brighter.images.shape
    torch.Size([2, 3, 64, 64])
    """
    if not isinstance(settings, Settings):
        raise InputError(
            f"settings={shown(settings)}: give Settings(eps=, step_size=, iterations=)"
        )
    if stop_when is not None and not callable(stop_when):
        raise InputError(f"stop_when={shown(stop_when)}: give a function")
    model = as_model(model, normalize)
    if isinstance(target, tuple):
        target = tuple(None if one is None else _rows("target", one) for one in target)
    elif target is not None or complete(objective).takes_target:
        target = _rows("target", target)
    start = images_for(model, "start", start)
    if numbers is not None:
        numbers = _numbers(numbers, len(start))
    origin = start if origin is None else images_for(model, "origin", origin)
    return optimize(
        model,
        objective,
        target,
        start,
        settings,
        origin=origin,
        stop_when=stop_when,
        target_images=target_images,
        numbers=numbers,
        seed=seed,
        progress=progress,
    )


def _numbers(value: Any, n: int) -> Tensor:
    try:
        return as_labels(value, n)
    except InputError as error:
        raise InputError(
            f"numbers={shown(value)}: give a whole number for each image, ({n},)"
        ) from (error)


def _rows(name: str, value: Any) -> Tensor:
    """A tensor with a row for each image."""
    try:
        rows = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        rows = torch.empty(())
    if not rows.dim():
        raise InputError(f"{name}={shown(value)}: give a row for each image, (N, ...)")
    return rows
