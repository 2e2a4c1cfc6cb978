"""Any network with the call of upstream's own, and its representation read at a layer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor, nn

from ..runtime.modules import OwnModule, evaluating, modes_of, restore_modes
from ..runtime.randomness import own_generators
from .hooks import (
    ReplacedReLU,
    Site,
    left_out,
    straight_through,
    trace,
)
from .layer_names import Layer, split_pool, submodule

__all__ = [
    "Layer",
    "RepresentationModel",
    "at_layer",
    "unwrapped",
]

logger = logging.getLogger("robust_reps_ext")


def at_layer(model: AttackerModel, layer: Layer | None) -> AttackerModel:
    """The same network (shared weights) with its representation read at `layer`."""
    if layer is None:
        return model
    inner = unwrapped(model.model)
    normalizer = model.normalizer
    statistics = SimpleNamespace(mean=normalizer.new_mean[:, 0, 0], std=normalizer.new_std[:, 0, 0])
    output = getattr(model.model, "output", None) if inner is not model.model else None
    modes = modes_of(inner)
    moved = AttackerModel(RepresentationModel(inner, layer=layer, output=output), statistics)
    moved.train(model.training)
    restore_modes(modes)
    return moved


def unwrapped(network: Any) -> Any:
    """The network itself, if it stands in a `RepresentationModel`."""
    return network.module if isinstance(network, RepresentationModel) else network


class RepresentationModel(OwnModule):
    """Any network, with the forward call of upstream's own architectures.

    The representation is the input of the linear layer that runs last, or the output of `layer`,
    flattened or pooled. Nothing is added to the network: hooks live for one call, and the state
    dict is the network's own under the prefix ``module.``.

    Parameters
    ----------
    module
        A classifier of images (N, C, H, W).
    layer
        A submodule by name (``"layer3"``; ``"layer3:mean"`` averages over positions) or as a
        function of the network; default the penultimate layer.
    output
        From what the network gives to logits (N, classes); default: itself, or its ``logits``.

    Raises
    ------
    InputError
        If `layer` names no submodule, or there is no linear layer to take the input of.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        layer: Layer | None = None,
        output: Callable[[Any], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.module = module
        if isinstance(layer, nn.Module):  # held as a part, it would stand in the state dict twice
            layer = submodule(module, layer)[0] or layer
        self.layer = layer
        self._site: Site | None = None
        self._said_no_relu = False
        self.output = output
        name, _ = split_pool(self.layer)
        if name is not None:
            submodule(module, name)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "module":
                raise
            return getattr(self.module, name)

    def get_submodule(self, target: str) -> nn.Module:
        """By the network's own names; with ``module.`` before them, too."""
        try:
            return super().get_submodule(target)
        except AttributeError:
            return self.module.get_submodule(target)

    def forward(
        self, x: Tensor, with_latent: bool = False, fake_relu: bool = False, no_relu: bool = False
    ) -> Any:
        x = self._cast(x)
        if not (with_latent or fake_relu):
            return self._logits(self.module(x))
        site = self.site(x)
        if (fake_relu or no_relu) and site.relu is None and self.layer is None:
            self._say_no_relu(site)
        with site.reading(self.module) as latent:
            with ReplacedReLU(site.relu if fake_relu else None, straight_through):
                logits = self._logits(self.module(x))
        if not with_latent:
            return logits
        if no_relu and site.relu is not None:
            with site.reading(self.module) as latent, ReplacedReLU(site.relu, left_out):
                self.module(x)
        return logits, _float(site.rows(latent[-1]))

    def _cast(self, x: Tensor) -> Tensor:
        """To the type of the weights; autocast does that by itself."""
        weights = (one.dtype for one in self.module.parameters() if one.is_floating_point())
        dtype = next(weights, x.dtype)
        return x if torch.is_autocast_enabled(x.device.type) else x.to(dtype)

    def _logits(self, found: Any) -> Any:
        if self.output is not None:
            found = self.output(found)
        elif not isinstance(found, Tensor):
            found = getattr(found, "logits", found)
        return _float(found) if isinstance(found, Tensor) else found

    def site(self, x: Tensor) -> Site:
        """Where the representation is, found by one traced forward pass and remembered."""
        if self._site is None:
            with evaluating(self.module), torch.no_grad(), own_generators(x.device):
                self._site = trace(self.module, self._cast(x[:1].detach()), self.layer)
        return self._site

    def forget(self) -> None:
        """Look for the representation anew at the next call: images are of another size."""
        self._site = None

    def _say_no_relu(self, site: Site) -> None:
        if not self._said_no_relu:
            self._said_no_relu = True
            logger.info(
                "%s: the representation (%s) has no ReLU to pass: fake_relu and no_relu change "
                "nothing",
                type(self.module).__name__,
                site,
            )


def _float(found: Tensor) -> Tensor:
    """Half, bfloat16 and double become float32; so does what autocast leaves, further on."""
    return found if torch.is_autocast_enabled(found.device.type) else found.float()
