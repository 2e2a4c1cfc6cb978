"""The copy of a network that PGD runs on: the same function of the image, at less cost.

In evaluation mode batch normalisation is part of the layer before it (`folding`), weights are
fixed and lie in memory as the hardware reads them, and the first layer may be computed otherwise
(`convolutions`), rows of residual blocks are one operation (`residual_blocks`), and where only the
representation is wanted, nothing after it runs.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...runtime.modules import device_of, evaluating
from ...runtime.precision import full_precision
from ...runtime.randomness import own_generators, seed_generators
from ..hooks import ReplacedReLU, straight_through
from ..layers import RepresentationModel, unwrapped
from ..sites import same_sites
from .convolutions import Packed, Unshuffled, cheaper
from .folding import bare, foldable, folded_weights, is_weighted, rest_of
from .residual_blocks import whole_block, whole_row

__all__ = ["FastCopy", "UpToRepresentation", "checked_copy", "fast_network"]

logger = logging.getLogger("robust_reps_ext")

Loss = Callable[[nn.Module], tuple[Tensor, Any]]


class FastCopy:
    """A copy of `network` for many gradients with respect to images.

    Parameters
    ----------
    network
        The bare classifier (``model.model`` of an `AttackerModel`); neither it nor its state
        dict is changed, and weights that need no other form are shared with it.
    x
        Some normalised images, (N, C, H, W), for one forward pass.

    Attributes
    ----------
    network
        The copy: same names of modules, evaluation mode, no gradients for weights.
    chosen
        What to run: the copy, or the part of it that is needed, see `checked_copy`.
    folded
        Layer to the batch normalisation that went into it, by name.

    Examples
    --------
    >>> import torch, torchvision
    >>> from robust_reps_ext.models.fast import FastCopy
    >>> network = torchvision.models.resnet18(num_classes=9).eval()
    >>> x = torch.rand(2, 3, 64, 64)
    >>> fast = FastCopy(network, x)
    >>> len(fast.folded), torch.allclose(fast.network(x), network(x), atol=1e-4)
    (20, True)
    """

    def __init__(self, network: nn.Module, x: Tensor) -> None:
        self.source = network
        self.on_cpu = device_of(network).type == "cpu"
        with torch.inference_mode(False), torch.no_grad(), evaluating(network):
            x = x[:1].detach().clone()
            if isinstance(network, RepresentationModel):
                network.site(x)
            self.network = _sharing(network).eval()
            same_sites(unwrapped(self.network), unwrapped(network))
            with _untouched(network):
                self.folded = foldable(self.network, x)
            _fold(self.network, self.folded)
            if self.on_cpu:
                for form in (cheaper, whole_block, whole_row):
                    for module in self.network.modules():
                        if bare(module) and (kind := form(module)) is not None:
                            module.__class__ = kind
                self.network.to(memory_format=torch.channels_last)
        self.chosen: nn.Module = self.network

    def reduce(self, dtype: torch.dtype) -> None:
        """Hold weights in `dtype`, for use inside `torch.autocast`: it need not cast them then."""
        with torch.inference_mode(False), torch.no_grad():
            for module in self.network.modules():
                ours = isinstance(module, (Packed, Unshuffled))
                if (ours or is_weighted(module)) and bare(module):
                    for name, value in list(module.named_parameters(recurse=False)):
                        setattr(module, name, nn.Parameter(value.to(dtype), requires_grad=False))
            self.network.to(memory_format=torch.channels_last)

    def refresh(self) -> None:
        """Take over the weights and statistics that the network has now."""
        with torch.inference_mode(False), torch.no_grad():
            sources = dict(self.source.named_modules())
            folded = dict(zip(self.folded, self._folded_now(sources), strict=True))
            old, new = [], []
            for name, module in self.network.named_modules():
                source = sources.get(name)
                values = {} if source is None else _tensors(source)
                if name in folded:
                    values["weight"], values["bias"] = folded[name]
                for key, value in _tensors(module).items():
                    if key in values and value.data_ptr() != values[key].data_ptr():
                        old.append(value)
                        new.append(values[key])
                if isinstance(module, Packed):
                    module.forget()
            if old:
                torch._foreach_copy_(old, new)

    def _folded_now(self, sources: dict[str, nn.Module]) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each folded layer, by the values that the network has now."""
        return folded_weights(
            [(sources[name], sources[norm]) for name, norm in self.folded.items()]
        )


class UpToRepresentation(nn.Module):
    """A `RepresentationModel` that runs no further than its representation.

    Asked for the representation, it returns None for the logits.
    """

    def __init__(self, model: RepresentationModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, x: Tensor, with_latent: bool = False, fake_relu: bool = False, no_relu: bool = False
    ) -> Any:
        if not with_latent or no_relu:
            return self.model(x, with_latent=with_latent, fake_relu=fake_relu, no_relu=no_relu)
        site, network = self.model.site(x), self.model.module
        with site.reading(network, stop=True) as seen:
            with ReplacedReLU(site.relu if fake_relu else None, straight_through):
                network(x)
        return None, site.rows(seen[-1])


def checked_copy(
    network: nn.Module, x: Tensor, loss: Loss, *, dtype: torch.dtype | None = None
) -> FastCopy | None:
    """A copy of `network` on which `loss` has the same value, if there is one.

    Parameters
    ----------
    network
        The bare classifier, see `FastCopy`.
    x
        Some normalised images, (N, C, H, W).
    loss
        ``loss(network) -> (values, output)``, computed on the copy and on the network; the copy
        counts only if both agree, so that an objective may look at whatever it likes. On images
        that require a gradient: an attack's do, and the copy has operations of its own for them.
    dtype
        Hold weights in this type, see `FastCopy.reduce`.

    Returns
    -------
    FastCopy or None
        `FastCopy.chosen` is what to run. Without a copy, the log ``robust_reps_ext`` says why.
    """
    try:
        fast = FastCopy(network, x)
        expected = _value(loss, network)
        candidates = [fast.network]
        if isinstance(fast.network, RepresentationModel):
            candidates.insert(0, UpToRepresentation(fast.network))
        chosen = next((one for one in candidates if _agrees(loss, one, expected)), None)
    # Networks and objectives are anyone's code: what fails on the copy still runs on the network.
    except Exception as error:
        logger.warning("no fast copy of %s: %s: %s", *_named(network, type(error)), error)
        return None
    if chosen is None:
        logger.warning(
            "no fast copy of %s: the objective's value is another on it", *_named(network)
        )
        return None
    if dtype is not None:
        fast.reduce(dtype)
    fast.chosen = chosen
    return fast


def fast_network(
    network: nn.Module, x: Tensor, loss: Loss, *, dtype: torch.dtype | None = None
) -> nn.Module:
    """What `checked_copy` chose to run instead of `network`, or `network` itself."""
    fast = checked_copy(network, x, loss, dtype=dtype)
    return network if fast is None else fast.chosen


def _agrees(loss: Loss, network: nn.Module, expected: tuple[Tensor, Any]) -> bool:
    try:
        found = _value(loss, network)
    except Exception:
        if isinstance(network, UpToRepresentation):  # the loss reads the logits
            return False
        raise
    return all(_close(a, b) for a, b in zip(found, expected, strict=True))


def _value(loss: Loss, network: nn.Module) -> tuple[Tensor, Any]:
    """The loss without effect on the random state, and with the same random numbers each time."""
    device = device_of(network)
    with own_generators(device), torch.inference_mode(False), torch.enable_grad():
        seed_generators(0, device)
        with evaluating(network), full_precision(device):
            values, output = loss(network)
    return values.detach(), output.detach() if isinstance(output, Tensor) else output


def _close(found: Any, expected: Any) -> bool:
    if not (isinstance(found, Tensor) and isinstance(expected, Tensor)):
        return type(found) is type(expected)
    if found.shape != expected.shape:
        return False
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    return torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * max(1.0, scale))


def _named(network: nn.Module, *kinds: type) -> tuple[str, ...]:
    return (type(unwrapped(network)).__name__, *(kind.__name__ for kind in kinds))


def _sharing(network: nn.Module) -> Any:
    """A copy with the network's own weights, fixed; its hooks are the same objects, too."""
    memo: dict[int, Any] = {}
    for module in network.modules():
        for key, value in _tensors(module).items():
            fixed = value.clone() if value.is_inference() else value.detach()
            is_parameter = key in module._parameters
            memo[id(value)] = nn.Parameter(fixed, requires_grad=False) if is_parameter else fixed
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            memo |= {id(hook): hook for hook in hooks.values()}
    return copy.deepcopy(network, memo)


@contextmanager
def _untouched(network: nn.Module) -> Iterator[None]:
    """Refuse a copy that calls the network itself: a ``forward`` set on the instance does."""

    def refuse(module: nn.Module, _args: Any) -> None:
        raise NoCopyError(f"what was copied calls the {type(module).__name__} it was copied from")

    handles = [module.register_forward_pre_hook(refuse) for module in network.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class NoCopyError(RuntimeError):
    """A deep copy of a network is not a network of its own."""


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers of the module itself."""
    return {k: v for k, v in {**module._parameters, **module._buffers}.items() if v is not None}


def _fold(network: nn.Module, folded: dict[str, str]) -> None:
    pairs = [(network.get_submodule(a), network.get_submodule(b)) for a, b in folded.items()]
    made = zip(folded.values(), pairs, folded_weights(pairs), strict=True)
    for norm, (layer, normalization), (weight, bias) in made:
        layer.weight = nn.Parameter(weight, requires_grad=False)
        layer.bias = nn.Parameter(bias, requires_grad=False)
        parent, _, name = norm.rpartition(".")
        setattr(network.get_submodule(parent), name, rest_of(normalization).eval())
