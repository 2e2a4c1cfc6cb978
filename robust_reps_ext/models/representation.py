"""R(x): the representation layer of any network, and its straight-through ReLU."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor, nn

from ..runtime.memory import in_batches
from ..runtime.modules import evaluating
from ..runtime.randomness import shuffled
from .hooks import (
    Layer,
    ReplacedReLU,
    Site,
    left_out,
    split_pool,
    straight_through,
    submodule,
    trace,
)

__all__ = [
    "Layer",
    "RepresentationModel",
    "at_layer",
    "representation",
    "shuffled_coordinates",
    "unwrapped",
]

logger = logging.getLogger("robust_reps_ext")


def representation(
    model: AttackerModel,
    images: Tensor,
    *,
    layer: Layer | None = None,
    batch_size: int = 64,
) -> Tensor:
    """R(x) of each image.

    Parameters
    ----------
    model
        As `load_model` returns it.
    images
        (N, C, H, W), values in [0, 1].
    layer
        The layer to read, by name or as a function of the network; by default the penultimate
        layer, the paper's R (section 2). Maps are flattened; ``"layer3:mean"`` averages
        (N, C, H, W) over space and (N, T, C) over tokens, ``"features.3:mean-last"`` the
        (N, H, W, C) of Swin transformers over space.
    batch_size
        Images in one forward pass; fewer, with a warning, where memory runs out.

    Returns
    -------
    Tensor
        (N, k), float32, on the device of `images`.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> rr.representation(model, torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 512])
    """
    model = at_layer(model, layer)
    with evaluating(model), torch.no_grad():
        latents = in_batches(
            len(images), batch_size, lambda rows: model(images[rows], with_latent=True)[0][1]
        )
    return latents.float().to(images.device)


def shuffled_coordinates(
    model: AttackerModel, images: Tensor, *, seed: int, layer: Layer | None = None
) -> list[int]:
    """All coordinates of R(x), in a random order that `seed` fixes.

    Parameters
    ----------
    model, layer
        As for `representation`.
    images
        (N, C, H, W), of which one is looked at.
    seed
        Fixes the order.
    """
    return shuffled(representation(model, images[:1], layer=layer).shape[1], seed=seed)


def at_layer(model: AttackerModel, layer: Layer | None) -> AttackerModel:
    """The same network (shared weights) with its representation read at `layer`."""
    if layer is None:
        return model
    normalizer = model.normalizer
    statistics = SimpleNamespace(mean=normalizer.new_mean[:, 0, 0], std=normalizer.new_std[:, 0, 0])
    moved = AttackerModel(RepresentationModel(unwrapped(model.model), layer=layer), statistics)
    return moved.train(model.training)


def unwrapped(network: Any) -> Any:
    """The network itself, if it stands in a `RepresentationModel`."""
    return network.module if isinstance(network, RepresentationModel) else network


class RepresentationModel(nn.Module):
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

    Raises
    ------
    InputError
        If `layer` names no submodule, or there is no linear layer to take the input of.
    """

    def __init__(self, module: nn.Module, *, layer: Layer | None = None) -> None:
        super().__init__()
        self.module = module
        self.layer = layer
        self._site: Site | None = None
        self._said_no_relu = False
        name, _ = split_pool(layer)
        if name is not None:
            submodule(module, name)

    def forward(
        self, x: Tensor, with_latent: bool = False, fake_relu: bool = False, no_relu: bool = False
    ) -> Any:
        if not (with_latent or fake_relu):
            return self.module(x)
        site = self.site(x)
        if (fake_relu or no_relu) and site.relu is None:
            self._say_no_relu(site)
        with site.reading(self.module) as latent:
            with ReplacedReLU(site.relu if fake_relu else None, straight_through):
                logits = self.module(x)
        if not with_latent:
            return logits
        if no_relu and site.relu is not None:
            with site.reading(self.module) as latent, ReplacedReLU(site.relu, left_out):
                self.module(x)
        return logits, site.rows(latent[-1])

    def site(self, x: Tensor) -> Site:
        """Where the representation is, found by one traced forward pass and remembered."""
        if self._site is None:
            with evaluating(self.module), torch.no_grad():
                self._site = trace(self.module, x[:1].detach(), self.layer)
        return self._site

    def _say_no_relu(self, site: Site) -> None:
        if not self._said_no_relu:
            self._said_no_relu = True
            logger.info(
                "%s: the representation (%s) has no ReLU to pass: fake_relu and no_relu change "
                "nothing",
                type(self.module).__name__,
                site,
            )
