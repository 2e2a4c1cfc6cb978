"""R(x): the representation layer of any network, and its straight-through ReLU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..errors import InputError
from ..upstream.modes import evaluating

__all__ = [
    "RepresentationModel",
    "StraightThroughReLU",
    "at_layer",
    "representation",
]

Layer = str | Callable[[nn.Module], nn.Module]


class StraightThroughReLU(torch.autograd.Function):
    """max(x, 0) forward, the identity backward: a coordinate that is off still has a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        return grad_outputs[0]


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
        The layer to read, by name (``"layer3"``) or as a function of the network; by default the
        penultimate layer, the paper's R (section 2).
    batch_size
        Images in one forward pass.

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
        latents = [model(batch, with_latent=True)[0][1] for batch in images.split(batch_size)]
    return torch.cat(latents).float().to(images.device)


def at_layer(model: AttackerModel, layer: Layer | None) -> AttackerModel:
    """The same network (shared weights) with its representation read at `layer`."""
    if layer is None:
        return model
    inner = model.model.module if isinstance(model.model, RepresentationModel) else model.model
    normalizer = model.normalizer
    statistics = SimpleNamespace(mean=normalizer.new_mean[:, 0, 0], std=normalizer.new_std[:, 0, 0])
    moved = AttackerModel(RepresentationModel(inner, layer=layer), statistics)
    return moved.train(model.training)


class RepresentationModel(nn.Module):
    """Any network, with the forward call of upstream's own architectures.

    The representation is the input of the linear layer that runs last, flattened, or the output
    of `layer`. Nothing is added to the network: hooks live for one call, and the state dict is
    the network's own under the prefix ``module.``.

    Parameters
    ----------
    module
        A classifier of images (N, C, H, W).
    layer
        A submodule by name or as a function of the network; default the penultimate layer.

    Raises
    ------
    InputError
        If `layer` names no submodule, or there is no linear layer to take the input of.
    """

    def __init__(self, module: nn.Module, *, layer: Layer | None = None) -> None:
        super().__init__()
        self.module = module
        self.layer = layer
        self._site: _Site | None = None
        if layer is not None:
            _submodule(module, layer)

    def forward(
        self, x: Tensor, with_latent: bool = False, fake_relu: bool = False, no_relu: bool = False
    ) -> Any:
        if not (with_latent or fake_relu):
            return self.module(x)
        site = self._find(x)
        with site.reading(self.module) as latent:
            with _ReplacedReLU(site.relu if fake_relu else None, _straight_through):
                logits = self.module(x)
        if not with_latent:
            return logits
        if no_relu and site.relu is not None:
            with site.reading(self.module) as latent, _ReplacedReLU(site.relu, _left_out):
                self.module(x)
        return logits, latent[-1].flatten(1)

    def _find(self, x: Tensor) -> _Site:
        """Where the representation is, found by one traced forward pass and remembered."""
        if self._site is None:
            with evaluating(self.module), torch.no_grad():
                self._site = _trace(self.module, x[:1].detach(), self.layer)
        return self._site


class _Site:
    """The representation's place: a module and side, which of its calls, and the ReLU before."""

    def __init__(self, name: str, side: str, call: int, relu: int | None) -> None:
        self.name, self.side, self.call, self.relu = name, side, call, relu

    @contextmanager
    def reading(self, network: nn.Module) -> Iterator[list[Tensor]]:
        """The list that holds the representation after one forward pass inside the block."""
        seen: list[Tensor] = []
        calls = 0

        def keep(value: Any) -> None:
            nonlocal calls
            if calls == self.call:
                seen.append(value.clone() if self.side == "output" else value)
            calls += 1

        module = network.get_submodule(self.name)
        if self.side == "input":
            handle = module.register_forward_pre_hook(lambda _module, args: keep(args[0]))
        else:
            handle = module.register_forward_hook(lambda _module, _args, output: keep(output))
        try:
            yield seen
        finally:
            handle.remove()


_RELUS = {
    F.relu,
    F.relu_,
    F.relu6,
    F.hardtanh,  # what torch.nn.ReLU6 calls
    torch.relu,
    torch.relu_,
    Tensor.relu,
    Tensor.relu_,
}

# A ReLU shapes the representation only if nothing with weights or attention stands between.
_WEIGHTED = {
    F.conv1d,
    F.conv2d,
    F.conv3d,
    F.linear,
    F.batch_norm,
    F.layer_norm,
    F.group_norm,
    F.gelu,
    F.silu,
    F.hardswish,
    F.scaled_dot_product_attention,
    F.multi_head_attention_forward,
    torch.matmul,
    torch.bmm,
}


class _PassGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return grad_outputs[0], None


def _straight_through(x: Tensor, relu: Callable[[Tensor], Tensor]) -> Tensor:
    return _PassGradient.apply(x, relu(x.detach().clone()))


def _left_out(x: Tensor, relu: Callable[[Tensor], Tensor]) -> Tensor:
    return x


class _ReplacedReLU(TorchFunctionMode):
    """Inside the block, the ReLU call number `index` is computed by `function(x, relu)`."""

    def __init__(
        self, index: int | None, function: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]
    ) -> None:
        super().__init__()
        self.index = index
        self.function = function
        self.calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _RELUS:
            self.calls += 1
            if self.calls - 1 == self.index:
                x = args[0] if args else kwargs.pop("input")
                return self.function(x, lambda z: func(z, *args[1:], **kwargs))
        return func(*args, **kwargs)

    def __enter__(self) -> Any:
        return super().__enter__() if self.index is not None else self

    def __exit__(self, *error: Any) -> None:
        if self.index is not None:
            super().__exit__(*error)


class _Tracer(TorchFunctionMode):
    """Counts ReLU calls; `last_relu` is None while weights stand after the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.last_relu: int | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _RELUS:
            self.last_relu, self.calls = self.calls, self.calls + 1
        elif func in _WEIGHTED:
            self.last_relu = None
        return func(*args, **(kwargs or {}))


def _trace(network: nn.Module, x: Tensor, layer: Layer | None) -> _Site:
    tracer = _Tracer()
    site: _Site | None = None
    counts: dict[str, int] = {}

    def visit(name: str, side: str) -> None:
        nonlocal site
        call = counts.get(name, 0)
        counts[name] = call + 1
        site = _Site(name, side, call, tracer.last_relu)

    if layer is None:
        linears = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Linear)]
        if not linears:
            raise InputError(
                f"{type(network).__name__} has no linear layer, so no penultimate layer: "
                "name the representation with layer="
            )
        handles = [
            module.register_forward_pre_hook(lambda _m, _a, name=name: visit(name, "input"))
            for name, module in linears
        ]
    else:
        name, module = _submodule(network, layer)
        handles = [module.register_forward_hook(lambda _m, _a, _o: visit(name, "output"))]
    try:
        with tracer:
            network(x)
    finally:
        for handle in handles:
            handle.remove()
    if site is None:
        raise InputError(
            f"layer {layer!r} of {type(network).__name__} is not used in its forward pass: "
            "name another layer"
        )
    return site


def _submodule(network: nn.Module, layer: Layer) -> tuple[str, nn.Module]:
    names = dict(network.named_modules())
    if callable(layer):
        wanted = layer(network)
        for name, module in names.items():
            if module is wanted:
                return name, module
        raise InputError("layer= returned no submodule of the network: return one of its modules")
    if layer not in names or not layer:
        from difflib import get_close_matches

        close = get_close_matches(layer, list(names), n=3) or [n for n in names if n][:8]
        raise InputError(
            f"layer {layer!r} is not in {type(network).__name__}: try {', '.join(close)}"
        )
    return layer, names[layer]
