"""Which layer is meant, and how its maps or tokens become a row for each image."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ..runtime.errors import InputError, near

__all__ = ["POOLS", "Layer", "split_pool", "submodule"]

Layer = str | nn.Module | Callable[[nn.Module], nn.Module]


def _mean(value: Tensor) -> Tensor:
    return value.mean(dim=1) if value.dim() == 3 else value.flatten(2).mean(dim=2)


POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": _mean,
    "mean-last": lambda value: value.flatten(1, -2).mean(dim=1),
}
"""``layer:mean`` averages (N, C, H, W) over space and (N, T, C) over tokens; ``layer:mean-last``
averages (N, H, W, C), the maps of Swin transformers, over space."""


def split_pool(layer: Layer | None) -> tuple[Layer | None, str]:
    """``"layer3:mean"`` as the layer and how it is pooled, which is empty where it is flattened.

    Raises
    ------
    InputError
        If there is no such way of pooling.
    """
    if not isinstance(layer, str):
        return layer, ""
    name, colon, pool = layer.partition(":")
    if colon and pool not in POOLS:
        raise InputError(f"layer {layer!r}: pool by {' or '.join(POOLS)}, or leave out ':{pool}'")
    return name, pool


def submodule(network: nn.Module, layer: Layer) -> tuple[str, nn.Module]:
    """The module that `layer` means, and its name; `InputError` where there is none."""
    names = dict(network.named_modules())
    if isinstance(layer, (list, tuple, set)):
        raise InputError(f"layer={layer!r} names {len(layer)} layers: give one, and call for each")
    if not isinstance(layer, str) and (not callable(layer) or isinstance(layer, type)):
        what = "the class" if isinstance(layer, type) else "a"
        kind = layer if isinstance(layer, type) else type(layer)
        raise InputError(
            f"layer is {what} {kind.__name__}: give a name, a module of the network, or a "
            "function of the network that returns one"
        )
    if isinstance(layer, nn.Module):
        for name, module in names.items():
            if module is layer:
                return name, module
        raise InputError(
            f"layer= is a {type(layer).__name__} that is no module of this "
            f"{type(network).__name__}: give its name"
        )
    if callable(layer):
        wanted = layer(network)
        for name, module in names.items():
            if module is wanted:
                return name, module
        raise InputError("layer= returned no submodule of the network: return one of its modules")
    if layer not in names or not layer:
        close = near(layer, names, [name for name in names if name][:8])
        raise InputError(f"layer {layer!r} is not in {type(network).__name__}: try {close}")
    return layer, names[layer]
