"""What `evaluate` attacks images with: PGD, Auto-PGD, and the worst case of several runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor, nn

from ..models.fast import fast_network
from ..runtime.errors import InputError
from ..runtime.gradients import differentiable, leaf
from ..runtime.modules import device_of
from ..runtime.numbers import ascending, real, shown, whole
from ..runtime.precision import amp_dtype, full_precision, reduced
from ..runtime.randomness import ATTACK, normal
from ..synthesis.settings import CONSTRAINTS
from ..upstream.attack.steps import norms

__all__ = [
    "ATTACKS",
    "TARGETS",
    "Attack",
    "attacked_network",
    "check_attack",
    "coarse",
    "targeted_dlr",
]

ATTACKS = ("pgd", "apgd", "standard")
TARGETS = 9
PAPER_STEPS, APGD_STEPS = (20, 100), (100,)


@dataclass(frozen=True)
class Attack:
    """An attack on labelled images, checked.

    Attributes
    ----------
    name
        ``"pgd"``, the paper's; ``"apgd"``, Auto-PGD on the cross-entropy; ``"standard"``, that and
        then Auto-PGD on the targeted DLR loss, towards each of the nine classes whose scores are
        highest (Croce and Hein 2020).
    steps
        Numbers of steps, each an attack of its own.
    radii
        Ascending.
    constraint, step_size, precision, seed
        See `evaluate`.
    members
        Which classes each coarse label has, see `evaluate`; None for the classes themselves.
    """

    name: str
    steps: tuple[int, ...]
    radii: tuple[float, ...]
    constraint: str
    step_size: Any = None
    precision: str = "float32"
    seed: int = 0
    members: Tensor | None = None

    def within(self, eps: float, constraint: str) -> Attack:
        """The same within one ball."""
        return replace(self, radii=(eps,), constraint=constraint)

    @property
    def lines(self) -> list[tuple[str, float]]:
        """The accuracies that it gives, by name and radius."""
        kinds = {"pgd": ("PGD",), "apgd": ("APGD",), "standard": ("APGD", "standard")}[self.name]
        return [
            (f"{kind}-{steps}", radius)
            for radius in self.radii
            for steps in self.steps
            for kind in kinds
        ]

    def correct(
        self,
        model: AttackerModel,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        scores: Tensor,
        numbers: Sequence[int],
    ) -> Tensor:
        """Of which images the label is still seen, (lines, N), bool, on the CPU.

        Under Auto-PGD an image that one run has broken is not attacked again, at its radius or
        any that is larger.

        Parameters
        ----------
        model, network
            Attacked in eval mode; `network` is the copy of it that the loop runs on.
        images, labels, scores
            (N, C, H, W), (N,), and what the model gives for the images, (N, classes).
        numbers
            Those of the images, which with the seed decide what is drawn for them.
        """
        device = device_of(model)
        labels = labels.to(device)
        if self.name == "pgd":
            return self._pgd(model, network, images, labels)
        seen = coarse(scores, self.members)
        wanted = seen.scatter(1, labels[:, None], -torch.inf).argsort(dim=1, descending=True)
        targets = min(TARGETS, seen.shape[1] - 1)
        found, standing = [], (seen.argmax(dim=1) == labels).cpu()
        stands = dict.fromkeys(self.steps, standing)
        for radius in self.radii:
            for steps in self.steps:
                for run in range(1 + (targets if self.name == "standard" else 0)):
                    rows = stands[steps].nonzero().squeeze(1)
                    if len(rows):
                        aim = labels if not run else torch.stack([labels, wanted[:, run - 1]], 1)
                        drawn = normal(
                            [numbers[row] for row in rows.tolist()], images.shape[1:],
                            seed=self.seed, stream=ATTACK + run,
                        )  # fmt: skip
                        some = images[rows.to(images.device)].to(device)
                        at = rows.to(device)
                        x = self._apgd(model, network, some, aim[at], drawn, radius, steps)
                        broken = rows[(self._seen(model, x) != labels[at]).cpu()]
                        stands[steps] = stands[steps].index_fill(0, broken, False)
                    if not run:
                        found.append(stands[steps])
                if self.name == "standard":
                    found.append(stands[steps])
        return torch.stack(found)

    def probe(self, model: AttackerModel, images: Tensor, scores: Tensor) -> None:
        """One step, whatever the labels are."""
        labels = coarse(scores, self.members).argmax(dim=1)
        how = self._how(model) | {"custom_loss": partial(_cross_entropy, members=self.members)}
        model.attacker(images, labels, eps=0.0, step_size=0.0, iterations=1, **how)

    def _how(self, model: AttackerModel) -> dict[str, Any]:
        mixed = reduced(self.precision, device_of(model))
        return {"constraint": self.constraint, "mixed_precision": mixed}

    def _seen(self, model: AttackerModel, images: Tensor) -> Tensor:
        """The label that the model itself sees, in full float32."""
        with torch.no_grad(), full_precision(device_of(model)):
            return coarse(model(images)[0], self.members).argmax(dim=1)

    def _pgd(
        self, model: AttackerModel, network: nn.Module, images: Tensor, labels: Tensor
    ) -> Tensor:
        how = self._how(model) | {"custom_loss": partial(_cross_entropy, members=self.members)}
        found = []
        for radius in self.radii:
            length = radius / 8 if self.step_size is None else self.step_size
            for steps in self.steps:
                x = model.attacker(
                    images, labels, network=network, eps=radius, step_size=length,
                    iterations=steps, **how,
                )  # fmt: skip
                found.append((self._seen(model, x) == labels).cpu())
        return torch.stack(found) if found else torch.zeros(0, len(images), dtype=torch.bool)

    def _apgd(
        self,
        model: AttackerModel,
        network: nn.Module,
        images: Tensor,
        aim: Tensor,
        drawn: Tensor,
        radius: float,
        steps: int,
    ) -> Tensor:
        """The worst image found of each; a run ends where the label is no longer seen."""
        device = device_of(model)
        how = self._how(model)
        noise = drawn.to(device)
        noise = noise / norms(noise) if self.constraint == "2" else torch.erf(noise / 2**0.5)
        rounding = _rounding(device, reduced_precision=how["mixed_precision"])
        found: Tensor = model.attacker(
            (images + radius * noise).clamp(0, 1),
            aim,
            orig_input=images,
            network=network,
            eps=radius,
            step_size=2 * radius,
            iterations=steps,
            schedule="apgd",
            drop_finished=True,
            stop_when=lambda _, scores: _lost(scores, rounding),
            custom_loss=partial(_against_label, members=self.members),
            **how,
        )
        return found


def _lost(scores: Tensor, rounding: float) -> Tensor:
    """Whether another label is ahead of that in column 0, by more than rounding can do, (N,)."""
    own, other = scores[:, 0], scores[:, 1:].amax(dim=1)
    return other - own > 4 * rounding * torch.maximum(own.abs(), other.abs())


def _rounding(device: torch.device, *, reduced_precision: bool) -> float:
    """The relative rounding of what the copy computes in."""
    if reduced_precision:
        return torch.finfo(amp_dtype(device)).eps
    # TF32 has as many digits as float16.
    return torch.finfo(torch.float16 if device.type == "cuda" else torch.float32).eps


def _against_label(
    network: nn.Module, inp: Tensor, target: Tensor, *, members: Tensor | None
) -> tuple[Tensor, Tensor]:
    """What Auto-PGD raises, and scores whose column 0 is the label's, with -inf in its own place.

    `target` is the label, (N,): cross-entropy; or the label and a class, (N, 2): targeted DLR.
    """
    labels = target if target.dim() == 1 else target[:, 0]
    scores = coarse(network(inp).float(), members)
    own = scores.gather(1, labels[:, None])
    led = torch.cat([own, scores.scatter(1, labels[:, None], -torch.inf)], dim=1)
    if target.dim() == 1:
        return led.logsumexp(dim=1) - led[:, 0], led
    return targeted_dlr(scores, labels, target[:, 1]), led


def targeted_dlr(scores: Tensor, labels: Tensor, wanted: Tensor) -> Tensor:
    """(z_t - z_y) / (z_(1) - (z_(3) + z_(4)) / 2), the targeted difference of logits ratio.

    z_(i) is the i-th largest score of an image. Neither a constant added to the scores nor a
    positive factor changes it. With fewer than four scores there is no z_(4), and it is the
    difference alone, whose factor no step depends on.

    Parameters
    ----------
    scores
        (N, classes).
    labels, wanted
        The label y and the class t of each image, (N,) of int64.

    Returns
    -------
    torch.Tensor
        (N,), above 0 where the class wanted is ahead of the label.

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.experiments.attacks import targeted_dlr
    >>> scores = torch.tensor([[5.0, 3.0, 1.0, -1.0]])
    >>> targeted_dlr(scores, torch.tensor([0]), torch.tensor([1]))
    tensor([-0.4000])
    """
    difference = (scores.gather(1, wanted[:, None]) - scores.gather(1, labels[:, None])).squeeze(1)
    if scores.shape[1] < 4:
        return difference
    z = scores.topk(4, dim=1).values
    # All four can be equal, and then nothing is ahead.
    return difference / (z[:, 0] - (z[:, 2] + z[:, 3]) / 2).clamp_min(1e-12)


def attacked_network(
    model: AttackerModel,
    images: Tensor,
    labels: Tensor,
    members: Tensor | None,
    dtype: torch.dtype | None,
) -> nn.Module:
    """The copy of the network that the attack runs on."""
    device = device_of(model)
    inp = leaf(model.normalizer(images[:1].to(device)))
    target = differentiable(labels[:1].to(device))
    loss = partial(_cross_entropy, inp=inp, target=target, members=members)
    return fast_network(model.model, inp, loss, dtype=dtype)


def coarse(logits: Tensor, members: Tensor | None) -> Tensor:
    """Log-probabilities of the coarse labels up to a constant: the log-sum-exp over classes."""
    if members is None:
        return logits
    return logits[:, None].masked_fill(~members, -torch.inf).logsumexp(dim=2)


def _cross_entropy(
    network: nn.Module, inp: Tensor, target: Tensor, *, members: Tensor | None
) -> tuple[Tensor, Tensor]:
    scores = coarse(network(inp).float(), members)
    return nn.functional.cross_entropy(scores, target, reduction="none"), scores


def check_attack(
    eps: Any,
    attack_steps: Any = None,
    *,
    attack: Any = "pgd",
    radii: Any = None,
    constraint: Any = None,
    step_size: Any = None,
    **more: Any,
) -> Attack:
    """The attack that a caller's values are; `InputError` for one that cannot be made.

    `eps` is the radius where there are no `radii`, and None where it is not known yet: then the
    attack has none, see `Attack.within`. `attack_steps` are by default those of the attack.
    """
    if not isinstance(attack, str) or attack not in ATTACKS:
        raise InputError(f"attack={shown(attack)} is not known: choose one of {', '.join(ATTACKS)}")
    lengths: tuple[float, ...] = ()
    if radii is None:
        lengths = () if eps is None else (real("eps", eps, "a radius, 0 or more"),)
    else:
        lengths = ascending("radii", radii)
    wanted = "numbers of steps, 1 or more"
    if attack_steps is None:
        attack_steps = PAPER_STEPS if attack == "pgd" else APGD_STEPS
    if isinstance(attack_steps, str) or not isinstance(attack_steps, Iterable):
        raise InputError(f"attack_steps={shown(attack_steps)}: give {wanted}, in a list")
    steps = tuple(whole("attack_steps", one, 1, wanted=wanted) for one in attack_steps)
    if step_size is not None:
        step_size = real("step_size", step_size, "a length, 0 or more")
    if attack != "pgd" and step_size is not None:
        raise InputError(f"step_size={step_size}: {attack!r} finds its own: leave it out")
    constraint = "2" if constraint is None else constraint
    if not isinstance(constraint, (str, int)):
        raise InputError(f"constraint={shown(constraint)}: give '2', or 'inf' with eps")
    constraint = str(constraint)
    if attack != "pgd" and constraint not in ("2", "inf"):
        raise InputError(f"constraint={constraint!r}: {attack!r} is for '2' and 'inf'")
    if constraint not in CONSTRAINTS:
        raise InputError(
            f"constraint={constraint!r} is not known: choose one of {', '.join(CONSTRAINTS)}"
        )
    return Attack(attack, steps, lengths, constraint, step_size, **more)
