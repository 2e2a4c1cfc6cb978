"""Appendix A.4, Tables 4 and 5: accuracy on clean images and under PGD."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor, nn

from ..models.fast import fast_network
from ..models.loading import Model, as_model, channels_of
from ..runtime.errors import InputError
from ..runtime.images import as_labels, batches
from ..runtime.modules import device_of, evaluating
from ..runtime.precision import amp_dtype, reduced

__all__ = ["Accuracy", "added_up", "attacked_network", "check_attack", "evaluate"]


@dataclass(frozen=True)
class Accuracy:
    """A share of correct predictions, with its Wilson interval.

    Attributes
    ----------
    name
        ``"clean"`` or ``"PGD-20"``, ...
    correct, n
        How many of how many images.
    by_class
        ``(correct, n)`` of each label, in their order; empty where only the sum was counted.
    """

    name: str
    correct: int
    n: int
    by_class: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    @property
    def share(self) -> float:
        """In [0, 1]."""
        return self.correct / self.n

    @property
    def balanced(self) -> float:
        """The mean over the classes that have images of the share of each; NaN without counts."""
        shares = [correct / n for correct, n in self.by_class if n]
        return sum(shares) / len(shares) if shares else math.nan

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's interval of the share."""
        from scipy.stats import binomtest  # slow to import: only where it is needed

        found = binomtest(self.correct, self.n).proportion_ci(confidence, method="wilson")
        return float(found.low), float(found.high)


def evaluate(
    model: Model,
    loader: Iterable[Any],
    *,
    eps: float = 3.0,
    attack_steps: Sequence[int] = (20, 100),
    step_size: float | None = None,
    constraint: str = "2",
    group: Tensor | None = None,
    precision: str = "float32",
    progress: Callable[[int], None] | None = None,
) -> tuple[Accuracy, ...]:
    """Clean accuracy, then accuracy under PGD with each number of steps.

    Parameters
    ----------
    model
        As `load_model` returns it, or anything that it takes.
    loader
        Batches ``(images, labels)``, images (B, C, H, W) in [0, 1] and integer labels (B,) or
        (B, 1); dicts of such, or a data set, see `robust_reps_ext.runtime.images.batches`.
    eps
        Radius of the ball; the paper's is 3 at 224 pixels.
    attack_steps
        Numbers of PGD steps; the paper's are 20 and 100.
    step_size
        By default eps / 8: the paper's 0.375 at eps 3.
    constraint
        One of upstream's: ``"2"``, ``"inf"``.
    group
        Coarse label of each class, (num_classes,) of int64: accuracy is then that of the coarse
        labels, and so is what the attack aims at. The probability of a coarse label is the sum
        over its classes. Of critters' fine classes: ``critters.coarse_labels()``.
    precision
        ``"float32"``, ``"bfloat16"`` or ``"auto"``, for the attack; predictions are always float32.
    progress
        Called with the number of images done.

    Returns
    -------
    tuple of Accuracy
        Clean first, then one for each of `attack_steps`. ``share`` is over the images, and
        ``balanced`` the mean over the classes, where some have more images than others.

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
    check_attack(eps, attack_steps)
    model = as_model(model)
    pgd = {
        "constraint": constraint,
        "eps": eps,
        "step_size": eps / 8 if step_size is None else step_size,
        "mixed_precision": reduced(precision, device_of(model)),
        "custom_loss": partial(_cross_entropy, group=group),
    }
    dtype = amp_dtype(device_of(model)) if pgd["mixed_precision"] else None
    network: nn.Module | None = None
    counts: Tensor = torch.zeros(0)  # correct ones of each attack, and all: (attacks + 1, labels)
    n = 0
    with evaluating(model):
        for images, given in batches(loader, channels_of(model)):
            if given is None:
                raise InputError("the data has no labels: give batches (images, labels)")
            with torch.no_grad():
                scores = model(images)[0]
            if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(images):
                raise InputError(
                    "the model gives no logits (N, classes), so it has no accuracy: "
                    "load_model(network, output=...) makes logits of what it gives"
                )
            fine = as_labels(given, len(images), scores.shape[1])
            labels = fine if group is None else group.to(fine.device)[fine]
            if network is None:
                kinds = scores.shape[1] if group is None else int(group.max()) + 1
                counts = torch.zeros(2 + len(attack_steps), kinds, dtype=torch.int64)
                network = attacked_network(model, images, labels, group, dtype)
            attacked = (
                model(images, labels, make_adv=True, iterations=steps, network=network, **pgd)[1]
                for steps in attack_steps
            )
            for i, x in enumerate((None, *attacked)):
                if x is not None:
                    with torch.no_grad():
                        scores = model(x)[0]
                found = _coarse(scores, group).argmax(dim=1)
                right = labels[found.to(labels.device) == labels]
                counts[i] += right.bincount(minlength=kinds).cpu()
            counts[-1] += labels.bincount(minlength=kinds).cpu()
            n += len(images)
            if progress is not None:
                progress(n)
    if not n:
        raise InputError("the data is empty: give at least one batch")
    names = ("clean", *(f"PGD-{steps}" for steps in attack_steps))
    seen = counts[-1].tolist()
    return tuple(
        Accuracy(name, sum(hits), n, tuple(zip(hits, seen, strict=True)))
        for name, hits in zip(names, counts[:-1].tolist(), strict=True)
    )


def attacked_network(
    model: AttackerModel,
    images: Tensor,
    labels: Tensor,
    group: Tensor | None,
    dtype: torch.dtype | None,
) -> nn.Module:
    """The copy of the network that the attack runs on."""
    device = device_of(model)
    inp, target = model.normalizer(images[:1].to(device)), labels[:1].to(device)
    loss = partial(_cross_entropy, inp=inp, target=target, group=group)
    return fast_network(model.model, inp, loss, dtype=dtype)


def _coarse(logits: Tensor, group: Tensor | None) -> Tensor:
    """Log-probabilities of the coarse labels up to a constant: the log-sum-exp over classes."""
    if group is None:
        return logits
    members = group.to(logits.device)[None] == torch.arange(int(group.max()) + 1)[:, None].to(
        logits.device
    )
    return logits[:, None].masked_fill(~members, -torch.inf).logsumexp(dim=2)


def check_attack(eps: float, attack_steps: Sequence[int]) -> None:
    """Raise `InputError` for an attack that cannot be made."""
    if not (eps >= 0 and math.isfinite(eps)):
        raise InputError(f"eps={eps}: give a radius, 0 or more")
    if any(steps < 1 for steps in attack_steps):
        raise InputError(f"attack_steps={tuple(attack_steps)}: give numbers of steps, 1 or more")


def added_up(counts: Iterable[Mapping[str, Any]]) -> list[Accuracy]:
    """The accuracies of all images from counts of some: rows of ``attack, correct, n, by_class``.

    Where one of them was counted without classes, so is the sum.

    Examples
    --------
    >>> from robust_reps_ext.experiments.accuracy import added_up
    >>> added_up([{"attack": "clean", "correct": 3, "n": 4}] * 2)
    [Accuracy(name='clean', correct=6, n=8)]
    """
    sums: dict[str, Accuracy] = {}
    for row in counts:
        classes = tuple((hits, n) for hits, n in json.loads(row.get("by_class") or "[]"))
        one = Accuracy(row["attack"], row["correct"], row["n"], classes)
        before = sums.get(one.name)
        if before is not None:
            pairs = zip(before.by_class, one.by_class, strict=False)
            one = Accuracy(
                one.name,
                before.correct + one.correct,
                before.n + one.n,
                tuple((hits + more, n + others) for (hits, n), (more, others) in pairs),
            )
        sums[one.name] = one
    return list(sums.values())


def _cross_entropy(
    network: nn.Module, inp: Tensor, target: Tensor, *, group: Tensor | None
) -> tuple[Tensor, Tensor]:
    scores = _coarse(network(inp).float(), group)
    return nn.functional.cross_entropy(scores, target, reduction="none"), scores
