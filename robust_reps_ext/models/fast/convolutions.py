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

__all__ = [
    "Packed",
    "PackedWeights",
    "Unshuffled",
    "can_pack",
    "cheaper",
    "gradient",
    "operators_work",
]

logger = logging.getLogger("robust_reps_ext")

_LAST = torch.channels_last
_ONES = [1, 1]


class Packed(nn.Conv2d):
    """Computes what `torch.nn.Conv2d` computes, to rounding, where `can_pack` allows it.

    Assign it to the ``__class__`` of a module whose weights are fixed. Packed are the passes that
    lead to a gradient of the image, which come by the thousand; others are `Conv2d`'s own. What a
    pass gives does not depend on those before it: weights are packed anew for another shape.
    """

    _kept: PackedWeights | None = None

    def forward(self, input: Tensor) -> Tensor:
        if not self.can_take(input):
            return super().forward(input)
        found: Tensor = _Convolution.apply(input.to(self.weight.dtype), self.packed(input.shape))
        return found

    def can_take(self, input: Tensor) -> bool:
        """Whether packed weights are of use for `input`."""
        wanted = torch.is_grad_enabled() and input.requires_grad and input.dim() == 4
        return wanted and self._meets(input) and operators_work(self.weight.dtype)

    def packed(self, shape: torch.Size) -> PackedWeights:
        """The weights for inputs of `shape`, in order."""
        kept = self._kept
        if kept is None or not kept.fit(self, shape):
            self._kept = kept = PackedWeights(self, shape)
        return kept

    def forget(self) -> None:
        """Pack anew: for weights that were overwritten without torch's knowledge."""
        self._kept = None

    def _meets(self, input: Tensor) -> bool:
        """Whether the product is one of the weights' own type, on a CPU."""
        if input.device.type != "cpu":
            return False
        if torch.is_autocast_enabled("cpu"):
            return torch.get_autocast_dtype("cpu") == self.weight.dtype
        return input.dtype == self.weight.dtype


class PackedWeights:
    """A convolution of images of one shape, and its gradient with respect to them."""

    def __init__(self, layer: nn.Conv2d, shape: torch.Size) -> None:
        self.weight, self.version = layer.weight, layer.weight._version
        self.bias, self.shape = layer.bias, shape
        self.pads, self.strides = _whole(layer.padding), _whole(layer.stride)
        # A strided 1x1 convolution is one of the pixels that it sees.
        pointwise = layer.kernel_size == (1, 1) and self.pads == [0, 0]
        self.thinned = pointwise and self.strides != _ONES
        self.turned_pads = [
            size - 1 - pad for size, pad in zip(layer.kernel_size, self.pads, strict=True)
        ]
        self.turns = min(self.turned_pads) >= 0 and (self.thinned or self.strides == _ONES)
        self.there: Tensor | None = None
        self.back: Tensor | None = None

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Packed weights have no storage to copy or pickle: a copied layer packs its own."""
        return type(None), ()

    def fit(self, layer: nn.Conv2d, shape: torch.Size) -> bool:
        same = self.weight is layer.weight and self.bias is layer.bias
        return same and self.version == layer.weight._version and self.shape == shape

    def product(self, x: Tensor, *, relu: bool = False, onto: Tensor | None = None) -> Tensor:
        """The convolution of `x`, added into `onto` where that is given, and then a ReLU."""
        strides = self.strides
        if self.thinned:
            x, strides = self._seen(x), _ONES
        x = x.contiguous(memory_format=_LAST)
        if self.there is None:
            self.there = _reorder(self.weight, self.pads, strides, x.shape)
        return _convolve(x, self.there, self.bias, self.pads, strides, relu, onto)

    def gradient(self, g: Tensor, *, onto: Tensor | None = None) -> Tensor:
        """The gradient with respect to the image, for that with respect to the product.

        It is added into `onto` where that is given.
        """
        g = g.contiguous(memory_format=_LAST)
        if not self.turns:
            found = self._torchs_gradient(g)
            return found if onto is None else onto.add_(found)
        if self.back is None:
            turned = self.weight.flip((2, 3)).transpose(0, 1)
            self.back = _reorder(turned, self.turned_pads, _ONES, g.shape)
        direct = None if self.thinned else onto
        found = _convolve(g, self.back, None, self.turned_pads, _ONES, False, direct)
        if not self.thinned:
            return found
        if onto is None:
            onto = torch.empty(self.shape, dtype=g.dtype, memory_format=_LAST).zero_()
        self._seen(onto).add_(found)
        return onto

    def _seen(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.strides[0], :: self.strides[1]]

    def _torchs_gradient(self, g: Tensor) -> Tensor:
        x = torch.empty(self.shape, dtype=g.dtype, memory_format=_LAST)  # only its shape matters
        found: Tensor = torch.ops.aten.convolution_backward(
            g, x, self.weight, None, self.strides, self.pads, _ONES, False, [0, 0], 1,
            [True, False, False],
        )[0]  # fmt: skip
        return found


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: PackedWeights) -> Tensor:
        ctx.weights = weights
        return weights.product(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return gradient(grad_outputs[0], ctx.weights), None


def gradient(g: Tensor, weights: PackedWeights) -> Tensor:
    """`PackedWeights.gradient`, which has a gradient itself."""
    found: Tensor = _Gradient.apply(g, weights)
    return found


class _Gradient(torch.autograd.Function):
    """Linear, too: its own gradient is the convolution without the bias."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, weights: PackedWeights) -> Tensor:
        ctx.weights = weights
        return weights.gradient(g)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        weights = ctx.weights
        return F.conv2d(grad_outputs[0], weights.weight, None, weights.strides, weights.pads), None


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
            packed = _reorder(weight, _ONES, _ONES, image.shape)
            found = _convolve(image, packed, None, _ONES, _ONES)
            sums = _convolve(image, packed, None, _ONES, _ONES, relu=True, onto=found - 20)
        except (AttributeError, RuntimeError, TypeError) as error:
            if dtype == torch.float32:  # no processor packs float64, and not every one bfloat16
                logger.info("convolutions are not packed: %s: %s", type(error).__name__, error)
            return False
        # Small whole numbers, which every type holds.
        expected = F.conv2d(image, weight, None, 1, 1)
        return torch.equal(found, expected) and torch.equal(sums, (2 * expected - 20).clamp(min=0))


def _reorder(weight: Tensor, pads: list[int], strides: list[int], shape: Sequence[int]) -> Tensor:
    reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
    packed: Tensor = reorder(weight.to_mkldnn(), pads, strides, _ONES, 1, list(shape))
    return packed


def _whole(sizes: Iterable[Any]) -> list[int]:
    return [int(size) for size in sizes]


def _convolve(
    x: Tensor,
    packed: Tensor,
    bias: Tensor | None,
    pads: list[int],
    strides: list[int],
    relu: bool = False,
    onto: Tensor | None = None,
) -> Tensor:
    found: Tensor
    if onto is None:
        found = torch.ops.mkldnn._convolution_pointwise(
            x, packed, bias, pads, strides, _ONES, 1, "relu" if relu else "none", [], ""
        )
    else:
        found = torch.ops.mkldnn._convolution_pointwise_.binary(
            onto, x, packed, bias, pads, strides, _ONES, 1,
            "add", 1.0, "relu" if relu else None, [], "",
        )  # fmt: skip
    return found


# Fewer weights are brought into order by torch sooner than a call of ours begins. 1x1 convolutions
# are packed whatever their size: torch's gradient of them is slow.
WORTH_PACKING = 2**15


def cheaper(module: Any) -> type[nn.Conv2d] | None:
    """The class that computes what `module` does at less cost on a CPU, None where none does.

    Its instances hold what the module holds: assign the class to the module's ``__class__``.
    """
    if type(module).forward is not nn.Conv2d.forward or not can_pack(module):
        return None
    (size, width), (stride, across) = module.kernel_size, module.stride
    square = (size, stride) == (width, across)
    if square and module.in_channels <= 4 and stride > 1 and size >= 7:
        return Unshuffled
    return Packed if size * width == 1 or module.weight.numel() >= WORTH_PACKING else None


class Unshuffled(nn.Conv2d):
    """A convolution with stride s, as one with stride 1 of blocks of s x s pixels as channels.

    Images have three channels, too few for a processor's registers; three s^2 are enough.
    """

    def forward(self, input: Tensor) -> Tensor:
        (size, _), (stride, _) = self.kernel_size, self.stride
        top, left = (int(side) for side in self.padding)
        bottom, right = (
            self._covered(length + 2 * padding) - length - padding
            for length, padding in zip(input.shape[-2:], (top, left), strict=True)
        )
        image = F.pixel_unshuffle(F.pad(input, (left, right, top, bottom)), stride)
        weight = F.pixel_unshuffle(F.pad(self.weight, (0, -size % stride) * 2), stride)
        last = torch.channels_last
        return F.conv2d(
            image.contiguous(memory_format=last), weight.contiguous(memory_format=last), self.bias
        )

    def _covered(self, length: int) -> int:
        """How far windows of whole blocks reach, of a padded side; what none reaches is cut."""
        (size, _), (stride, _) = self.kernel_size, self.stride
        windows = (length - size) // stride + 1
        return (windows - 1 + -(-size // stride)) * stride
