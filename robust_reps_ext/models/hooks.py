"""Where a network's representation is, and the hooks that read it and replace its ReLU.

Hooks live for one call: nothing is left in the network, not even after an error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

from ..runtime.errors import InputError
from .layer_names import POOLS, Layer, split_pool, submodule

__all__ = [
    "RELUS",
    "WEIGHTED",
    "ReplacedReLU",
    "RowsError",
    "Site",
    "first_tensor",
    "left_out",
    "nobody_sees",
    "straight_through",
    "trace",
]

logger = logging.getLogger("robust_reps_ext")


class Site:
    """The representation's place: a module and side, which of its calls, and the ReLU before.

    Parameters
    ----------
    name
        Of the module.
    side
        ``"input"`` or ``"output"``: which of the module's values it is.
    call
        Which call of the module in one forward pass, from 0.
    relu
        Which call of a ReLU in one forward pass shapes it, None where none does.
    pool
        One of `POOLS`, or empty: how a value of more than two dimensions becomes rows.
    axis
        Along which the value has an entry for each image: 1 where tokens come first, (T, N, C).
    """

    def __init__(self, name: str, side: str, call: int, relu: int | None, pool: str = "") -> None:
        self.name, self.side, self.call, self.relu, self.pool = name, side, call, relu, pool
        self.axis = 0

    def __str__(self) -> str:
        of = self.name or "the network"
        pooled = f", pooled by {self.pool}" if self.pool else ""
        after = "after a ReLU" if self.relu is not None else "not after a ReLU"
        return f"{self.side} of {of}{pooled}, {after}"

    @contextmanager
    def reading(
        self,
        network: nn.Module,
        *,
        stop: bool = False,
        told: Callable[[Tensor], None] | None = None,
    ) -> Iterator[list[Tensor]]:
        """The list that holds the representation after one forward pass inside the block.

        With `stop`, the pass ends there, and the block with it. `told` gets the value itself, when
        it is there.
        """
        seen: list[Tensor] = []
        calls = 0

        def keep(value: Any) -> None:
            nonlocal calls
            if calls == self.call:
                value = first_tensor(value)
                if value is None:
                    raise InputError(
                        f"{self.side} of layer {self.name!r} holds no tensor: name one inside it"
                    )
                if told is not None:
                    told(value)
                # What follows may write into an output in place.
                seen.append(value.clone() if self.side == "output" else value)
                if stop:
                    raise _Reached
            calls += 1

        module = network.get_submodule(self.name)
        if self.side == "input":
            handle = module.register_forward_pre_hook(lambda _module, args: keep(args[0]))
        else:
            handle = module.register_forward_hook(lambda _module, _args, output: keep(output))
        try:
            yield seen
        except _Reached:
            pass
        finally:
            handle.remove()

    def rows(self, value: Tensor) -> Tensor:
        """The representation of each image as a row, (N, k)."""
        value = value.movedim(self.axis, 0)
        if self.pool and value.dim() > 2:
            value = POOLS[self.pool](value)
        return value.flatten(1)


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor of what a layer gives: attention, GRUs and others give tuples and dicts."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        return next((one for one in map(first_tensor, value) if one is not None), None)
    return None


class _Reached(Exception):
    """The representation is known."""


RELUS = {
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
WEIGHTED = {
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


def straight_through(x: Tensor, relu: Callable[[Tensor], Tensor]) -> Tensor:
    """The ReLU's value, and the gradient of the identity."""
    return _PassGradient.apply(x, relu(x.detach().clone()))


def left_out(x: Tensor, relu: Callable[[Tensor], Tensor]) -> Tensor:
    """What the ReLU would have been given."""
    return x


class ReplacedReLU(TorchFunctionMode):
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
        if func in RELUS:
            self.calls += 1
            if self.calls - 1 == self.index:
                x = args[0] if args else kwargs.pop("input")
                return self.function(x, lambda z: func(z, *args[1:], **kwargs))
        return func(*args, **kwargs)

    def passes(self, relus: int) -> bool:
        """Count calls that come next, unless the one to replace is among them."""
        ours = self.index is not None and self.calls <= self.index < self.calls + relus
        if not ours:
            self.calls += relus
        return not ours

    def __enter__(self) -> Any:
        return super().__enter__() if self.index is not None else self

    def __exit__(self, *error: Any) -> None:
        if self.index is not None:
            super().__exit__(*error)


def nobody_sees(*, relus: int) -> bool:
    """Whether that many calls of ReLUs may be made otherwise; a `ReplacedReLU` then counts them.

    Not if it is to replace one of them, nor where another mode looks at all of torch's functions.
    """
    modes = _get_current_function_mode_stack()
    return not modes or (
        len(modes) == 1 and isinstance(modes[0], ReplacedReLU) and modes[0].passes(relus)
    )


class _Tracer(TorchFunctionMode):
    """Counts ReLU calls; `last_relu` is None while weights stand after the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.last_relu: int | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in RELUS:
            self.last_relu, self.calls = self.calls, self.calls + 1
        elif func in WEIGHTED:
            self.last_relu = None
        return func(*args, **(kwargs or {}))


def trace(network: nn.Module, x: Tensor, layer: Layer | None) -> Site:
    """Find the representation of `network` by one forward pass with the images `x`.

    It is the input of the linear layer that runs last, or the output of `layer`. Where that linear
    layer is not what the network ends with, or there is none, as in encoders without a head, it is
    the network's own output: a row for each image, or what becomes one, as tokens do.

    Raises
    ------
    InputError
        If there is no such layer, it is not used, or its value has no entry for each image.
    """
    wanted, pool = split_pool(layer)
    tracer = _Tracer()
    site: Site | None = None
    counts: dict[str, int] = {}
    ended: list[Tensor] = []

    def visit(name: str, side: str) -> None:
        nonlocal site
        call = counts.get(name, 0)
        counts[name] = call + 1
        site = Site(name, side, call, tracer.last_relu, pool)

    if wanted is None:
        linears = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Linear)]
        if not linears and next(network.parameters(), None) is None:
            return _checked(network, x, Site("", "output", 0, None, pool))
        if not linears:
            return _without_linear(network, x, pool)
        handles = [
            module.register_forward_pre_hook(lambda _m, _a, name=name: visit(name, "input"))
            for name, module in linears
        ]
        handles += [
            module.register_forward_hook(lambda _m, _a, output: ended.append(output))
            for _, module in linears
        ]
    else:
        name, module = submodule(network, wanted)
        handles = [module.register_forward_hook(lambda _m, _a, _o: visit(name, "output"))]
    try:
        with tracer:
            output = first_tensor(network(x))
    finally:
        for handle in handles:
            handle.remove()
    if site is None and wanted is None:  # their weights are used, as attention does, not they
        return _without_linear(network, x, pool)
    if site is None:
        raise InputError(
            f"layer {layer!r} of {type(network).__name__} is not used in its forward pass: "
            "name another layer"
        )
    if wanted is None and output is not None and _goes_on(ended[-1], output, len(x)):
        site = Site("", "output", 0, tracer.last_relu, pool)
    return _checked(network, x, site)


def _goes_on(last: Tensor, output: Tensor, n: int) -> bool:
    """Whether the network, which returns `output`, has no head in its `last` linear layer's place.

    A head may be followed by a softmax, and one for each token returns what the network does;
    beside tokens, a row for each image comes from a pooler, whose input is of more use than they.
    """
    if output.dim() < 2 or len(output) != n:
        return False
    if output.dim() == 2:
        return last.shape != output.shape
    return last.dim() > 2 and not torch.equal(last, output)


def _without_linear(network: nn.Module, x: Tensor, pool: str) -> Site:
    """What a network without a linear layer returns: nothing tells whether it is logits."""
    what, tracer = type(network).__name__, _Tracer()
    with tracer:
        output = first_tensor(network(x))
    if output is None or output.dim() != 2:
        raise InputError(
            f"{what} has no linear layer, so no penultimate layer: name the representation with "
            "layer="
        )
    logger.warning(
        "%s has no linear layer: what it returns, %d numbers for an image, is taken as the "
        "representation; layer= names another",
        *(what, output.shape[1]),
    )
    return _checked(network, x, Site("", "output", 0, tracer.last_relu, pool))


def _checked(network: nn.Module, x: Tensor, site: Site) -> Site:
    """The site with the axis along which its value has an entry for each image.

    One image tells nothing where tokens come first, (T, 1, C): two and three are tried.
    """
    with site.reading(network) as seen:
        network(x[:1])
    shape = tuple(seen[-1].shape)
    if len(shape) > 1 and shape[0] == 1 and len(shape) != 3:
        return site
    shapes = []
    for n in (2, 3):
        with site.reading(network) as seen:
            network(x[:1].repeat(n, *(1,) * (x.dim() - 1)))
        shapes.append(tuple(seen[-1].shape))
    axes = [i for i, (two, three) in enumerate(zip(*shapes, strict=True)) if (two, three) == (2, 3)]
    if not axes or len(shape) < 2:
        raise RowsError(
            f"{site.side} of {site.name or 'the network'} in {type(network).__name__} has shape "
            f"{shapes[0]} for 2 images: it has no entry for each; name another layer with layer="
        )
    site.axis = axes[0]
    return site


class RowsError(InputError):
    """The value of a layer has no entry for each image, at this size of images at least."""
