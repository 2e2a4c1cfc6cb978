"""Batch normalisation that only scales, folded into the weights of the layer before it.

Which layer stands before it is seen in one forward pass, not read from the code: what runs is
what counts, whatever the network's forward looks like, and what does not fit stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from ...upstream.distributed.batch_norm import SyncedBatchNorm2d

__all__ = ["bare", "foldable", "folded_weights", "is_weighted", "rest_of"]

_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def foldable(network: nn.Module, x: Tensor) -> dict[str, str]:
    """Layers that batch normalisation can be folded into, and where it is: name to name.

    Parameters
    ----------
    network
        In evaluation mode.
    x
        Some of its inputs, for one forward pass.

    Returns
    -------
    dict
        Convolutional or linear layer to batch normalisation, where the one's only call gives what
        the other's only call takes, nothing else uses it, and no hook looks at it.
    """
    watch = _Watch(network)
    try:
        with watch, torch.no_grad():
            result = network(x)
    finally:
        for handle in watch.handles:
            handle.remove()
    seen_outside = {id(leaf) for leaf in tree_leaves(result)}
    return {
        layer: norm
        for norm, output in watch.taken.items()
        if (layer := watch.layer_of.get(id(output))) is not None
        and watch.calls[layer] == watch.calls[norm] == 1
        and watch.uses[id(output)] == 1
        and id(output) not in seen_outside
        and not (isinstance(network.get_submodule(layer), nn.Linear) and output.dim() != 2)
    }


def folded_weights(pairs: Sequence[tuple[Any, Any]]) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each layer with the normalisation after it, rounded once, from float64.

    All layers together: a card takes longer to begin an operation than to make most of these.
    """
    if not pairs:
        return []
    layers, norms = zip(*pairs, strict=True)
    means = [norm.running_mean for norm in norms]
    slope = torch.rsqrt(_joined([norm.running_var for norm in norms], means) + _eps(norms))
    gain = _joined([norm.weight for norm in norms], means, 1.0)
    bias = _joined([layer.bias for layer in layers], means)
    shift = _joined([norm.bias for norm in norms], means)
    biases = (bias - _joined(means, means)) * slope * gain + shift
    channels = [len(mean) for mean in means]
    weights = [layer.weight.detach() for layer in layers]
    exact = [torch.empty_like(weight, dtype=torch.float64) for weight in weights]
    torch._foreach_copy_(exact, weights)
    scales = (gain * slope).split(channels)
    shaped = [s.view(-1, *[1] * (w.dim() - 1)) for s, w in zip(scales, exact, strict=True)]
    torch._foreach_mul_(exact, shaped)
    rounded = [torch.empty_like(weight) for weight in weights]
    torch._foreach_copy_(rounded, exact)
    return [
        (weight, bias.to(weight.dtype))
        for weight, bias in zip(rounded, biases.split(channels), strict=True)
    ]


def _joined(values: Sequence[Any], like: Sequence[Tensor], instead: float = 0.0) -> Tensor:
    """One after the other, in float64; `instead` where there are none."""
    if all(one is None for one in values):
        return torch.full((), instead, dtype=torch.float64, device=like[0].device)
    parts = zip(values, like, strict=True)
    filled = [torch.full_like(b, instead) if a is None else a.detach() for a, b in parts]
    return torch.cat(filled).double()


def _eps(norms: Sequence[Any]) -> Any:
    """Of each channel, where layers differ."""
    if len({norm.eps for norm in norms}) == 1:
        return norms[0].eps
    means = [norm.running_mean.double() for norm in norms]
    return torch.cat([torch.full_like(m, n.eps) for m, n in zip(means, norms, strict=True)])


def rest_of(norm: Any) -> nn.Module:
    """What is left to do of `norm` once it is folded: nothing, or timm's activation."""
    if _is_timms(norm):
        return nn.Sequential(norm.drop, norm.act)
    return nn.Identity()


def bare(module: nn.Module) -> bool:
    """Whether nothing but its own forward happens in a call of `module`."""
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    return not any(hooks) and not is_parametrized(module)


def _is_timms(norm: nn.Module) -> bool:
    return (
        type(norm).__name__ == "BatchNormAct2d" and hasattr(norm, "drop") and hasattr(norm, "act")
    )


def _scales_only(module: nn.Module) -> bool:
    """Whether `module` is batch normalisation by running statistics."""
    kinds = (_BatchNorm, nn.SyncBatchNorm, SyncedBatchNorm2d)
    plain = type(module).forward in [kind.forward for kind in kinds]
    return (
        isinstance(module, _BatchNorm)
        and (plain or _is_timms(module))
        and not module.training
        and module.running_mean is not None
        and module.running_var is not None
    )


def is_weighted(module: nn.Module) -> bool:
    """Whether `module` computes as a convolutional or linear layer of torch does."""
    return any(type(module).forward is kind.forward for kind in _WEIGHTED)


class _Watch(TorchFunctionMode):
    """Notes which layer made a tensor, which normalisation takes it, and how often it is used."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.layer_of: dict[int, str] = {}
        self.taken: dict[str, Tensor] = {}
        self.calls: Counter[str] = Counter()
        self.uses: Counter[int] = Counter()
        self._alive: list[Any] = []  # so that no other tensor gets the identity of one seen
        self.handles = []
        for name, module in network.named_modules():
            if not bare(module):
                continue
            if is_weighted(module):
                self.handles.append(module.register_forward_hook(self._made_by(name)))
            elif _scales_only(module):
                self.handles.append(module.register_forward_pre_hook(self._taken_by(name)))

    def _made_by(self, name: str) -> Any:
        def note(_module: nn.Module, _args: Any, output: Tensor) -> None:
            self.calls[name] += 1
            self.layer_of[id(output)] = name
            self._alive.append(output)

        return note

    def _taken_by(self, name: str) -> Any:
        def note(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
            self.calls[name] += 1
            self.taken[name] = args[0]

        return note

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        # Asking for a shape is no use of the values.
        if any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            used = {id(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
            self.uses.update(used & self.layer_of.keys())
        return result
