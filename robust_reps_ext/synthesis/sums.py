"""Sums of objectives, each with a weight: ``a + 0.5 * b - c``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

from torch import Tensor, nn

from ..models.one_pass import LOGITS, OnePass, Reading
from ..runtime.errors import InputError
from ..runtime.numbers import shown
from .protocol import complete, filled

__all__ = ["Part", "Sum"]


class Part:
    """What every objective of this package can do: be added, weighted and turned around."""

    def __add__(self, other: Any) -> Sum:
        return Sum([*_terms(self), *_terms(other)])

    def __radd__(self, other: Any) -> Any:
        # sum() begins with 0.
        return self if _is_number(other) and other == 0 else Sum([*_terms(other), *_terms(self)])

    def __sub__(self, other: Any) -> Sum:
        return Sum([*_terms(self), *_weighted(-1.0, other)])

    def __rsub__(self, other: Any) -> Sum:
        return Sum([*_terms(other), *_weighted(-1.0, self)])

    def __mul__(self, weight: Any) -> Sum:
        return Sum(_weighted(weight, self))

    __rmul__ = __mul__

    def __truediv__(self, weight: Any) -> Sum:
        if not _is_number(weight) or not weight:
            raise InputError(f"objective / {shown(weight)}: give a number other than 0")
        return Sum(_weighted(1 / weight, self))

    def __neg__(self) -> Sum:
        return Sum(_weighted(-1.0, self))


class Sum(Part):
    """Several objectives at a time, each with its own goal and weight.

    Written as ``a + 0.5 * b - c``, which raises what is maximised and lowers what is minimised: a
    weight is that of a part's own goal, and a negative one turns the goal around (``-a`` minimises
    what ``a`` maximises, with the same value). A sum has the goal of its first part: it is
    minimised if that is. Its value is the weighted sum of its parts' values, those with the other
    goal subtracted; of ``CoordinateMaximization() + 2 * TotalVariation()`` it is R(x)_i - 2 TV(x),
    maximised.

    The target is a tuple with one for each part, in their order, None for parts that take none; or
    one tensor, for all that take one. All parts read the network from one forward pass, at
    whatever layers.

    Parameters
    ----------
    terms
        (weight, objective): objectives of this package, of one's own, or plain functions
        ``(network, input, target) -> (N,)``, which are maximised.

    Attributes
    ----------
    name
        What it was written as, ``"representation_matching + 0.5 * total_variation"``.
    targeted
        Whether it is minimised.

    Raises
    ------
    InputError
        If a weight is no finite number, or a part cannot be called; when called, if there are not
        as many targets as parts.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.synthesis.settings import Settings
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> start, targets = torch.rand(2, 3, 64, 64), (torch.tensor([2, 7]), None)
    >>> smooth = rr.ClassLogit() + 2 * rr.TotalVariation()
    >>> smooth.name, smooth.targeted
    ('class_logit + 2 * total_variation', False)
    >>> rr.synthesize(model, smooth, targets, start, Settings(2.0, 0.5, 3)).images.shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(self, terms: Sequence[tuple[float, Any]]) -> None:
        self.terms = tuple(terms)

    @property
    def name(self) -> str:
        written = ""
        for weight, objective in self.terms:
            size = "" if abs(weight) == 1 else f"{abs(weight):g} * "
            sign = ("-" if weight < 0 else "") if not written else (" - " if weight < 0 else " + ")
            written += f"{sign}{size}{complete(objective).name}"
        return written

    @property
    def targeted(self) -> bool:
        weight, first = self.terms[0]
        return complete(first).targeted != (weight < 0)

    @property
    def on_images(self) -> bool:
        """Whether a part looks at the images themselves, in [0, 1]."""
        return any(complete(objective).on_images for _, objective in self.terms)

    @property
    def takes_target(self) -> bool:
        return any(complete(objective).takes_target for _, objective in self.terms)

    def __call__(
        self, model: nn.Module, inp: Tensor, target: Any, images: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The values (N,), and what the first part that reads the network has seen."""
        parts = [complete(objective) for _, objective in self.terms]
        targets = self._targets(target)
        once = OnePass(model, inp, self._readings())
        targeted = self.targeted
        total: Any = 0.0
        seen = None
        for (weight, _), part, its in zip(self.terms, parts, targets, strict=True):
            values, read = part(once, inp, its, images)
            same = part.targeted == targeted
            total = total + (weight if same else -weight) * values
            if seen is None and part.reads != ():
                seen = read
        return total, total[:, None] if seen is None else seen

    def training_target(self, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Any, ...]:
        """That of each part; the labels for a part that says none."""
        return tuple(
            complete(objective).training_target(model, images, labels)
            for _, objective in self.terms
        )

    def filled(self, target: Any, start: Tensor) -> tuple[Any, ...]:
        """The targets, one for each part, as far as they follow from the start (N, C, H, W)."""
        pairs = zip(self.terms, self._targets(target), strict=True)
        return tuple(filled(objective, its, start) for (_, objective), its in pairs)

    def _targets(self, target: Any) -> tuple[Any, ...]:
        if not isinstance(target, tuple):
            each = (complete(objective).takes_target for _, objective in self.terms)
            return tuple(target if takes else None for takes in each)
        if len(target) != len(self.terms):
            raise InputError(
                f"{len(target)} targets for the {len(self.terms)} parts of {self.name}: give one "
                "for each, None for those that take none, or one tensor for all"
            )
        return target

    def _readings(self) -> list[Reading]:
        found: list[Reading] = []
        for _, objective in self.terms:
            reads = complete(objective).reads
            found += (LOGITS,) if reads is None else reads
        return found


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _terms(objective: Any) -> tuple[tuple[float, Any], ...]:
    if isinstance(objective, Sum):
        return objective.terms
    complete(objective)
    return ((1.0, objective),)


def _weighted(weight: Any, objective: Any) -> list[tuple[float, Any]]:
    if not _is_number(weight) or not math.isfinite(weight):
        raise InputError(f"weight {shown(weight)} of an objective: give a finite number")
    return [(float(weight) * own, one) for own, one in _terms(objective)]
