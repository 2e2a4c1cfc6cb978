"""Where layers of a network are, found once for each size of images."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..runtime.modules import evaluating
from ..runtime.randomness import own_generators
from .hooks import Site, trace
from .layer_names import Layer

__all__ = ["same_sites", "site_of"]

_SITES: WeakKeyDictionary[nn.Module, dict[Any, Site]] = WeakKeyDictionary()


def site_of(network: nn.Module, x: Tensor, layer: Layer | None) -> Site:
    """Where `layer` is, found by one traced forward pass of normalised images and remembered."""
    known = _SITES.setdefault(network, {})
    key = (layer, tuple(x.shape[1:]))
    if key not in known:
        with evaluating(network), torch.no_grad(), own_generators(x.device):
            known[key] = trace(network, x[:1].detach(), layer)
    return known[key]


def same_sites(copy: nn.Module, network: nn.Module) -> None:
    """A copy with the same names, whose own operations need not be such as can be traced."""
    _SITES[copy] = _SITES.setdefault(network, {})
