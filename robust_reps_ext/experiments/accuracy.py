"""Appendix A.4, Tables 4 and 5: accuracy on clean images and under PGD."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import torch
from robustness.attacker import AttackerModel
from torch import Tensor, nn

from ..models.fast import fast_network
from ..models.loading import Model, Normalize, as_model, channels_of
from ..results.plots import Line, accuracy_figure
from ..results.result import Result
from ..runtime.errors import InputError
from ..runtime.images import Batches
from ..runtime.labels import as_labels
from ..runtime.memory import Fastest, in_batches
from ..runtime.modules import device_of, evaluating
from ..runtime.numbers import number_for_each, real, shown, whole
from ..runtime.precision import amp_dtype, full_precision, reduced
from ..runtime.randomness import check_seed, own_generators, seed_generators
from ..synthesis import Progress

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = [
    "Accuracies",
    "Accuracy",
    "added_up",
    "attacked_network",
    "check_attack",
    "evaluate",
    "line_of",
    "predicted_labels",
]


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


def line_of(shares: Sequence[Accuracy], label: str = "") -> Line:
    """The shares with Wilson's 95% intervals, as figures take them."""
    low, high = zip(*(one.interval() for one in shares), strict=True)
    return Line([one.share for one in shares], low, high, label)


class Accuracies(Result, tuple[Accuracy, ...]):
    """Clean accuracy, and that under each attack: a tuple of `Accuracy`."""

    def figure(self) -> Figure:
        """Bars with Wilson's 95% intervals."""
        return accuracy_figure([one.name for one in self], [line_of(self)])

    def to_frame(self) -> pandas.DataFrame:
        """A row for each accuracy, with the ends of Wilson's 95% interval."""
        import pandas

        line = line_of(self)
        rows = pandas.DataFrame([vars(one) for one in self]).drop(columns="by_class")
        rows["balanced"] = [one.balanced for one in self]
        for place, (name, column) in enumerate(
            {"accuracy": line.y, "low": line.low, "high": line.high}.items()
        ):
            rows.insert(1 + place, name, list(column))
        return rows

    def _told(self) -> tuple[str, str]:
        images = self[0].n if self else 0
        told = ", ".join(f"{one.name} {100 * one.share:.1f}%" for one in self)
        return f"Accuracies on {images} images", told

    def _parts(self) -> dict[str, Any]:
        return {"accuracies": [vars(one) for one in self]}

    @classmethod
    def _of(cls, parts: dict[str, Any]) -> Accuracies:
        return cls(
            Accuracy(**{**one, "by_class": tuple((hits, n) for hits, n in one["by_class"])})
            for one in parts.pop("accuracies")
        )

    def _check(self) -> None:
        for one in self:
            numbers = (one.correct, one.n, *chain.from_iterable(one.by_class))
            if not isinstance(one.name, str) or {type(number) for number in numbers} != {int}:
                raise ValueError("its counts are no whole numbers")
            if not 0 <= one.correct <= one.n or not one.n:
                raise ValueError(f"{one.correct} of {one.n} are right")
        if not self:
            raise ValueError("it holds no accuracies")


def evaluate(
    model: Model,
    loader: Iterable[Any],
    *,
    eps: float = 3.0,
    attack_steps: Sequence[int] = (20, 100),
    step_size: float | None = None,
    constraint: str = "2",
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
        others.

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
    eps, attack_steps = check_attack(eps, attack_steps)
    seed, model, group = check_seed(seed), as_model(model, normalize), _group(group)
    device = device_of(model)
    group = None if group is None else group.cpu()
    members = None if group is None else _members(group).to(device)
    pgd = {
        "constraint": constraint,
        "eps": eps,
        "step_size": eps / 8
        if step_size is None
        else number_for_each("step_size", step_size, finite=True),
        "mixed_precision": reduced(precision, device),
        "custom_loss": partial(_cross_entropy, members=members),
    }
    dtype = amp_dtype(device) if pgd["mixed_precision"] else None
    network: nn.Module | None = None
    counts: Tensor = torch.zeros(0)  # correct ones of each attack, and all: (attacks + 1, labels)
    n = 0
    probe = partial(_probe, model, group, pgd if attack_steps else None)
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
                if network is None:
                    kinds = scores.shape[1] if group is None else int(group.max()) + 1
                    counts = torch.zeros(2 + len(attack_steps), kinds, dtype=torch.int64)
                    network = attacked_network(model, images, labels, members, dtype)
                how = {**pgd, "make_adv": True, "network": network}
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
    return Accuracies(
        Accuracy(name, sum(hits), n, tuple(zip(hits, seen, strict=True)))
        for name, hits in zip(names, counts[:-1].tolist(), strict=True)
    )


def _probe(
    model: AttackerModel,
    group: Tensor | None,
    pgd: Mapping[str, Any] | None,
    images: Tensor,
    labels: Any,
) -> None:
    """What is done with images, for one step, whatever their labels are."""
    with torch.no_grad():
        scores = model(images)[0]
    _check_logits(scores, len(images))
    _check_group(group, scores.shape[1])
    if pgd is not None:
        members = None if group is None else _members(group).to(scores.device)
        seen = _coarse(scores, members).argmax(dim=1)
        model(images, seen, make_adv=True, iterations=1, **pgd)


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


def check_attack(eps: Any, attack_steps: Any) -> tuple[float, tuple[int, ...]]:
    """The radius and the numbers of steps; `InputError` for an attack that cannot be made."""
    radius = real("eps", eps, "a radius, 0 or more")
    wanted = "numbers of steps, 1 or more"
    if isinstance(attack_steps, str) or not isinstance(attack_steps, Iterable):
        raise InputError(f"attack_steps={shown(attack_steps)}: give {wanted}, in a list")
    return radius, tuple(whole("attack_steps", one, 1, wanted=wanted) for one in attack_steps)


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
    network: nn.Module, inp: Tensor, target: Tensor, *, members: Tensor | None
) -> tuple[Tensor, Tensor]:
    scores = _coarse(network(inp).float(), members)
    return nn.functional.cross_entropy(scores, target, reduction="none"), scores
