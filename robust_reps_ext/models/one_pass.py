"""What several objectives read of one network, computed in one forward pass."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .fast import UpToRepresentation
from .hooks import ReplacedReLU, Site, straight_through
from .layer_names import Layer
from .layers import RepresentationModel
from .sites import site_of
from .twins import Twins

__all__ = ["LOGITS", "OnePass", "Reading", "latent_at"]


@dataclass(frozen=True)
class Reading:
    """What an objective reads: the representation at a layer.

    Attributes
    ----------
    layer
        As in `robust_reps_ext.models.layers`; None for the model's own representation.
    fake_relu
        Whether the gradient passes straight through its ReLU.
    logits
        True for the logits instead.
    """

    layer: Layer | None = None
    fake_relu: bool = False
    logits: bool = False


LOGITS = Reading(logits=True)


class OnePass:
    """A network for one input: it answers calls with that input from one forward pass.

    Gradients are those that each reading has by itself: where one wants a ReLU's gradient passed
    straight through and another does not, a twin of the value goes from that ReLU to the layer
    (`twins`), with operations that cost next to nothing. Where no twin arrives, as through code
    that torch does not see, that reading has a pass of its own.

    Parameters
    ----------
    model
        The bare classifier, with the call of upstream's architectures.
    inp
        Its normalised input, (N, C, H, W).
    wanted
        What will be read.
    """

    def __init__(self, model: nn.Module, inp: Tensor, wanted: Iterable[Reading]) -> None:
        self.model, self.inp = model, inp
        self.wanted = set(wanted)
        self.found: dict[Reading, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name == "model":
            raise AttributeError(name)
        return getattr(self.model, name)

    def __call__(
        self, x: Tensor, with_latent: bool = False, fake_relu: bool = False, no_relu: bool = False
    ) -> Any:
        if x is not self.inp or no_relu or (fake_relu and not with_latent):
            return self.model(x, with_latent=with_latent, fake_relu=fake_relu, no_relu=no_relu)
        if not with_latent:
            return self.read(LOGITS)
        return self.read(LOGITS), self.read(Reading(fake_relu=fake_relu))

    def read(self, reading: Reading) -> Any:
        """The logits, or the representation of each image as a row, (N, k)."""
        if reading not in self.found:
            self.wanted.add(reading)
            missing = self.wanted - self.found.keys()
            if len(missing) == 1:
                self.found[reading] = self._alone(reading)
            else:
                self._together(missing)
        return self.found[reading]

    def _alone(self, reading: Reading) -> Any:
        if reading.logits:
            return self.model(self.inp)
        if reading.layer is None:
            _, rep = self.model(self.inp, with_latent=True, fake_relu=reading.fake_relu)
            return rep
        network, x = self._network()
        site = self._site(reading.layer)
        with site.reading(network, stop=True) as seen:
            with ReplacedReLU(site.relu if reading.fake_relu else None, straight_through):
                network(x)
        return _float(site.rows(seen[-1]))

    def _together(self, missing: set[Reading]) -> None:
        network, x = self._network()
        sites = {one: self._site(one.layer) for one in missing if not one.logits}
        fakes = {one: site.relu for one, site in sites.items() if one.fake_relu}
        twins = Twins({relu for relu in fakes.values() if relu is not None})
        seen: dict[Reading, list[Tensor]] = {}
        twinned: dict[Reading, Tensor | None] = {}

        def tell(one: Reading, relu: int) -> Any:
            def told(value: Tensor) -> None:
                twinned[one] = twins.of(value, relu)

            return told

        with ExitStack() as stack:
            for one, site in sites.items():
                relu = fakes.get(one)
                told = None if relu is None else tell(one, relu)
                seen[one] = stack.enter_context(site.reading(network, told=told))
            stack.enter_context(twins)
            output = network(x)
        self.found[LOGITS] = self._logits(output)
        for one, site in sites.items():
            if fakes.get(one) is None:
                self.found[one] = _float(site.rows(seen[one][-1]))
                continue
            twin = twinned[one]
            self.found[one] = self._alone(one) if twin is None else _float(site.rows(twin))

    def _representation_model(self) -> RepresentationModel | None:
        model = self.model.model if isinstance(self.model, UpToRepresentation) else self.model
        return model if isinstance(model, RepresentationModel) else None

    def _network(self) -> tuple[nn.Module, Tensor]:
        """What is under all wrappers, and its input."""
        wrapped = self._representation_model()
        if wrapped is None:
            return self.model, self.inp
        return wrapped.module, wrapped._cast(self.inp)

    def _logits(self, output: Any) -> Any:
        wrapped = self._representation_model()
        return output if wrapped is None else wrapped._logits(output)

    def _site(self, layer: Layer | None) -> Site:
        wrapped = self._representation_model()
        if layer is None and wrapped is not None:
            return wrapped.site(self.inp)
        return site_of(*self._network(), layer)


def latent_at(model: Any, inp: Tensor, reading: Reading) -> Tensor:
    """The representation that `reading` names, (N, k), of a network or of a `OnePass` of it."""
    if isinstance(model, OnePass) and inp is model.inp:
        found: Tensor = model.read(reading)
        return found
    one: Tensor = OnePass(model, inp, ()).read(reading)
    return one


def _float(found: Tensor) -> Tensor:
    """As `RepresentationModel` gives it: float32, but for what autocast leaves."""
    return found if torch.is_autocast_enabled(found.device.type) else found.float()
