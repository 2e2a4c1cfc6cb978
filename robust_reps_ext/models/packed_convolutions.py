"""Convolutions with fixed weights that lie in memory as oneDNN reads them.

`torch.nn.Conv2d` brings its weights into that order in every call, forward and backward. Here it
is done once, for the inputs' shape, by the operators that `torch.compile` packs weights with; the
gradient with respect to the image, where strides are 1, is a convolution too, with the weights
turned round, and is packed likewise. Measured on two cores with AVX-512, a step of PGD on a
ResNet-50 at 224 pixels takes 0.87 of the time with 4 images and 0.78 with one (docs/benchmarks.md).
"""

from __future__ import annotations

import functools
import logging
import platform
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Packed", "can_pack", "operators_work"]

logger = logging.getLogger("robust_reps_ext")

_LAST = torch.channels_last


class Packed(nn.Conv2d):
    """Computes what `torch.nn.Conv2d` computes, to rounding, where `can_pack` allows it.

    Assign it to the ``__class__`` of a module whose weights are fixed. Packed are the passes that
    lead to a gradient of the image, which come by the thousand; others are `Conv2d`'s own. What a
    pass gives does not depend on those before it: weights are packed anew for another shape.
    """

    _packs: dict[str, _Pack] | None = None

    def forward(self, input: Tensor) -> Tensor:
        wanted = torch.is_grad_enabled() and input.requires_grad and input.dim() == 4
        if not (wanted and self._meets(input) and operators_work(self.weight.dtype)):
            return super().forward(input)
        found: Tensor = _Convolution.apply(input.to(self.weight.dtype), self)
        return found

    def forget(self) -> None:
        """Pack anew: for weights that were overwritten without torch's knowledge."""
        self._packs = None

    def _meets(self, input: Tensor) -> bool:
        """Whether the product is one of the weights' own type, on a CPU."""
        if input.device.type != "cpu":
            return False
        if torch.is_autocast_enabled("cpu"):
            return torch.get_autocast_dtype("cpu") == self.weight.dtype
        return input.dtype == self.weight.dtype

    def _product(self, x: Tensor) -> Tensor:
        pads, strides = _whole(self.padding), _whole(self.stride)
        if self._is_pointwise():
            x, strides = self._looked_at(x).contiguous(memory_format=_LAST), [1, 1]
        return _convolve(x, self._packed("forward", x, pads, strides), self.bias, pads, strides)

    def _gradient(self, g: Tensor, shape: torch.Size) -> Tensor:
        """The gradient of the product, for its gradient `g` and an input of `shape`."""
        pads, strides = _whole(self.padding), _whole(self.stride)
        turned = [size - 1 - pad for size, pad in zip(self.kernel_size, pads, strict=True)]
        if min(turned) >= 0 and (strides == [1, 1] or self._is_pointwise()):
            pack = self._packed("backward", g, turned, [1, 1])
            found = _convolve(g, pack, None, turned, [1, 1])
            if found.shape == shape:
                return found
            everywhere = torch.empty(shape, dtype=g.dtype, memory_format=_LAST).zero_()
            self._looked_at(everywhere).copy_(found)
            return everywhere
        x = torch.empty(shape, dtype=g.dtype, memory_format=_LAST)  # only its shape matters
        result: Tensor = torch.ops.aten.convolution_backward(
            g, x, self.weight, None, strides, pads, [1, 1], False, [0, 0], 1, [True, False, False]
        )[0]
        return result

    def _is_pointwise(self) -> bool:
        return self.kernel_size == (1, 1) and self.padding == (0, 0)

    def _looked_at(self, x: Tensor) -> Tensor:
        """The pixels that a pointwise convolution sees."""
        down, across = self.stride
        return x[:, :, ::down, ::across]

    def _packed(self, way: str, x: Tensor, pads: list[int], strides: list[int]) -> Tensor:
        self._packs = {} if self._packs is None else self._packs
        pack = self._packs.get(way)
        if pack is None or not pack.fits(self.weight, x):
            weight = self.weight.detach()
            if way == "backward":
                weight = weight.flip((2, 3)).transpose(0, 1)
            pack = _Pack(self.weight, x.shape, _reorder(weight, pads, strides, x.shape))
            self._packs[way] = pack
        return pack.packed


class _Pack:
    """Packed weights, and what they were made of and for."""

    def __init__(self, weight: Tensor, shape: torch.Size, packed: Tensor) -> None:
        self.weight, self.version = weight, weight._version
        self.shape, self.packed = shape, packed

    def fits(self, weight: Tensor, x: Tensor) -> bool:
        same = self.weight is weight and self.version == weight._version
        return same and self.shape == x.shape


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Packed) -> Tensor:
        ctx.layer, ctx.shape = layer, x.shape
        return layer._product(x.contiguous(memory_format=_LAST))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return _Gradient.apply(grad_outputs[0], ctx.layer, ctx.shape), None


class _Gradient(torch.autograd.Function):
    """Linear, too: its own gradient is the convolution without the bias."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, layer: Packed, shape: torch.Size) -> Tensor:
        ctx.layer = layer
        return layer._gradient(g.contiguous(memory_format=_LAST), shape)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        layer = ctx.layer
        found = F.conv2d(grad_outputs[0], layer.weight, None, layer.stride, layer.padding)
        return found, None, None


def can_pack(module: Any) -> bool:
    """Whether `Packed` computes what `module`, which computes as `torch.nn.Conv2d`, computes."""
    return (
        module.groups == 1
        and set(module.dilation) == {1}
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


@functools.cache
def operators_work(dtype: torch.dtype) -> bool:
    """Whether torch has the operators, which it does not document, and they work in `dtype`."""
    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():
        return False
    with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
        image, weight = torch.ones(1, 2, 3, 3, dtype=dtype), torch.ones(4, 2, 3, 3, dtype=dtype)
        try:
            packed = _reorder(weight, [1, 1], [1, 1], image.shape)
            found = _convolve(image, packed, None, [1, 1], [1, 1])
        except (AttributeError, RuntimeError, TypeError) as error:
            if dtype == torch.float32:  # no processor packs float64, and not every one bfloat16
                logger.info("convolutions are not packed: %s: %s", type(error).__name__, error)
            return False
        # Small whole numbers, which every type holds.
        return torch.equal(found, F.conv2d(image, weight, None, 1, 1))


def _reorder(weight: Tensor, pads: list[int], strides: list[int], shape: Sequence[int]) -> Tensor:
    reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
    packed: Tensor = reorder(weight.to_mkldnn(), pads, strides, [1, 1], 1, list(shape))
    return packed


def _whole(sizes: Iterable[Any]) -> list[int]:
    return [int(size) for size in sizes]


def _convolve(
    x: Tensor, packed: Tensor, bias: Tensor | None, pads: list[int], strides: list[int]
) -> Tensor:
    found: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, packed, bias, pads, strides, [1, 1], 1, "none", [], ""
    )
    return found
