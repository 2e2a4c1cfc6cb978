"""What the attacks of a loop run on: a copy of the network that follows its weights."""

from __future__ import annotations

import logging
from typing import Any
from weakref import WeakSet

from robustness.attacker import Attacker
from torch import Tensor, nn

from ...runtime.gradients import differentiable, leaf
from ...runtime.modules import device_of
from ...runtime.precision import amp_dtype
from .. import registry
from ..arguments import given, mixed

__all__ = ["AttackCopy"]

logger = logging.getLogger("robust_reps_ext")

# Networks without a copy: said once, and not tried again.
_WITHOUT: WeakSet[nn.Module] = WeakSet()


class AttackCopy:
    """The same function of the images at less cost, see `robust_reps_ext.models.fast`.

    Attacks see the model in evaluation mode, in training too: batch normalisation is then part
    of the layer before it, to rounding.

    Parameters
    ----------
    args
        ``fast=0`` switches it off; mixed precision holds its weights in that type.
    model
        The `AttackerModel`, bare or in a wrapper of torch's for several devices.
    follow
        Whether weights change from batch to batch: evaluation changes none.
    """

    def __init__(self, args: Any, model: nn.Module, *, follow: bool) -> None:
        self.follow = follow
        self.bare: Any = getattr(model, "module", model)
        self.dtype = amp_dtype(device_of(model)) if mixed(args, device_of(model)) else None
        self._copy: Any = None
        self._wanted = bool(given(args, "fast", 1)) and _takes_a_network(self.bare)
        if self._wanted and isinstance(model, nn.DataParallel) and len(model.device_ids) > 1:
            # Replicas are made anew for each batch, each on a device of its own.
            self._give_up("attacks on several devices in one process run on the network itself")

    def options(self, inp: Tensor, target: Any, custom_loss: Any) -> dict[str, Any]:
        """``network=`` for the attack on a batch, with the weights that the model has now."""
        if self._copy is not None:
            if self.follow:
                self._copy.refresh()
        elif self._wanted and self.bare.model not in _WITHOUT:
            self._make(inp, target, custom_loss)
        return {} if self._copy is None else {"network": self._copy.chosen}

    def _make(self, inp: Tensor, target: Any, custom_loss: Any) -> None:
        some, aim = leaf(self.bare.normalizer(inp[:2])), differentiable(target[:2])

        def loss(network: nn.Module) -> tuple[Tensor, Any]:
            if custom_loss is not None:
                found: tuple[Tensor, Any] = custom_loss(network, some, aim)
                return found
            output = network(some)
            return nn.functional.cross_entropy(output, aim, reduction="none"), output

        make = registry.load(registry.FAST_COPY)
        self._copy = make(self.bare.model, some, loss, dtype=self.dtype)
        if self._copy is None:
            _WITHOUT.add(self.bare.model)

    def _give_up(self, why: str) -> None:
        self._wanted = False
        if self.bare.model not in _WITHOUT:
            _WITHOUT.add(self.bare.model)
            logger.warning("no fast copy of %s: %s", type(self.bare.model).__name__, why)


def _takes_a_network(model: Any) -> bool:
    """Whether the model attacks by our attacker: one of a user's may know nothing of copies."""
    attacker = getattr(model, "attacker", None)
    return isinstance(attacker, Attacker) and type(attacker).forward is Attacker.forward
