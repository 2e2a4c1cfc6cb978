"""What a network is attacked with: that which it was trained against, unless told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..models.cards import card_of
from ..results.accuracies import NORMS, ThreatModel
from ..runtime.errors import InputError
from ..runtime.numbers import shown
from ..synthesis.settings import paper_eps

__all__ = ["attack_of"]

L2 = "2"


def attack_of(
    models: Mapping[str, Any],
    images: Tensor,
    *,
    eps: float | None = None,
    step_size: float | None = None,
    constraint: str | None = None,
) -> ThreatModel:
    """The attack that networks are compared under.

    Parameters
    ----------
    models
        Name -> as `load_model` returns it. Those whose card says what they were trained against
        decide; they must agree.
    images
        (..., H, W): their size decides where no card does.
    eps
        The radius; default: that which the networks were trained against, else the paper's 3 at
        224 pixels, brought to the size of the images.
    step_size
        Default: eps / 8, the paper's 0.375 at eps 3.
    constraint
        ``"2"``, ``"inf"`` or another of upstream's. Default: with `eps` ``"2"``; without, what the
        networks were trained against, else ``"2"``.

    Raises
    ------
    InputError
        If the networks were trained against different balls and no `eps` is given, or nothing
        tells the radius of the constraint.

    Examples
    --------
    >>> import torch, robust_reps_ext as rr
    >>> from robust_reps_ext.experiments.threat import attack_of
    >>> robust = rr.load_model("critters-robust")
    >>> attack_of({"robust": robust}, torch.empty(3, 64, 64))
    ThreatModel(constraint='2', eps=4.0, step_size=0.5, why='what robust was trained against')
    """
    if isinstance(constraint, int):
        constraint = str(constraint)
    if eps is not None:
        return _attack(L2 if constraint is None else constraint, eps, step_size, "given")
    if constraint is not None and not isinstance(constraint, str):
        raise InputError(f"constraint={shown(constraint)}: give eps with it, or one of 2 and inf")
    against: dict[tuple[str, float], str] = {}
    for name, model in models.items():
        known = card_of(model).get("attack")
        if known and constraint in (None, known["constraint"]):
            against.setdefault((known["constraint"], known["eps"]), name)
    if len(against) > 1:
        told = ", ".join(
            f"{name} against {NORMS[norm]} eps {radius:.4g}"
            for (norm, radius), name in against.items()
        )
        raise InputError(f"the networks were trained apart, {told}: give eps (--eps)")
    for (norm, radius), name in against.items():
        return _attack(norm, radius, step_size, f"what {name} was trained against")
    if constraint not in (None, L2):
        raise InputError(f"constraint={constraint!r} has no radius by default: give eps (--eps)")
    return _attack(L2, paper_eps(images), step_size, "the paper's 3 at 224 pixels, scaled")


def _attack(constraint: str, eps: float, step_size: float | None, why: str) -> ThreatModel:
    length = eps / 8 if step_size is None else step_size
    return ThreatModel(constraint, float(eps), float(length), why)
