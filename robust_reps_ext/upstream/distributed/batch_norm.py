"""Batch norm whose mean and variance in training are those of all ranks' images together."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...runtime.errors import InputError
from ...runtime.modules import device_of

__all__ = ["SyncedBatchNorm2d", "with_synced_batch_norm"]


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.SyncBatchNorm` for the CPU, where torch has none.

    In evaluation mode it is `BatchNorm2d`, and nothing is communicated.
    """

    def forward(self, input: Tensor) -> Tensor:
        """`input` (N, C, H, W) normalised by the statistics of every rank's images."""
        if not self.training:
            return super().forward(input)
        axes, images = [0, 2, 3], input.to(torch.promote_types(input.dtype, torch.float32))
        count = images.new_tensor([images.numel() / images.shape[1]])
        total = _Sum.apply(torch.cat([images.sum(axes), count]))
        count, mean = total[-1].detach(), total[:-1] / total[-1].detach()
        # A second message, for the difference of squares loses digits.
        centred = images - mean.view(1, -1, 1, 1)
        variance = _Sum.apply(centred.square().sum(axes)) / count
        if self.track_running_stats:
            self._keep(mean.detach(), variance.detach() * (count / (count - 1)))
        scale = (variance + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * self.weight
        out = centred * scale.view(1, -1, 1, 1)
        if self.bias is not None:
            out = out + self.bias.view(1, -1, 1, 1)
        return out.to(input.dtype)

    @torch.no_grad()
    def _keep(self, mean: Tensor, variance: Tensor) -> None:
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        for kept, now in ((self.running_mean, mean), (self.running_var, variance)):
            assert kept is not None
            kept.lerp_(now, share)


class _Sum(torch.autograd.Function):
    """The sum over ranks; what depends on it does so on every rank, hence the same backwards."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradients[0])


def with_synced_batch_norm(model: nn.Module) -> None:
    """Replace every batch norm in `model`, in place; weights, statistics and names stay.

    On CUDA the replacement is torch's own `SyncBatchNorm`.

    Raises
    ------
    InputError
        On the CPU, if there is another kind than `BatchNorm2d`.
    """
    if device_of(model).type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncedBatchNorm2d
        elif isinstance(module, _BatchNorm) and not isinstance(module, SyncedBatchNorm2d):
            raise InputError(
                f"--sync-bn 1 cannot do {type(module).__name__} on the CPU: use CUDA, or leave it "
                "out"
            )
