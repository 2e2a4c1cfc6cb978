"""The one call behind every experiment: an objective, a start and a constraint, run by PGD."""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor

from ..models.loading import weights_digest
from ..models.representation import at_layer
from ..results.snapshot import Snapshot, described
from ..results.synthesis import Synthesis
from ..runtime.errors import InputError, warn
from ..runtime.modules import device_of, evaluating
from ..runtime.randomness import NOISE, check_seed, normal, own_generators
from ..runtime.signals import deferred
from .network import Engine
from .objectives import Objective
from .run import Batches
from .settings import Settings, recorded
from .trace import Progress, Recorder

__all__ = ["Progress", "check_images", "noise", "synthesize"]


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
    model: AttackerModel,
    objective: Objective,
    target: Tensor,
    start: Tensor,
    settings: Settings,
    *,
    origin: Tensor | None = None,
    stop_when: Callable[[Tensor, Any], Tensor] | None = None,
    target_images: Tensor | None = None,
    numbers: Tensor | None = None,
    seed: int = 0,
    progress: bool | Progress = False,
) -> Synthesis:
    """Optimise `objective` over images by PGD, from `start`, within a set around `origin`.

    Parameters
    ----------
    model
        As `load_model` returns it.
    objective
        What is optimised, see `robust_reps_ext.synthesis.objectives`.
    target
        What the objective aims at, one row per image: (N, ...).
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
    settings.check()
    start = check_images("start", start)
    origin = start if origin is None else check_images("origin", origin)
    if len(target) != len(start) or origin.shape != start.shape:
        raise InputError(
            f"{len(start)} starts, {len(target)} targets, {len(origin)} origins: "
            "give as many of each, and origins of the size of the starts"
        )
    check_seed(seed)
    numbers = torch.arange(len(start)) + settings.first if numbers is None else numbers.cpu()
    read = at_layer(model, settings.layer)
    engine = Engine(read, objective, target, precision=settings.precision, seed=seed)
    recorder = Recorder(settings, progress)
    snapshot = None
    if settings.snapshot is not None:
        run = _described(
            model, objective, target, start, origin, settings, stop_when, numbers, seed
        )
        snapshot = Snapshot(settings.snapshot, settings.snapshot_interval, run)
    kept = {} if snapshot is None else snapshot.read()
    waiting = nullcontext(None) if snapshot is None else deferred()
    with evaluating(read), recorder, own_generators(engine.device), waiting as pending:
        begin, nudged = engine.off_zero_gradients(start, numbers)
        engine.prepare(begin)
        batches = Batches(engine, recorder, settings, origin, stop_when, snapshot, pending, kept)
        final = batches.run()
        value = engine.values(final, batches.size)
        batches.keep()
    if snapshot is not None:
        snapshot.remove()
    failed = batches.non_finite()
    if any(failed):
        left = [str(i) for i, one in enumerate(failed) if one]
        warn(
            f"loss or gradient was not finite at {len(left)} of {len(start)} images, left where "
            f"both last were: images {', '.join(left[:10])}{', ...' * (len(left) > 10)}"
        )
    return Synthesis(
        images=final,
        start=start,
        objective=value,
        trace=torch.cat([torch.cat(recorder.traces, dim=1), value[None]]),
        trace_steps=torch.tensor([*recorder.trace_steps, settings.iterations]),
        settings={
            "objective": objective.name,
            "targeted": objective.targeted,
            **_plain(recorded(settings)),
            "batch_size": batches.size,
            "zero_gradient_starts": int(nudged.sum()),
            "non_finite": any(failed) and failed,
        },
        provenance={
            "weights": weights_digest(model),
            "seed": seed,
            "device": str(next(model.parameters()).device),
            "versions": _versions(),
        },
        target_images=target_images,
        frames=torch.cat(recorder.frames, dim=1) if recorder.frames else None,
        frame_steps=torch.tensor(recorder.frame_steps) if recorder.frames else None,
    )


def _described(
    model: AttackerModel,
    objective: Objective,
    target: Tensor,
    start: Tensor,
    origin: Tensor,
    settings: Settings,
    stop_when: Callable[[Tensor, Any], Tensor] | None,
    numbers: Tensor,
    seed: int,
) -> dict[str, str]:
    """What decides the result, to tell one run from another."""
    return {
        **{name: described(value) for name, value in recorded(settings).items()},
        "weights": weights_digest(model),
        "normalizer": described(model.normalizer),
        "objective": objective.name,
        "objective's parts": described(objective),
        "target": described(target),
        "start": described(start),
        "origin": described(origin),
        "stop_when": described(stop_when),
        "numbers": described(numbers),
        "seed": str(seed),
        "device": device_of(model).type,
        "torch": torch.__version__,
    }


def check_images(name: str, images: Tensor) -> Tensor:
    """`images` as float32; `InputError` unless they are (N, C, H, W) with values in [0, 1]."""
    if images.dim() != 4 or not len(images):
        raise InputError(
            f"{name} has shape {tuple(images.shape)}: give images as (N, C, H, W) with N >= 1"
        )
    images = images.detach().float()
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"{name} has values from {low:.4g} to {high:.4g}: bring images into [0, 1] "
            "(uint8 images: divide by 255; normalised images: give them before normalisation)"
        )
    return images


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON can hold them."""
    plain = {}
    for name, value in settings.items():
        if isinstance(value, Tensor):
            value = value.tolist()
        plain[name] = value if not callable(value) else getattr(value, "__name__", repr(value))
    return plain


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    packages = ("robust-reps-ext", "robustness", "torch", "torchvision")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
