"""Appendix A.4, Tables 4 and 5: accuracy on clean images and under PGD."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from robustness.attacker import AttackerModel
from torch import Tensor, nn

from ..models.fast import fast_network
from ..models.loading import Model, Normalize, as_model, channels_of
from ..results.accuracies import Accuracies, Accuracy, Attack
from ..runtime.errors import InputError
from ..runtime.images import Batches
from ..runtime.labels import as_labels
from ..runtime.memory import Fastest, in_batches
from ..runtime.modules import device_of, evaluating
from ..runtime.numbers import shown
from ..runtime.precision import amp_dtype, full_precision, reduced
from ..runtime.randomness import check_seed, own_generators, seed_generators
from ..synthesis import Progress
from .threat import attack_of, check_attack

__all__ = [
    "Accuracies",
    "Accuracy",
    "attacked_network",
    "evaluate",
    "predicted_labels",
]


def evaluate(
    model: Model,
    loader: Iterable[Any],
    *,
    eps: float | None = None,
    attack_steps: Sequence[int] = (20, 100),
    step_size: float | None = None,
    constraint: str | None = None,
    group: Tensor | Sequence[int] | None = None,
    precision: str = "float32",
    batch_size: int | Literal["auto"] | None = None,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
) -> Accuracies:
    """Clean accuracy, then accuracy under PGD with each number of steps.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    loader
        Batches ``(images, labels)``, images (B, C, H, W) in [0, 1] and integer labels (B,) or
        (B, 1); dicts of such, or a data set, see `robust_reps_ext.runtime.images.batches`.
    eps
        Radius of the ball. By default that which the network was trained against, where its
        checkpoint or card tells it; else the paper's 3 at 224 pixels, brought to the size of the
        images, see `robust_reps_ext.synthesis.settings.paper_eps`.
    attack_steps
        Numbers of PGD steps; the paper's are 20 and 100.
    step_size
        By default eps / 8: the paper's 0.375 at eps 3.
    constraint
        One of upstream's: ``"2"``, ``"inf"``. By default ``"2"`` with `eps`, and what the network
        was trained against without.
    group
        Coarse label of each class, (num_classes,) of int64: accuracy is then that of the coarse
        labels, and so is what the attack aims at. The probability of a coarse label is the sum
        over its classes. Of critters' fine classes: ``critters.coarse_labels()``.
    precision
        ``"float32"``, ``"bfloat16"`` or ``"auto"``, for the attack, see
        `robust_reps_ext.synthesis.settings.Options`; predictions are always in full float32.
    batch_size
        The most images at once; default: as the loader gives them, and 32 of a data set.
        ``"auto"`` for as many of them as are fastest and fit into memory, by a short probe.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    seed
        Of what a network draws at random, which meets the same numbers in every batch.
    progress
        True for a bar, or ``progress(images_done, images_in_all, clean_accuracy)``; where it
        returns True, the accuracies on the images until then are the result.

    Returns
    -------
    Accuracies
        A tuple of `Accuracy`: clean first, then one for each of `attack_steps`. ``share`` is over
        the images, and ``balanced`` the mean over the classes, where some have more images than
        others. ``attack`` says what the images were attacked in.

    Raises
    ------
    InputError
        If the data is empty or no images in [0, 1], labels are no classes of the model, or eps,
        step_size or attack_steps are out of range.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> data = [(torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 3]))]
    >>> [accuracy.name for accuracy in rr.evaluate(model, data, eps=1.0, attack_steps=[2])]
    ['clean', 'PGD-2']
    """
    eps, attack_steps, step_size = check_attack(eps, attack_steps, step_size)
    seed, model, group = check_seed(seed), as_model(model, normalize), _group(group)
    device = device_of(model)
    group = None if group is None else group.cpu()
    members = None if group is None else _members(group).to(device)
    mixed = reduced(precision, device)
    fixed = {"mixed_precision": mixed, "custom_loss": partial(_cross_entropy, members=members)}
    against = partial(attack_of, {"it": model}, eps=eps, step_size=step_size, constraint=constraint)
    dtype = amp_dtype(device) if mixed else None
    network: nn.Module | None = None
    attack: Attack | None = None
    counts: Tensor = torch.zeros(0)  # correct ones of each attack, and all: (attacks + 1, labels)
    n = 0
    probe = partial(_probe, model, group, against, fixed if attack_steps else None)
    data = Batches(
        *(loader, channels_of(model)),
        batch_size=batch_size,
        fastest=Fastest(probe, device),
        progress=progress,
    )
    with evaluating(model):
        for images, given in data:
            if given is None:
                raise InputError("the data has no labels: give batches (images, labels)")
            with own_generators(device):
                seed_generators(seed, device)
                with torch.no_grad(), full_precision(device):
                    scores = model(images)[0]
                _check_logits(scores, len(images))
                _check_group(group, scores.shape[1])
                fine = as_labels(given, len(images), scores.shape[1])
                labels = fine if group is None else group.to(fine.device)[fine]
                if network is None or attack is None:
                    attack = against(images)
                    kinds = scores.shape[1] if group is None else int(group.max()) + 1
                    counts = torch.zeros(2 + len(attack_steps), kinds, dtype=torch.int64)
                    network = attacked_network(model, images, labels, members, dtype)
                how = {**_ball(attack), **fixed, "make_adv": True, "network": network}
                attacked = (
                    model(images, labels, iterations=steps, **how)[1] for steps in attack_steps
                )
                for i, x in enumerate((None, *attacked)):
                    if x is not None:
                        with torch.no_grad(), full_precision(device):
                            scores = model(x)[0]
                    found = _coarse(scores, members).argmax(dim=1)
                    right = labels[found.to(labels.device) == labels]
                    counts[i] += right.bincount(minlength=kinds).cpu()
                counts[-1] += labels.bincount(minlength=kinds).cpu()
            n += len(images)
            data.value = int(counts[0].sum()) / n
    if not n:
        raise InputError("the data is empty: give at least one batch")
    names = ("clean", *(f"PGD-{steps}" for steps in attack_steps))
    seen = counts[-1].tolist()
    shares = (
        Accuracy(name, sum(hits), n, tuple(zip(hits, seen, strict=True)))
        for name, hits in zip(names, counts[:-1].tolist(), strict=True)
    )
    return Accuracies(shares, attack if attack_steps else None)


def _ball(attack: Attack) -> dict[str, Any]:
    """The attack's keywords."""
    return {"constraint": attack.constraint, "eps": attack.eps, "step_size": attack.step_size}


def _probe(
    model: AttackerModel,
    group: Tensor | None,
    against: Callable[[Tensor], Attack],
    fixed: Mapping[str, Any] | None,
    images: Tensor,
    labels: Any,
) -> None:
    """What is done with images, for one step, whatever their labels are."""
    with torch.no_grad():
        scores = model(images)[0]
    _check_logits(scores, len(images))
    _check_group(group, scores.shape[1])
    if fixed is not None:
        members = None if group is None else _members(group).to(scores.device)
        seen = _coarse(scores, members).argmax(dim=1)
        model(images, seen, make_adv=True, iterations=1, **_ball(against(images)), **fixed)


def predicted_labels(model: AttackerModel, images: Tensor, *, batch_size: int = 64) -> Tensor:
    """The class that a model sees in each of the images (N, C, H, W), (N,) of int64 on the CPU."""
    device = device_of(model)
    with evaluating(model), torch.no_grad():
        scores = in_batches(
            len(images), batch_size, lambda rows: model(images[rows].to(device))[0].cpu()
        )
    return scores.argmax(dim=1)


def _check_logits(scores: Any, n: int) -> None:
    if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != n:
        raise InputError(
            "the model gives no logits (N, classes), so it has no accuracy: "
            "load_model(network, output=...) makes logits of what it gives"
        )


def attacked_network(
    model: AttackerModel,
    images: Tensor,
    labels: Tensor,
    members: Tensor | None,
    dtype: torch.dtype | None,
) -> nn.Module:
    """The copy of the network that the attack runs on."""
    device = device_of(model)
    inp, target = model.normalizer(images[:1].to(device)), labels[:1].to(device)
    loss = partial(_cross_entropy, inp=inp, target=target, members=members)
    return fast_network(model.model, inp, loss, dtype=dtype)


def _members(group: Tensor) -> Tensor:
    """Whether a coarse label (row) has a class (column)."""
    return group[None] == torch.arange(int(group.max()) + 1)[:, None]


def _coarse(logits: Tensor, members: Tensor | None) -> Tensor:
    """Log-probabilities of the coarse labels up to a constant: the log-sum-exp over classes."""
    if members is None:
        return logits
    return logits[:, None].masked_fill(~members, -torch.inf).logsumexp(dim=2)


def _group(group: Any) -> Tensor | None:
    """The coarse label of each class, (classes,)."""
    if group is None:
        return None
    try:
        return as_labels(group, len(group))
    except (InputError, TypeError) as error:
        raise InputError(
            f"group={shown(group)} ({error}): give the coarse label of each class, (classes,)"
        ) from error


def _check_group(group: Tensor | None, classes: int) -> None:
    if group is not None and len(group) != classes:
        raise InputError(
            f"group= has the coarse labels of {len(group)} classes, the model has {classes}: give "
            "one for each"
        )


def _cross_entropy(
    network: nn.Module, inp: Tensor, target: Tensor, *, members: Tensor | None
) -> tuple[Tensor, Tensor]:
    scores = _coarse(network(inp).float(), members)
    return nn.functional.cross_entropy(scores, target, reduction="none"), scores
