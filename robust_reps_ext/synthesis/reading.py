"""Objectives on the representation at a layer."""

from __future__ import annotations

import torch
from robustness.attacker import AttackerModel
from torch import Tensor

from ..models.layer_names import Layer
from ..models.layers import at_layer
from ..models.one_pass import Reading
from .sums import Part

__all__ = ["OfRepresentation"]


class OfRepresentation(Part):
    """What reads R(x), at the layer that the model is read at or another one."""

    layer: Layer | None = None

    def __init__(self, *, fake_relu: bool = True, layer: Layer | None = None) -> None:
        self.fake_relu = fake_relu
        if layer is not None:  # else snapshots of version 0.1 would be of another objective
            self.layer = layer

    @property
    def reads(self) -> tuple[Reading]:
        """What is read of the network."""
        return (Reading(self.layer, self.fake_relu),)

    def latent(self, model: AttackerModel, images: Tensor) -> Tensor:
        """R of images in [0, 1], (N, k), without gradient."""
        with torch.no_grad():
            (_, latent), _ = at_layer(model, self.layer)(images, with_latent=True)
        return latent.float()
