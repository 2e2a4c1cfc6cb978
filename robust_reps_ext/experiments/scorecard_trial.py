"""One seed of the scorecard: the images that each claim needs, and what is measured on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from robustness.attacker import AttackerModel
from robustness.datasets import DataSet
from torch import Tensor

from ..datasets.critters import FINE_CLASSES, Factors
from ..datasets.samples import Samples, validation_samples
from ..models.representation import representation
from ..settings import PAPER_SIZE, Options
from ..synthesis import noise
from .addition import add_feature
from .constrained import invert_within
from .interpolation import interpolate
from .inversion import invert
from .scorecard_measures import (
    agreement,
    angle_between,
    evenness,
    halving_radius,
    off_the_blend,
    recovered,
    under_one,
    within_ends,
)
from .visualization import visualize

__all__ = ["PARTS", "Amounts", "Judge", "known_factors", "measure"]

PARTS = 5
COATS, TONES = 18, 6
"""Of critters: coats of each animal, and hues of each texture."""


@dataclass(frozen=True)
class Amounts:
    """How many images and steps each seed takes.

    Attributes
    ----------
    images, gallery
        Targets of the inversions, and all images among which a target must be found.
    pairs, steps
        Pairs of Fig. 4 and of the interpolations; steps of lambda.
    coordinates, starts
        Coordinates of R(x), and what their visualisations start from: noise, and images.
    additions
        Images that get a coordinate each.
    iterations, curve_iterations, addition_iterations
        PGD steps: of inversions, visualisations and interpolations, whose length falls as a
        cosine; of Fig. 4, of constant length; of the additions.
    addition_step
        First length of the additions' steps.
    radii
        Of Fig. 4, at 224 pixels.
    precision
        What the networks compute with while they are attacked, see `Options`.
    """

    images: int = 18
    gallery: int = 64
    pairs: int = 8
    steps: int = 6
    coordinates: int = 8
    starts: int = 4
    additions: int = 16
    iterations: int = 100
    curve_iterations: int = 200
    addition_iterations: int = 400
    addition_step: float = 0.3
    radii: tuple[float, ...] = (1.0, 4.0, 16.0, 64.0)
    precision: str = "auto"


@dataclass(frozen=True)
class Judge:
    """A third network, which says what an image shows.

    Attributes
    ----------
    model
        As `load_model` returns it.
    group
        Coarse label of each class, which is what is judged; None: the classes themselves.
    factors
        Of the validation images, where the classes are critters' fine ones; None elsewhere.
    """

    model: AttackerModel
    group: Tensor | None = None
    factors: tuple[Factors, ...] | None = None

    def representation(self, images: Tensor) -> Tensor:
        """(N, k), of images (N, C, H, W)."""
        return representation(self.model, images).cpu()

    def labels(self, images: Tensor) -> Tensor:
        """(N,), what the network takes the images for."""
        device = next(self.model.parameters()).device
        with torch.no_grad():
            scores = torch.cat([self.model(part.to(device))[0] for part in images.split(64)])
        return scores.argmax(dim=1).cpu()

    def coarse(self, labels: Tensor) -> Tensor:
        """The coarse label of each label."""
        return labels if self.group is None else self.group[labels]


Measured = dict[str, Tensor]


def measure(
    model: AttackerModel,
    data_set: DataSet,
    judge: Judge | None,
    amounts: Amounts,
    *,
    seed: int,
) -> Iterator[Measured]:
    """Make the images of one seed, and yield what was measured on each of `PARTS` kinds.

    Yields
    ------
    dict of str to Tensor
        Name of a measure -> (N,), one number for each image, pair or coordinate.
    """
    wanted = max(amounts.gallery, 2 * amounts.pairs, amounts.additions, amounts.starts)
    samples = validation_samples(data_set, wanted, seed=seed)
    quick: Options = {
        "schedule": "cosine-momentum",
        "iterations": amounts.iterations,
        "precision": amounts.precision,
    }
    parts: tuple[Callable[..., Measured], ...] = (
        _inversion,
        _curve,
        _features,
        _interpolation,
        _addition,
    )
    for part in parts:
        yield part(model, samples, judge, amounts, quick, seed)


def known_factors(data_set: DataSet) -> tuple[Factors, ...] | None:
    """The factors of the validation images, where the labels are critters' fine classes."""
    if tuple(getattr(data_set, "classes", ())) != FINE_CLASSES:
        return None
    _, loader = data_set.make_loaders(0, 1, only_val=True, shuffle_val=False)
    return getattr(loader.dataset, "factors", None)


def _inversion(
    model: AttackerModel, samples: Samples, judge: Judge | None, a: Amounts, o: Options, seed: int
) -> Measured:
    targets, gallery = samples.images[: a.images], samples.images[: a.gallery]
    run = invert(model, targets, seed=seed, **o)
    found = {
        "distance reached": run.objective,
        "recovered, by pixels": recovered(run.images, gallery),
    }
    if judge is None:
        return found
    reps = [judge.representation(images) for images in (run.images, gallery)]
    found["recovered, by the judge"] = recovered(*reps)
    taken = judge.labels(run.images)
    labels = samples.labels[: a.images]
    found["class recovered"] = judge.coarse(taken) == judge.coarse(labels)
    if judge.factors is not None:
        found["texture recovered"] = _texture(taken) == _texture(labels)
        true = torch.tensor([judge.factors[i].body_hue for i in samples.indices[: a.images]])
        found["hue error"] = angle_between(_centres(judge.factors)[taken % TONES], true)
    return found


def _curve(
    model: AttackerModel, samples: Samples, judge: Judge | None, a: Amounts, o: Options, seed: int
) -> Measured:
    x2, x1 = samples.images[: 2 * a.pairs].split(a.pairs)
    scale = x1.shape[-1] / PAPER_SIZE
    curve = invert_within(
        model,
        x2,
        x1,
        radii=[radius * scale for radius in a.radii],
        iterations=a.curve_iterations,
        precision=a.precision,
    )
    ends = [representation(model, images) for images in (x1, x2)]
    start = (ends[0] - ends[1]).norm(dim=1) / ends[1].norm(dim=1)
    return {
        "area under 1": under_one(curve.radii, curve.distance),
        "halving radius": halving_radius(curve.radii / scale, curve.distance, start),
    }


def _features(
    model: AttackerModel, samples: Samples, judge: Judge | None, a: Amounts, o: Options, seed: int
) -> Measured:
    images = samples.images[: a.starts - 1]
    starts = torch.cat([noise(samples.images[:1], seed=seed), images])
    size = representation(model, starts[:1]).shape[1]
    seen = visualize(model, coordinates=_drawn(size, a.coordinates, seed), seeds=starts, **o)
    found = {"same from every start, by pixels": agreement(seen.images)}
    if judge is not None:
        reps = judge.representation(seen.images.flatten(0, 1)).unflatten(0, seen.value.shape)
        found["same from every start, by the judge"] = agreement(reps)
    return found


def _interpolation(
    model: AttackerModel, samples: Samples, judge: Judge | None, a: Amounts, o: Options, seed: int
) -> Measured:
    left, right = samples.images[: 2 * a.pairs].split(a.pairs)
    path = interpolate(model, left, right, steps=a.steps, seed=seed, **o)
    found = {"off the pixel blend": off_the_blend(path.images, path.blend)}
    if judge is None:
        return {"evenness of steps, by pixels": evenness(path.images), **found}
    flat, shape = path.images.flatten(0, 1), path.distance.shape
    found["evenness of steps, by the judge"] = evenness(
        judge.representation(flat).unflatten(0, shape)
    )
    ends = judge.coarse(samples.labels[: 2 * a.pairs]).view(2, a.pairs).T
    classes = judge.coarse(judge.labels(flat)).unflatten(0, shape)
    found["class of an end"] = within_ends(classes, ends)
    return found


def _addition(
    model: AttackerModel, samples: Samples, judge: Judge | None, a: Amounts, o: Options, seed: int
) -> Measured:
    images = samples.images[: a.additions]
    size = representation(model, images[:1]).shape[1]
    chosen = _drawn(size, a.additions, seed)
    added = add_feature(
        model,
        images,
        chosen,
        seed=seed,
        schedule="cosine-momentum",
        iterations=a.addition_iterations,
        step_size=a.addition_step * images.shape[-1] / 64,
        precision=a.precision,
    )
    leads = representation(model, added.images).argmax(dim=1).cpu() == torch.tensor(chosen)
    if judge is None:
        return {"feature added": leads}
    coarse = [judge.coarse(one) for one in (judge.labels(added.images), samples.labels)]
    kept = coarse[0] == coarse[1][: a.additions]
    return {"feature added": leads, "feature added, class kept": leads & kept}


def _drawn(size: int, n: int, seed: int) -> list[int]:
    """Random coordinates, each once as far as there are enough of them."""
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed)).tolist()
    return [order[i % size] for i in range(n)]


def _texture(labels: Tensor) -> Tensor:
    return labels % COATS // TONES


def _centres(factors: tuple[Factors, ...]) -> Tensor:
    """(6,), the mean hue of each colour on the circle, in degrees."""
    turns = torch.deg2rad(torch.tensor([one.body_hue for one in factors]))
    colour = torch.tensor([one.hue for one in factors])
    means = [
        torch.atan2(turns[colour == k].sin().mean(), turns[colour == k].cos().mean())
        for k in range(TONES)
    ]
    return torch.rad2deg(torch.stack(means))
