"""Metamers: images that a layer takes for given ones, and the proof that it does.

Feather, Leclerc, Mądry and McDermott, Model metamers reveal divergent invariances between
biological and artificial neural networks, 2023.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from typing_extensions import Unpack

from ...models.inputs import images_for
from ...models.loading import Model, Normalize, as_model, weights_digest
from ...models.stages import PENULTIMATE, LayersReader, stages
from ...results.synthesis import Synthesis
from ...runtime.errors import InputError, OptionError
from ...runtime.images import Images
from ...runtime.labels import as_labels
from ...runtime.memory import in_batches
from ...runtime.modules import evaluating
from ...runtime.numbers import shown
from ...runtime.signatures import keywords
from ...synthesis import Progress
from ...synthesis.settings import Options
from ..inversion import invert
from .likeness import MEASURES, likeness
from .null import Null, null_distribution
from .recognition import Recognition, recognition
from .result import Metamers

__all__ = [
    "DEFAULT",
    "MEASURES",
    "Metamers",
    "Null",
    "Recognition",
    "chosen_layers",
    "layer_of",
    "likeness",
    "measured",
    "metamers",
    "null_distribution",
    "recognition",
]

ALL = "all"
DEFAULT: Options = {"schedule": "lbfgs", "iterations": 200}


@keywords(Options)
def metamers(
    model: Model,
    images: Images,
    *,
    layers: str | Sequence[str] = ALL,
    data: Images | Dataset[Any] | DataLoader[Any] | None = None,
    null: Null | None = None,
    pairs: int = 10_000,
    path: str | os.PathLike[str] | None = None,
    labels: Any = None,
    group: Tensor | None = None,
    start: str | Images = "noise",
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Metamers:
    """Make images that a layer takes for the given ones, and test whether it does.

    For each layer, min ||A(x) - A(x2)||_2 / ||A(x2)||_2 over x from noise, the same for every
    layer. A metamer is a success where (1) rank correlation, correlation and signal-to-noise ratio
    of its activations with the target's at that layer are higher than those of all pairs of
    different images, and (2) the network sees the class in it that it has to.

    Parameters
    ----------
    model
        As `load_model` returns it, or anything that it takes.
    images
        The targets x2, (N, C, H, W) in [0, 1].
    layers
        Names, as `layer` of other experiments, and ``"penultimate"``; or ``"all"`` for the ends of
        the network's stages (see `robust_reps_ext.models.stages.stages`) and the penultimate layer.
    data
        What the null distribution is measured on: images, a data set, or its loader; default: the
        targets themselves, which are few.
    null
        A null distribution that is there already, see `null_distribution`.
    pairs
        Of the null distribution; of Feather et al. a million.
    path
        A file that keeps the null distribution, see `null_distribution`.
    labels
        (N,), the classes that the network has to see, in its own numbers, also where there is a
        `group`; default: those that it sees in the targets.
    group
        Coarse label of each class, (num_classes,) of int64, see `evaluate`: the class is kept where
        the coarse label is. Feather et al. have 16.
    start, normalize
        As for `invert`.
    seed
        For the noise, and the order of the null's pairs.
    progress
        True for a bar, or ``progress(steps_done, steps_in_all, mean_distance)``, of each layer.
    **options
        See `robust_reps_ext.synthesis.settings.Options`. By default 200 steps of L-BFGS, which come
        nearer than thousands of others; ``schedule="feather"`` is the published way, 24,000 steps.

    Returns
    -------
    Metamers

    Raises
    ------
    InputError
        If images, labels or layers do not fit, the null is of other layers or another network, or a
        setting is out of range.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> made = rr.metamers(model, torch.rand(4, 3, 64, 64), layers=["layer1"], iterations=3)
    >>> made.success.shape, len(made.null)
    (torch.Size([1, 4]), 12)
    """
    model = as_model(model, normalize)
    targets = images_for(model, "images", images)
    told = cast(Options, {name: one for name, one in options.items() if one is not None})
    if "layer" in told:
        raise InputError("metamers are made at several layers: give layers=[...]")
    for name in options.keys() - Options.__annotations__.keys():
        raise OptionError(name, {*Options.__annotations__, "layers", "seed", "progress"})
    names = chosen_layers(model, targets, layers)
    given = None if labels is None else as_labels(labels, len(targets))
    if null is None:
        null = null_distribution(
            model, targets if data is None else data, layers=names, path=path, seed=seed,
            pairs=pairs if data is not None else min(pairs, len(targets) * (len(targets) - 1)),
        )  # fmt: skip
    _check_null(model, null, names)
    if "schedule" not in told:
        told = {**DEFAULT, **told}
    found = []
    for name in names:
        each: Options = {**told, "layer": layer_of(name)}
        found.append(invert(model, targets, start=start, seed=seed, progress=progress, **each))
    size = told.get("batch_size")
    return measured(
        *(model, Synthesis.joined(found), names, null),
        labels=given,
        group=group,
        batch_size=size if isinstance(size, int) else 32,
    )


def measured(
    model: Model,
    synthesis: Synthesis,
    layers: Sequence[str],
    null: Null,
    *,
    labels: Any = None,
    group: Tensor | None = None,
    batch_size: int = 32,
) -> Metamers:
    """Test metamers that are there already.

    Parameters
    ----------
    model, null, labels, group
        As for `metamers`.
    synthesis
        L * N images with their targets: N for each of the L layers, one layer after the other.
    layers
        Names of the L layers.
    batch_size
        Images in one forward pass.

    Raises
    ------
    InputError
        If there is another number of images, or the null is of other layers or another network.
    """
    model = as_model(model)
    every = synthesis.target_images
    n = len(synthesis) // len(layers)
    if every is None or n * len(layers) != len(synthesis):
        raise InputError(
            f"{len(synthesis)} images at {len(layers)} layers: give as many at each, with targets"
        )
    _check_null(model, null, layers)
    targets = every[:n]
    reader = LayersReader(model, layers, targets)
    scores, there = _seen(model, reader, targets, batch_size)
    made = [
        _seen(model, reader, some, batch_size)
        for some in synthesis.images.unflatten(0, (len(layers), n))
    ]
    return Metamers(
        layers=list(layers),
        synthesis=synthesis,
        measures=torch.stack(
            [
                torch.stack([likeness(a, b) for a, b in zip(there, here, strict=True)])
                for _, here in made
            ]
        ),
        null=null,
        classes=torch.stack([_grouped(one.argmax(dim=1), group) for one, _ in made]),
        wanted=_grouped(scores.argmax(dim=1) if labels is None else as_labels(labels, n), group),
    )


def layer_of(name: str) -> str | None:
    """The `layer` of other experiments that one of these names means."""
    return None if name == PENULTIMATE else name


def chosen_layers(model: Any, targets: Tensor, layers: str | Sequence[str]) -> list[str]:
    """The names of layers, of which ``"all"`` are the ends of stages and the penultimate one.

    What `LayersReader` refuses is refused here: it is known before the first step.
    """
    if layers == ALL:
        return [*stages(model, targets), PENULTIMATE]
    return LayersReader(model, layers, targets).layers


def _check_null(model: Any, null: Null, layers: Sequence[str]) -> None:
    if not isinstance(null, Null):
        raise InputError(f"null={shown(null)}: give what null_distribution() gives")
    weights = weights_digest(model)
    if null.made_of.get("weights", weights) != weights:
        raise InputError("null is of another network: measure it on this one, null_distribution()")
    for name in layers:
        null.of(name)


def _seen(
    model: Any, reader: LayersReader, images: Tensor, batch_size: int
) -> tuple[Tensor, list[Tensor]]:
    """The scores of images, and their rows at each layer, on the CPU."""
    rows: list[list[Tensor]] = []

    def scores(part: slice) -> Tensor:
        found, values = reader(images[part])
        rows.append([one.cpu() for one in values])
        return found.cpu()

    with evaluating(model):
        every = in_batches(len(images), batch_size, scores)
    return every, [torch.cat(some) for some in zip(*rows, strict=True)]


def _grouped(classes: Tensor, group: Tensor | None) -> Tensor:
    return classes if group is None else group[classes]
