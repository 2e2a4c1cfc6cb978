"""What PGD runs on: a copy of the network, the precision that it computes in, and its starts."""

from __future__ import annotations

from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor, nn

from ..models.fast import fast_network
from ..runtime.errors import warn
from ..runtime.gradients import leaf
from ..runtime.memory import in_batches
from ..runtime.modules import device_of
from ..runtime.precision import amp_dtype, full_precision, reduced
from ..runtime.randomness import NUDGE, normal, seed_generators
from ..upstream.attack.state import of_rows
from .protocol import Objective, complete

__all__ = ["Network"]

# However many PGD takes: gradients on the network itself need more memory than on the fast copy.
GRADIENTS_AT_ONCE = 32


class Network:
    """One objective on one network.

    Attributes
    ----------
    copy
        What PGD runs on: the network itself, and its fast copy once `prepare` has been called.
    reduced
        Whether it computes in reduced precision.
    """

    TOLERANCE = 0.01

    def __init__(
        self,
        model: AttackerModel,
        objective: Objective,
        target: Any,
        *,
        precision: str,
        seed: int,
    ) -> None:
        self.model, self.objective, self.target, self.seed = (
            model,
            complete(objective),
            target,
            seed,
        )
        self.device = device_of(model)
        self.reduced = reduced(precision, self.device)
        self.may_fall_back = precision == "auto"
        self.copy: nn.Module = model.model

    def reseed(self) -> None:
        """Every batch of images meets the same random numbers."""
        seed_generators(self.seed, self.device)

    def prepare(self, begin: Tensor) -> None:
        """Make the copy; `begin` is where PGD will begin, (N, C, H, W)."""
        self.begin = begin
        images = leaf(begin[:2].to(self.device))
        self.copy = fast_network(
            self.model.model,
            self.model.normalizer(images).detach(),
            lambda network: self._objective(network, images, slice(2)),
            dtype=amp_dtype(self.device) if self.reduced else None,
        )

    def fall_back(self) -> None:
        """Compute in float32 from now on."""
        self.reduced = False
        self.prepare(self.begin)

    def trusted(self, found: Tensor, rows: Tensor, failed: Tensor) -> bool:
        """Whether the result stands; if not, the network computes in float32 from now on.

        Under ``precision="auto"``, the objective in reduced precision may be off by 1% of what it
        is in float32, here or at the start (near 0, where it ends, all digits are lost at once),
        over the batch (a unit that is off has no digits to lose); and it must be finite.
        """
        if not (self.reduced and self.may_fall_back):
            return True
        if failed.any():
            self._fall_back_saying(f"is not finite at {int(failed.sum())} of {len(rows)} images")
            return False
        exact, first = (self._values(x, rows) for x in (found, self.begin[rows]))
        self.reseed()
        with torch.autocast(self.device.type, amp_dtype(self.device)), torch.no_grad():
            rough = self._objective(self.copy, found.to(self.device), rows)[0].float().cpu()
        off = float((rough - exact).abs().mean())
        size = float(torch.maximum(exact.abs(), first.abs()).mean())
        if off <= self.TOLERANCE * size:
            return True
        self._fall_back_saying(f"about {size:.3g}, is off by {off:.3g}")
        return False

    def _fall_back_saying(self, reason: str) -> None:
        warn(f"in reduced precision the objective {reason}: computing in float32 instead")
        self.fall_back()

    def values(self, images: Tensor, batch_size: int) -> Tensor:
        """The objective of each image in float32, (N,), on the CPU."""
        return in_batches(len(images), batch_size, lambda rows: self._values(images[rows], rows))

    def _values(self, images: Tensor, rows: slice | Tensor) -> Tensor:
        self.reseed()
        with torch.no_grad(), full_precision(self.device):
            value, _ = self._objective(self.model.model, images.to(self.device), rows)
        return value.float().cpu()

    def _objective(
        self, network: nn.Module, images: Tensor, rows: slice | Tensor
    ) -> tuple[Tensor, Tensor]:
        target = _on(of_rows(self.target, rows), self.device)
        return self.objective(network, self.model.normalizer(images), target, images)

    def off_zero_gradients(
        self, start: Tensor, numbers: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Starts at which the objective has a gradient: N(0, 1) / 100 is added where it has none.

        A flat image can leave every unit before the representation switched off; PGD would then
        return the start as if it were the optimum. Of gradient and noise only what is within the
        mask counts, (1, 1, H, W) or (N, 1, H, W).
        """
        within = torch.ones(1, 1, 1, 1) if mask is None else mask
        within = within.to(self.device).expand(len(start), -1, -1, -1)

        def flat(rows: slice) -> Tensor:
            self.reseed()
            with torch.enable_grad():
                leaf = start[rows].to(self.device).clone().requires_grad_(True)
                values, _ = self._objective(self.model.model, leaf, rows)
                (gradient,) = torch.autograd.grad(values.sum(), [leaf])
            values = values.detach()
            # What is matched exactly has no gradient, and needs none.
            open_ = values != 0 if self.objective.targeted else torch.ones_like(values).bool()
            gradient = gradient * within[rows]
            return (gradient.flatten(1) == 0).all(dim=1) & open_ & values.isfinite()

        nudged = in_batches(len(start), GRADIENTS_AT_ONCE, flat).to(start.device)
        if nudged.any():
            warn(
                f"the objective has no gradient at {int(nudged.sum())} of {len(start)} starts: "
                "noise N(0, 1) / 100 was added to those"
            )
            drawn = numbers[nudged.to(numbers.device)].tolist()
            push = normal(drawn, start.shape[1:], seed=self.seed, stream=NUDGE) / 100
            start = start.clone()
            push = push.to(start.device) * within.to(start.device)[nudged]
            start[nudged] = (start[nudged] + push).clamp(0, 1)
        return start, nudged


def _on(value: Any, device: torch.device) -> Any:
    if isinstance(value, tuple):
        return tuple(_on(one, device) for one in value)
    return value.to(device) if isinstance(value, Tensor) else value
