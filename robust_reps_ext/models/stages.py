"""Several layers read in one forward pass, and the layers at which a network's stages end."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

import torch
from robustness.attacker import AttackerModel
from torch import Tensor, nn

from ..runtime.errors import InputError
from ..runtime.modules import device_of, evaluating
from ..runtime.randomness import own_generators
from .hooks import first_tensor
from .layers import RepresentationModel, unwrapped

__all__ = ["PENULTIMATE", "LayersReader", "stages"]

PENULTIMATE = "penultimate"
"""The paper's R(x), beside the names of layers."""

# Of a network whose maps keep their size, as transformers' do.
PARTS = 4


class LayersReader:
    """The values of several layers, of one forward pass.

    Parameters
    ----------
    model
        As `load_model` returns it, in evaluation mode.
    layers
        Names, as the `layer` of `representation`, or `PENULTIMATE`.
    images
        (N, C, H, W) in [0, 1], of which one is looked at.

    Raises
    ------
    InputError
        If there are no layers, one is given twice, or there is no such layer.
    """

    def __init__(self, model: AttackerModel, layers: Sequence[str], images: Tensor) -> None:
        if isinstance(layers, str) or not layers:
            raise InputError(f'layers={layers!r}: give a list of names, or "all"')
        twice = [name for name, count in Counter(layers).items() if count > 1]
        if twice:
            raise InputError(f"layers name {twice[0]!r} more than once: once is enough")
        self.model, self.layers = model, list(layers)
        self.network = unwrapped(model.model)
        one = model.normalizer(images[:1].to(device_of(model)))
        self.sites = [
            RepresentationModel(self.network, layer=None if name == PENULTIMATE else name).site(one)
            for name in layers
        ]

    def __call__(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the network gives, and the value of each layer as rows, (N, k) of float32."""
        with torch.no_grad(), ExitStack() as stack:
            seen = [stack.enter_context(site.reading(self.network)) for site in self.sites]
            output = self.model(images.to(device_of(self.model)))[0]
        rows = [
            site.rows(values[-1]).float() for site, values in zip(self.sites, seen, strict=True)
        ]
        return output, rows


def stages(model: AttackerModel, images: Tensor) -> list[str]:
    """The layers at which the stages of a network end, in the order in which they run.

    All that follows is computed from such a layer's value alone: no shortcut leads around it. Of
    the layers whose maps have one size, the last such is the end of a stage. Where maps keep their
    size, as in transformers, the ends of the four quarters of the repeated blocks are taken.

    Parameters
    ----------
    model
        As `load_model` returns it.
    images
        (N, C, H, W) in [0, 1], of which one is looked at.

    Returns
    -------
    list of str
        Names for `layer`.

    Raises
    ------
    InputError
        If there is no such layer.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.models.stages import stages
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> stages(model, torch.rand(1, 3, 64, 64))
    ['relu', 'layer1', 'layer2', 'layer3', 'layer4']
    """
    network = unwrapped(model.model)
    x = model.normalizer(images[:1].to(device_of(model)))
    with evaluating(network), own_generators(x.device):
        ran = _ran(network, x)
        found = [
            next((name for name in reversed(names) if _all_flows_through(network, x, name)), "")
            for names in _runs(ran)
        ]
        ends = [name for name in found if name]
        if len(ends) < 2:
            ends = _quarters(network, ran) or ends
    if not ends:
        raise InputError(
            f"{type(network).__name__} has no layers at which stages end: name some with layers="
        )
    return ends


def _ran(network: nn.Module, x: Tensor) -> list[tuple[str, torch.Size]]:
    """Name and shape of the value of each layer that runs once, in the order in which they end."""
    ran: list[tuple[str, torch.Size]] = []

    def keep(name: str, output: object) -> None:
        value = first_tensor(output)
        ran.append((name, torch.Size() if value is None else value.shape))

    handles = [
        module.register_forward_hook(lambda _m, _a, output, name=name: keep(name, output))
        for name, module in network.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            network(x)
    finally:
        for handle in handles:
            handle.remove()
    times = Counter(name for name, _ in ran)
    return [(name, shape) for name, shape in ran if times[name] == 1]


def _runs(ran: Sequence[tuple[str, torch.Size]]) -> list[list[str]]:
    """The names of layers whose maps have one size, of more than one pixel; maps only shrink."""
    sizes: dict[tuple[int, ...], list[str]] = {}
    for name, shape in ran:
        size = tuple(shape[2:])
        shrinks = math.prod(size) < min(map(math.prod, sizes), default=math.inf)
        if len(shape) == 4 and math.prod(size) > 1 and (size in sizes or shrinks):
            sizes.setdefault(size, []).append(name)
    return list(sizes.values())


def _all_flows_through(network: nn.Module, x: Tensor, name: str) -> bool:
    """Whether what the network gives depends on its input through the value of this layer alone."""
    leaf = x.detach().clone().requires_grad_()

    def cut(_module: nn.Module, _args: object, output: object) -> object:
        return output.detach() if isinstance(output, Tensor) else None

    handle = network.get_submodule(name).register_forward_hook(cut)
    try:
        with torch.enable_grad():
            value = first_tensor(network(leaf))
    finally:
        handle.remove()
    if value is None or not value.requires_grad:
        return True
    (gradient,) = torch.autograd.grad(value.sum(), [leaf], allow_unused=True)
    return gradient is None


def _quarters(network: nn.Module, ran: Sequence[tuple[str, torch.Size]]) -> list[str]:
    """The ends of the quarters of the longest list of like blocks."""
    there = {name for name, _ in ran}
    lists = [
        [f"{name}.{child}" if name else child for child, _ in module.named_children()]
        for name, module in network.named_modules()
        if isinstance(module, (nn.ModuleList, nn.Sequential))
        and len({type(child) for child in module.children()}) == 1
    ]
    blocks = max(([one for one in names if one in there] for names in lists), key=len, default=[])
    count = min(PARTS, len(blocks))
    return [blocks[len(blocks) * (i + 1) // count - 1] for i in range(count)]
