"""Batch norm over the images of all ranks."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import nn

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.upstream.distributed.batch_norm import with_synced_batch_norm


@pytest.fixture
def alone():
    """A process group of one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("momentum", [0.3, None])
def test_batch_norm_over_one_rank_is_batch_norm(momentum, alone):
    ours, theirs = (nn.BatchNorm2d(3, momentum=momentum).double() for _ in range(2))
    images = torch.randn(4, 3, 5, 5, dtype=torch.float64) * 3 + 1
    with_synced_batch_norm(ours)
    found = []
    for norm in (ours, theirs):
        inp = images.clone().requires_grad_()
        for _ in range(2):
            out = norm(inp)
        out.pow(3).sum().backward()
        frozen = norm.eval()(images)
        found.append([out, inp.grad, norm.weight.grad, norm.bias.grad, frozen, *norm.buffers()])
    for left, right in zip(*found, strict=True):
        torch.testing.assert_close(left, right)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_other_batch_norms_are_named():
    with pytest.raises(InputError, match="--sync-bn 1 cannot do BatchNorm1d on the CPU"):
        with_synced_batch_norm(nn.Sequential(nn.BatchNorm1d(2)))
