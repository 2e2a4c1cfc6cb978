"""The network that a state dict belongs to, with its weights in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...runtime.errors import InputError
from . import (
    PROBE,
    Architecture,
    load_weights,
    misfit,
    named,
    number_of_classes,
    recognized,
    restored,
)

__all__ = ["check_classes", "classes_of", "fitted", "kind"]


def fitted(
    state: Mapping[str, Tensor],
    arch: str | nn.Module | None,
    data: Any,
    *,
    hint: Any = None,
) -> tuple[str, int | None, nn.Module]:
    """The classifier of `arch` with the weights `state`, its name and number of classes.

    Parameters
    ----------
    state
        Weights by plain name.
    arch
        A name, a network, or None to recognise it.
    data
        An upstream `DataSet`, or None.
    hint
        What the file itself says of its architecture: it decides where several fit.

    Raises
    ------
    InputError
        If the weights fit no architecture, or not this one, or not the data set.
    """
    if isinstance(arch, nn.Module):
        _check_fit({n: tuple(t.shape) for n, t in arch.state_dict().items()}, state, kind(arch))
        check_classes(classes_of(arch), data, state)
        return kind(arch), classes_of(arch), load_weights(arch, state)
    if arch is None:
        found, classes = recognized(state, hint)
    else:
        found, classes = _chosen(arch, state, data)
    check_classes(classes, data, state)
    return found.name, classes, restored(lambda: found.build(classes), state)


def _chosen(arch: str, state: Mapping[str, Tensor], data: Any) -> tuple[Architecture, int]:
    """The architecture of that name that the weights fit, the data set's own first."""
    candidates = []
    if data is not None:
        own = _of_data_set(arch, data)
        candidates = [own] if own is not None else []
    candidates = candidates or named(arch)
    probe = PROBE if data is None else data.num_classes
    shapes = [candidate.shapes(probe) for candidate in candidates]
    for candidate, sizes in zip(candidates, shapes, strict=True):
        classes = number_of_classes(sizes, state, probe)
        if classes is not None:
            return candidate, classes
    closest = max(shapes, key=lambda sizes: len(set(sizes) & set(state)))
    _check_fit(closest, state, arch, ignoring=probe)
    raise InputError(f"its weights count classes in more than one way, unlike {arch}")


def _of_data_set(arch: str, data: Any) -> Architecture | None:
    """What the data set itself calls `arch`, None where it does not know that name."""

    def build(classes: int) -> nn.Module:
        network: nn.Module = data.get_model(arch, False)
        return network

    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            build(data.num_classes)
    except (KeyError, TypeError, NotImplementedError, InputError):
        return None
    return Architecture(arch, "data set", build)


def _check_fit(
    shapes: Mapping[str, tuple[int, ...]],
    state: Mapping[str, Tensor],
    arch: str,
    ignoring: int | None = None,
) -> None:
    relevant = {
        name: tuple(state[name].shape)
        if name in state and ignoring in shape and len(shape) == state[name].dim()
        else shape
        for name, shape in shapes.items()
    }
    reason = misfit(relevant, state)
    if reason:
        raise InputError(f"it does not fit {arch}: {reason}; choose another arch= or dataset=")


def check_classes(classes: int | None, data: Any, state: Mapping[str, Tensor]) -> None:
    """Raise `InputError` where the data set has another number of classes than the network."""
    if data is None or classes is None or data.num_classes == classes:
        return
    heads = [n for n, t in state.items() if t.dim() and t.shape[0] == classes]
    heads = [n for n in heads if n.endswith("weight")] or heads or ["the network"]
    others = "; images of other classes need no data set: --images (load_images)"
    raise InputError(
        f"{heads[-1]} has {classes} classes, dataset {data.ds_name!r} has {data.num_classes}: "
        "pass the data set that the network was trained on"
        + (others if data.ds_name == "folder" else "")
    )


def kind(network: nn.Module) -> str:
    """What a network is called where it has no name."""
    return type(network).__name__


def classes_of(network: nn.Module) -> int | None:
    """The width of the layer with weights that is declared last."""
    widths = [
        getattr(module, "out_features", None) or getattr(module, "out_channels", None)
        for module in network.modules()
        if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd))
    ]
    return int(widths[-1]) if widths and widths[-1] else None
