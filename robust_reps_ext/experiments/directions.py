"""Directions in R^k that mean something: principal components, classes, sparse linear heads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from robustness.attacker import AttackerModel
from torch import Tensor
from typing_extensions import Unpack

from ..models.dictionaries import read_dictionary
from ..models.inputs import images_for, reading_of
from ..models.loading import Model, Normalize, as_model
from ..models.representation import representation
from ..results.activations import Extreme
from ..results.directions import METHODS, Directions, Sparsity
from ..results.synthesis import Synthesis
from ..runtime.batches import batches
from ..runtime.errors import InputError
from ..runtime.images import Images
from ..runtime.numbers import check_progress, shown, whole
from ..runtime.randomness import check_seed
from ..runtime.signatures import keywords
from ..synthesis import Progress, optimize
from ..synthesis.directions import Direction
from ..synthesis.settings import STEADY, Options, Settings
from .latents import batches_of, latents_of, seeded
from .probe import sparse_heads

__all__ = ["directions", "raised"]


def directions(
    model: Model,
    loader: Iterable[Any],
    *,
    method: str = "pca",
    vectors: Any = None,
    components: int = 8,
    k: int = 3,
    names: Sequence[str] | None = None,
    path: int = 8,
    layer: Any = None,
    batch_size: int | Literal["auto"] | None = None,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    fitting: bool | Progress | None = None,
) -> Directions:
    """Find directions of the representation in the images of a data set.

    ``"pca"``: the directions in which R(x) varies most. ``"class"``: the mean of R over the images
    of each class minus the mean over all. ``"probe"``: the weights of a linear head for each
    class, L1-regularised logistic regression on standardised R (scikit-learn's saga), over a path
    from few features to many (Wong, Santurkar and Mądry 2021, "Leveraging sparse linear layers for
    debuggable deep networks"). The command ``directions`` shows what raises each;
    ``rr.synthesize(model, rr.Direction(found.vectors), ...)`` moves images along them.

    Memory holds R(x) of all images, N * k numbers, and the images at the ends of each direction.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    loader
        Batches ``(images, labels)`` or, for ``"pca"``, ``images``, (B, C, H, W) in [0, 1]; or a
        data set. It is gone through twice, and must give the same images in the same order.
    method
        ``"pca"``, ``"class"`` or ``"probe"``.
    vectors
        Directions of another origin, whose `method` is ``"given"``: (K, k), or a file with a
        dictionary, such as a sparse autoencoder of the ``overcomplete`` library, see
        `robust_reps_ext.models.dictionaries.read_dictionary`. Those are kept along which R(x) of
        the data spreads most.
    components
        How many, for ``"pca"``; at most how many of `vectors`.
    k
        Images kept at each end of a direction.
    names
        Of the labels, from 0 on; default: ``class 0`` and on.
    path
        How many costs, for ``"probe"``: from half of the one at which no feature is left to a
        hundredth of it.
    layer
        The representation layer; default the penultimate one.
    batch_size
        The most images at once; default: as the loader gives them, and 32 of a data set.
        ``"auto"`` for as many of them as are fastest and fit into memory, by a short probe.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    seed
        Of what a network draws at random, and of the images that a probe holds out.
    progress
        True for a bar, or ``progress(images_done, images_in_all, mean_length_of_R)``; where it
        returns True, the images until then are the data.
    fitting
        Of ``"probe"``, whose heads are fitted afterwards, which takes minutes where there are many
        classes: True for a bar, or ``fitting(costs_done, costs_in_all, mean_features_of_a_class)``;
        default: a bar where `progress` is one.

    Returns
    -------
    Directions

    Raises
    ------
    InputError
        If the method is not known, the data has no labels where it needs some, too few images, or
        another order the second time.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> batches = [(torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 1])) for _ in range(2)]
    >>> found = rr.directions(model, batches, method="class", k=2)
    >>> found.vectors.shape, found.names
    (torch.Size([3, 512]), ['class 0', 'class 1', 'class 2'])
    >>> rr.directions(model, batches, components=2).names
    ['component 0', 'component 1']
    """
    known_methods = METHODS[:3]
    if method not in known_methods:
        raise InputError(
            f"method={shown(method)} is not known: choose {' or '.join(known_methods)}"
        )
    if vectors is not None:
        if method != "pca":
            raise InputError(f"method={method!r} finds directions, vectors= gives some: give one")
        method, vectors = "given", _given(vectors)
    if isinstance(loader, Iterator):
        raise InputError(
            f"the data is a {type(loader).__name__}, which can be gone through once: give a list "
            "of batches, a loader or a data set"
        )
    k, components = whole("k", k, 1), whole("components", components, 1)
    path, seed = whole("path", path, 1), check_seed(seed)
    fitting = progress is True if fitting is None else fitting
    check_progress(fitting, "fitting")
    model = as_model(model, normalize)
    latents, labels = _latents(model, loader, layer, batch_size, seed, progress)
    if len(latents) < max(k, 2):
        raise InputError(
            f"the data has {len(latents)} images, k={k}: give more, 2 at the least, or a smaller k"
        )
    if not latents.isfinite().all():
        raise InputError("R(x) is not finite for some images: directions are of finite numbers")
    if method == "pca":
        found = _components(latents, components)
    elif method == "given":
        found = _widest(latents, vectors, components)
    elif (labels < 0).any():
        raise InputError(f"method={method!r} needs labels: give batches (images, labels)")
    elif method == "class":
        found = _class_means(latents, labels, names or ())
    else:
        found = _heads(latents, labels, names or (), path, seed, fitting)
    mean = latents.mean(dim=0)
    most, least = _ends((latents - mean) @ found.vectors.T, labels, k)
    most, least = _with_images(model, loader, latents, most, least, layer, seed)
    return Directions(
        method=method,
        vectors=found.vectors,
        names=found.names,
        strength=found.strength,
        bias=torch.zeros(len(found.vectors)) if found.bias is None else found.bias,
        mean=mean,
        most=most,
        least=least,
        sparsity=found.sparsity,
        seen=len(latents),
    )


@keywords(Options)
def raised(
    model: Model,
    vectors: Tensor,
    *,
    start: Images,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Synthesis:
    """Images that R maps far along directions, as `visualize` raises coordinates: `rr.Direction`.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of.
    vectors
        (K, k), none of them 0.
    start
        One image for all directions or one for each, (1, C, H, W) or (K, C, H, W).
    normalize, seed, progress, **options
        As for `robust_reps_ext.visualize`.

    Returns
    -------
    Synthesis
        K images; the objective is R(x) . v / ||v||.

    Raises
    ------
    InputError
        If shapes disagree or an option is out of range.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.experiments.directions import raised
    >>> from robust_reps_ext.synthesis import noise
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> start = noise(torch.empty(1, 3, 64, 64))
    >>> raised(model, torch.eye(3, 512), start=start, iterations=2).images.shape
    torch.Size([3, 3, 64, 64])
    """
    model = as_model(model, normalize)
    start = images_for(model, "start", start)
    settings = Settings.paper(start, options, schedule=STEADY, iterations=200)
    size = representation(model, start[:1], layer=settings.layer).shape[1]
    if not isinstance(vectors, Tensor) or vectors.dim() != 2 or vectors.shape[1] != size:
        raise InputError(f"vectors={shown(vectors)}: give directions in R^{size}, (K, {size})")
    if len(start) not in (1, len(vectors)):
        raise InputError(f"start has {len(start)} images: give 1 or {len(vectors)}")
    return optimize(
        model,
        Direction(vectors, fake_relu=settings.fake_relu),
        target=torch.arange(len(vectors)),
        start=start.expand(len(vectors), -1, -1, -1).contiguous(),
        settings=settings,
        seed=seed,
        progress=progress,
    )


def _latents(
    model: AttackerModel, loader: Any, layer: Any, batch_size: Any, seed: int, progress: Any
) -> tuple[Tensor, Tensor]:
    """R(x) of all images, and their labels, -1 where there are none."""
    data = batches_of(model, loader, layer=layer, batch_size=batch_size, progress=progress)
    rows, labels = [], []
    for _, told, latent in latents_of(model, data, layer=layer, seed=seed):
        rows.append(latent)
        labels.append(told)
        data.value = float(latent.norm(dim=1).mean())
    if not rows:
        raise InputError("the data has no images: give some")
    return torch.cat(rows), torch.cat(labels)


_NO_PATH = Sparsity(torch.empty(0), torch.empty(0, 0).long(), torch.empty(0), 0, -1)


@dataclass(frozen=True)
class _Found:
    """What a method gives, see `Directions`."""

    vectors: Tensor
    names: list[str]
    strength: Tensor
    bias: Tensor | None = None
    sparsity: Sparsity = _NO_PATH


def _components(latents: Tensor, count: int) -> _Found:
    """The first principal components, and the share of the variance of each."""
    n, size = latents.shape
    most = min(n - 1, size)
    if count > most:
        raise InputError(
            f"components={count}: {n} images in R^{size} have {most} at most; ask for fewer"
        )
    centred = latents.double() - latents.double().mean(dim=0)
    if n < size:  # no matrix of all coordinates, for which there may be no room
        _, singular, vectors = torch.linalg.svd(centred, full_matrices=False)
        values = singular.square()
    else:
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        values, vectors = values.flip(0), vectors.flip(1).T
    total = float(values.sum())
    if total <= 0:
        raise InputError("R(x) is the same for all images: it has no components")
    vectors = vectors[:count]
    # The sign is no one's: the coordinate that counts most is raised.
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    return _Found(
        (vectors * largest.sign()).float(),
        [f"component {i}" for i in range(count)],
        (values[:count] / total).float(),
    )


def _class_means(latents: Tensor, labels: Tensor, names: Sequence[str]) -> _Found:
    """From the mean over all images to that over each class."""
    classes = labels.unique().tolist()
    means = torch.stack([latents[labels == label].mean(dim=0) for label in classes])
    return _Found(*_of_classes(means - latents.mean(dim=0), classes, names))


def _heads(
    latents: Tensor,
    labels: Tensor,
    names: Sequence[str],
    path: int,
    seed: int,
    fitting: bool | Progress,
) -> _Found:
    """The weights of a sparse linear head for each class."""
    classes = labels.unique().tolist()
    heads = sparse_heads(latents, labels, classes, steps=path, seed=seed, progress=fitting)
    found = _of_classes(heads.weight, classes, names)
    return _Found(*found, bias=heads.bias, sparsity=heads.sparsity)


def _of_classes(
    along: Tensor, classes: Sequence[int], names: Sequence[str]
) -> tuple[Tensor, list[str], Tensor]:
    """Directions of length 1, or of zeros, what they are called, and their lengths before."""
    length = along.norm(dim=1)
    called = [str(names[i]) if i < len(names) else f"class {i}" for i in classes]
    return along / length[:, None].where(length[:, None] > 0, 1.0), called, length


def _given(vectors: Any) -> Tensor:
    """Directions that were given, (K, k), each of length 1."""
    if isinstance(vectors, str | os.PathLike):
        vectors = read_dictionary(vectors)
    return Direction(vectors).vectors


def _widest(latents: Tensor, vectors: Tensor, count: int) -> _Found:
    """The directions along which representations spread most, and their standard deviations."""
    if vectors.shape[1] != latents.shape[1]:
        raise InputError(
            f"vectors have {vectors.shape[1]} coordinates, R(x) has {latents.shape[1]}: give "
            "directions of this layer of this network"
        )
    spread = ((latents - latents.mean(dim=0)) @ vectors.T).std(dim=0)
    order = spread.argsort(descending=True, stable=True)[:count]
    return _Found(vectors[order], [f"direction {i}" for i in order.tolist()], spread[order])


def _ends(values: Tensor, labels: Tensor, k: int) -> list[Extreme]:
    """The k images at both ends of each direction, without their pixels."""
    found = []
    for largest in (True, False):
        value, index = values.T.sort(dim=1, descending=largest, stable=True)
        value, index = value[:, :k].contiguous(), index[:, :k].contiguous()
        found.append(Extreme(torch.empty(*index.shape, 0), value, index, labels[index]))
    return found


def _with_images(
    model: AttackerModel,
    loader: Any,
    latents: Tensor,
    most: Extreme,
    least: Extreme,
    layer: Any,
    seed: int,
) -> list[Extreme]:
    """The same with their pixels, from a second pass through the data."""
    wanted = set(torch.cat([most.index, least.index]).flatten().tolist())
    kept: dict[int, Tensor] = {}
    first = 0
    for images, _ in batches(loader, reading_of(model)):
        rows = [i - first for i in sorted(wanted) if first <= i < first + len(images)]
        if rows:
            kept |= {first + row: images[row].cpu() for row in rows}
            again = seeded(model, images[rows], layer=layer, seed=seed)
            off = (again - latents[first:][rows]).norm(dim=1)
            if (off > 0.01 * latents[first:][rows].norm(dim=1) + 1e-6).any():
                raise InputError(
                    "the loader gives other images the second time: give one without shuffling "
                    "and augmentation"
                )
        first += len(images)
        if len(kept) == len(wanted):
            break
    if len(kept) < len(wanted):
        raise InputError("the loader gives fewer images the second time: give all of them again")
    return [
        Extreme(
            torch.stack([torch.stack([kept[i] for i in row]) for row in end.index.tolist()]),
            *(end.value, end.index, end.label),
        )
        for end in (most, least)
    ]
