"""One trial of the scorecard: the images of a model and a seed, and what is measured on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from robustness.attacker import AttackerModel
from robustness.datasets import DataSet
from torch import Tensor

from ...datasets.samples import Samples, validation_samples
from ...models.representation import representation, shuffled_coordinates
from ...synthesis import noise
from ...synthesis.settings import Options, at_size
from ..addition import add_feature
from ..constrained import invert_within
from ..interpolation import interpolate
from ..inversion import invert
from ..resemblance import resemblances
from ..visualization import visualize
from .claims import RESEMBLANCE
from .judge import Judge
from .measures import (
    agreement,
    angle_between,
    evenness,
    from_afar,
    halving_radius,
    off_the_blend,
    recovered,
    towards,
    within_ends,
)
from .settings import Amounts

__all__ = ["PARTS", "Measured", "measure"]

PARTS = 6

Measured = dict[str, Tensor]
"""Name of a measure -> (N,), one number for each image, pair or coordinate."""


@dataclass(frozen=True)
class _Trial:
    """What every part of a trial works with."""

    model: AttackerModel
    samples: Samples
    judge: Judge | None
    amounts: Amounts
    eps: float
    seed: int
    resemblance: bool

    @property
    def options(self) -> Options:
        return {
            "schedule": "cosine-momentum",
            "iterations": self.amounts.iterations,
            "precision": self.amounts.precision,
        }

    @property
    def inversion(self) -> Options:
        step_size = at_size(self.amounts.step_size, self.samples.images, side=64)
        return {**self.options, "step_size": step_size}

    def coordinates(self, n: int) -> list[int]:
        """Random coordinates, each once as far as there are enough of them."""
        order = shuffled_coordinates(self.model, self.samples.images, seed=self.seed)
        return [order[i % len(order)] for i in range(n)]


def measure(
    model: AttackerModel,
    data_set: DataSet,
    judge: Judge | None,
    amounts: Amounts,
    *,
    eps: float,
    seed: int,
    resemblance: bool = True,
) -> Iterator[Measured]:
    """Make the images of one seed, and yield what was measured on each of `PARTS` kinds.

    Parameters
    ----------
    model, data_set, judge, amounts
        As `scorecard` has them.
    eps
        L2 radius that the robust model was trained against.
    seed
        Chooses images, noise and coordinates.
    resemblance
        Whether to measure how much inversions look like their targets.
    """
    samples = validation_samples(data_set, amounts.needed, seed=seed)
    trial = _Trial(model, samples, judge, amounts, eps, seed, resemblance)
    parts: tuple[Callable[[_Trial], Measured], ...] = (
        _from_noise,
        _from_images,
        _within_radii,
        _features,
        _interpolation,
        _addition,
    )
    for part in parts:
        yield part(trial)


def _from_noise(t: _Trial) -> Measured:
    n = t.amounts.images
    targets, gallery = t.samples.images[:n], t.samples.images[: t.amounts.gallery]
    run = invert(t.model, targets, seed=t.seed, **t.inversion)
    found = {
        "distance reached": run.objective,
        "recovered, from afar": recovered(from_afar(run.images), from_afar(gallery)),
    }
    if t.resemblance:
        alike = resemblances(run.images, targets)
        found |= {RESEMBLANCE + name: values for name, values in alike.items()}
    if t.judge is None:
        return found
    reps = [t.judge.representation(images) for images in (run.images, gallery)]
    found["recovered, by the judge"] = recovered(*reps)
    labels, seen = t.samples.labels[:n], t.judge.labels(run.images)
    found["class recovered"] = t.judge.coarse(seen) == t.judge.coarse(labels)
    if t.judge.factors is not None:
        found["texture recovered"] = t.judge.texture(seen) == t.judge.texture(labels)
        hues = t.judge.hues_seen(seen), t.judge.hues_of(t.samples)[:n]
        found["hue error"] = angle_between(*hues)
    return found


def _from_images(t: _Trial) -> Measured:
    n = t.amounts.images
    targets, sources = t.samples.images[: 2 * n].split(n)
    run = invert(t.model, targets, start=sources, seed=t.seed, **t.inversion)
    afar = (from_afar(images) for images in (sources, run.images, targets))
    found = {
        "distance reached from an image": run.objective,
        "towards the target, from afar": towards(*afar),
    }
    if t.judge is not None:
        labels = t.samples.labels[: 2 * n].split(n)
        found["class of the target"] = t.judge.sees(run.images, labels[0])
    return found


def _within_radii(t: _Trial) -> Measured:
    n = t.amounts.pairs
    x2, x1 = t.samples.images[: 2 * n].split(n)
    radii = sorted({t.eps, *(at_size(radius, x1) for radius in t.amounts.radii)})
    curve = invert_within(t.model, x2, x1, radii=radii, **t.options)
    ends = [representation(t.model, images) for images in (x1, x2)]
    left = curve.distance / ((ends[0] - ends[1]).norm(dim=1) / ends[1].norm(dim=1))
    return {
        "left at the radius trained against": left[radii.index(t.eps)],
        "halving radius": halving_radius(curve.radii / at_size(1.0, x1), left),
    }


def _features(t: _Trial) -> Measured:
    images = t.samples.images[: t.amounts.starts - 1]
    starts = torch.cat([noise(t.samples.images[:1], seed=t.seed), images])
    chosen = t.coordinates(t.amounts.coordinates)
    seen = visualize(t.model, coordinates=chosen, seeds=starts, **t.options)
    found = {"same from every start, from afar": agreement(from_afar(seen.images))}
    if t.judge is not None:
        reps = t.judge.representation(seen.images.flatten(0, 1)).unflatten(0, seen.value.shape)
        found["same from every start, by the judge"] = agreement(reps)
    return found


def _interpolation(t: _Trial) -> Measured:
    n = t.amounts.pairs
    left, right = t.samples.images[: 2 * n].split(n)
    path = interpolate(t.model, left, right, steps=t.amounts.steps, seed=t.seed, **t.inversion)
    afar = from_afar(path.images), from_afar(path.blend)
    found = {"off the pixel blend": off_the_blend(*afar), "evenness of steps": evenness(afar[0])}
    if t.judge is not None:
        ends = t.judge.coarse(t.samples.labels[: 2 * n]).view(2, n).T
        for name, images in (("class of an end", path.images), ("of the blend", path.blend)):
            classes = t.judge.coarse(t.judge.labels(images.flatten(0, 1)))
            found[name] = within_ends(classes.unflatten(0, path.distance.shape), ends)
    return found


def _addition(t: _Trial) -> Measured:
    images = t.samples.images[: t.amounts.additions]
    chosen = t.coordinates(len(images))
    added = add_feature(
        t.model,
        images,
        chosen,
        seed=t.seed,
        schedule="cosine-momentum",
        iterations=t.amounts.addition_iterations,
        step_size=at_size(t.amounts.addition_step, images, side=64),
        precision=t.amounts.precision,
    )
    leads = representation(t.model, added.images).argmax(dim=1).cpu() == torch.tensor(chosen)
    found = {"feature added": leads}
    if t.judge is not None:
        kept = t.judge.sees(added.images, t.samples.labels[: len(images)])
        found["feature added, class kept"] = leads & kept
    return found
