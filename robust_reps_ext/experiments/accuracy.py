"""Appendix A.4, Tables 4 and 5: accuracy on clean images and under PGD."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import torch
from robustness.attacker import AttackerModel
from torch import Tensor, nn

from ..models.inputs import reading_of
from ..models.loading import Model, Normalize, as_model
from ..results.accuracies import Accuracies, Accuracy, ThreatModel
from ..runtime.batches import Batches
from ..runtime.errors import InputError
from ..runtime.labels import as_labels
from ..runtime.memory import Fastest, in_batches
from ..runtime.modules import device_of, evaluating
from ..runtime.numbers import shown, whole
from ..runtime.precision import amp_dtype, full_precision, reduced
from ..runtime.randomness import check_seed, own_generators, seed_generators
from ..synthesis import Progress
from .attacks import Attack, attacked_network, check_attack, coarse
from .threat import attack_of

__all__ = [
    "Accuracies",
    "Accuracy",
    "attacked_network",
    "evaluate",
    "logits",
    "predicted_labels",
]


def evaluate(
    model: Model,
    loader: Iterable[Any],
    *,
    eps: float | None = None,
    radii: Sequence[float] | None = None,
    attack: str = "pgd",
    attack_steps: Sequence[int] | None = None,
    step_size: float | None = None,
    constraint: str | None = None,
    group: Tensor | Sequence[int] | None = None,
    precision: str = "float32",
    batch_size: int | Literal["auto"] | None = None,
    normalize: Normalize = None,
    seed: int = 0,
    first: int = 0,
    progress: bool | Progress = False,
) -> Accuracies:
    """Clean accuracy, then accuracy under an attack with each number of steps.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    loader
        Batches ``(images, labels)``, images (B, C, H, W) in [0, 1] and integer labels (B,) or
        (B, 1); dicts of such, or a data set, see `robust_reps_ext.runtime.batches.batches`.
    eps
        Radius of the ball. By default that which the network was trained against, where its
        checkpoint or card tells it; else the paper's 3 at 224 pixels, brought to the size of the
        images, see `robust_reps_ext.synthesis.settings.paper_eps`.
    radii
        Ascending ones instead of `eps`: accuracy at each, of which ``figure()`` is the curve.
    attack
        ``"pgd"`` (default) as in the paper, from the image itself, by steps of constant length.
        ``"apgd"``: Auto-PGD on the cross-entropy from a random point of the ball.
        ``"standard"``: that, and then Auto-PGD on the targeted DLR loss towards each of the nine
        labels whose scores are highest (Croce and Hein 2020, without the two of their four attacks
        that use no gradient of a loss): an image counts that withstands all, and at all smaller
        radii. One that is broken is not attacked again.
    attack_steps
        Numbers of steps, each an attack of its own; by default the paper's 20 and 100, and 100 of
        Auto-PGD.
    step_size
        Of PGD, by default eps / 8: the paper's 0.375 at eps 3. Auto-PGD begins with 2 eps.
    constraint
        One of upstream's: ``"2"``, ``"inf"``. By default ``"2"`` with `eps`, and what the network
        was trained against without.
    group
        Coarse label of each class, (num_classes,) of int64: accuracy is then that of the coarse
        labels, and so is what the attack aims at. The probability of a coarse label is the sum
        over its classes. A class of label -1 belongs to none: it counts neither as a prediction
        nor for the attack, and no image may be of it. Of critters' fine classes:
        ``critters.coarse_labels()``.
    precision
        ``"float32"``, ``"bfloat16"`` or ``"auto"``, for the attack, see
        `robust_reps_ext.synthesis.settings.Options`; predictions are always in full float32.
    batch_size
        The most images at once; default: as the loader gives them, and 32 of a data set.
        ``"auto"`` for as many of them as are fastest and fit into memory, by a short probe.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    seed
        Of what a network draws at random, which meets the same numbers in every batch, and of
        where Auto-PGD starts.
    first
        Number of the first image among all that are drawn with the seed. Where Auto-PGD starts
        depends on the seed and the image's own number only.
    progress
        True for a bar, or ``progress(images_done, images_in_all, clean_accuracy)``; where it
        returns True, the accuracies on the images until then are the result.

    Returns
    -------
    Accuracies
        A tuple of `Accuracy`: clean first, then one for each radius and each of `attack_steps`
        (two where the attack is standard, after its first run and after all). ``share`` is over
        the images, and ``balanced`` the mean over the classes, where some have more images than
        others. ``attack`` says what the images were attacked in.

    Raises
    ------
    InputError
        If the data is empty or no images in [0, 1], labels are no classes of the model, eps,
        radii, step_size or attack_steps are out of range, or the attack is not known.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> data = [(torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 3]))]
    >>> [accuracy.name for accuracy in rr.evaluate(model, data, eps=1.0, attack_steps=[2])]
    ['clean', 'PGD-2']
    """
    seed, model, group = check_seed(seed), as_model(model, normalize), _group(group)
    device = device_of(model)
    group = None if group is None else group.cpu()
    made = check_attack(
        eps,
        attack_steps,
        attack=attack,
        radii=radii,
        constraint=constraint,
        step_size=step_size,
        precision=precision,
        seed=seed,
        members=None if group is None else _members(group).to(device),
    )
    if eps is not None and radii is not None:
        raise InputError(f"eps={shown(eps)} is what radii give here: leave one of them out")
    first = whole("first", first)
    dtype = amp_dtype(device) if reduced(precision, device) else None
    network: nn.Module | None = None
    within: ThreatModel | None = None
    counts: Tensor = torch.zeros(0)  # correct ones of each line, and all: (lines + 1, labels)
    n = 0
    data = Batches(
        *(loader, reading_of(model)),
        batch_size=batch_size,
        fastest=Fastest(partial(_probe, model, group, made), device),
        progress=progress,
    )
    with evaluating(model):
        for images, given in data:
            if given is None:
                raise InputError(
                    "the data has no labels: give batches (images, labels), or a data set with "
                    "labels, such as torchvision's ImageFolder"
                )
            with own_generators(device):
                seed_generators(seed, device)
                with torch.no_grad(), full_precision(device):
                    scores = model(images)[0]
                _check_logits(scores, len(images))
                labels = _labels(given, scores, group)
                if network is None or within is None:
                    within = attack_of(
                        {"it": model},
                        images,
                        eps=made.radii[-1] if made.radii else None,
                        step_size=made.step_size,
                        constraint=constraint,
                    )
                    kinds = scores.shape[1] if group is None else int(group.max()) + 1
                    if radii is None:
                        made = made.within(within.eps, within.constraint)
                    counts = torch.zeros(2 + len(made.lines), kinds, dtype=torch.int64)
                    network = attacked_network(model, images, labels, made.members, dtype)
                clean = coarse(scores, made.members).argmax(dim=1).cpu() == labels.cpu()
                numbers = range(first + n, first + n + len(images))
                found = made.correct(model, network, images, labels, scores, numbers)
            everything = torch.ones(1, len(images), dtype=torch.bool)
            for i, right in enumerate(torch.cat([clean[None], found, everything])):
                counts[i] += labels.cpu()[right].bincount(minlength=kinds)
            n += len(images)
            data.value = int(counts[0].sum()) / n
    if not n:
        raise InputError("the data is empty: give at least one batch")
    lines = [("clean", 0.0), *made.lines]
    return Accuracies(_shares(lines, counts), within if made.steps else None)


def _labels(given: Any, scores: Tensor, group: Tensor | None) -> Tensor:
    """The label of each image of a batch, or its coarse label."""
    _check_group(group, scores.shape[1])
    fine = as_labels(given, len(scores), scores.shape[1])
    if group is None:
        return fine
    labels = group.to(fine.device)[fine]
    if bool((labels < 0).any()):
        left_out = int(fine[labels < 0][0])
        raise InputError(
            f"an image has label {left_out}, which belongs to no coarse label (-1 in group=): give "
            "images of the others only"
        )
    return labels


def _shares(lines: Sequence[tuple[str, float]], counts: Tensor) -> Iterator[Accuracy]:
    """What is right in each line, of the numbers for each label, the last of which are of all."""
    *right, seen = counts.tolist()
    for (name, radius), hits in zip(lines, right, strict=True):
        by_label = tuple(zip(hits, seen, strict=True))
        yield Accuracy(name, sum(hits), sum(seen), by_label, radius)


def _probe(
    model: AttackerModel, group: Tensor | None, attack: Attack, images: Tensor, labels: Any
) -> None:
    """What is done with images, for one step, whatever their labels are."""
    with torch.no_grad():
        scores = model(images)[0]
    _check_logits(scores, len(images))
    _check_group(group, scores.shape[1])
    if attack.steps:
        attack.probe(model, images, scores)


def predicted_labels(model: AttackerModel, images: Tensor, *, batch_size: int = 64) -> Tensor:
    """The class that a model sees in each of the images (N, C, H, W), (N,) of int64 on the CPU."""
    return logits(model, images, batch_size=batch_size).argmax(dim=1)


def logits(model: AttackerModel, images: Tensor, *, batch_size: int = 64) -> Tensor:
    """What a model gives each of the images (N, C, H, W), (N, classes) on the CPU.

    Raises
    ------
    InputError
        If it gives no logits.
    """

    def of(rows: slice) -> Tensor:
        scores = model(images[rows].to(device))[0]
        _check_logits(scores, len(images[rows]))
        return scores.cpu()

    device = device_of(model)
    with evaluating(model), torch.no_grad():
        return in_batches(len(images), batch_size, of)


def _check_logits(scores: Any, n: int) -> None:
    if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != n:
        raise InputError(
            "the model gives no logits (N, classes), so it has no accuracy: "
            "load_model(network, output=...) makes logits of what it gives"
        )


def _members(group: Tensor) -> Tensor:
    """Whether a coarse label (row) has a class (column)."""
    return group[None] == torch.arange(int(group.max()) + 1)[:, None]


def _group(group: Any) -> Tensor | None:
    """The coarse label of each class, (classes,)."""
    if group is None:
        return None
    try:
        given = torch.as_tensor(group)
        found = as_labels(given.where(given != -1, 0), len(group))
        found[given.flatten() == -1] = -1
        if bool((found < 0).all()):
            raise InputError("no class has a coarse label")
        return found
    except (InputError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"group={shown(group)} ({error}): give the coarse label of each class, (classes,)"
        ) from error


def _check_group(group: Tensor | None, classes: int) -> None:
    if group is not None and len(group) != classes:
        raise InputError(
            f"group= has the coarse labels of {len(group)} classes, the model has {classes}: give "
            "one for each"
        )
