"""Which of a card's kernels compute: the fastest, or those that give the same bits each time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.utils.deterministic

__all__ = ["deterministic"]

# Without it torch warns of every matrix product; in one stream, which is all that is used here,
# cuBLAS gives the same bits in any case.
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Let operations on a card give the same bits each time, as those of a CPU do.

    Of an operation that has no such kernel (gradients of ``grid_sample``, of bilinear enlargement
    and of some poolings), torch warns by name; it then runs as ever.

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.runtime.kernels import deterministic
    >>> with deterministic(torch.device("cuda")):
    ...     torch.are_deterministic_algorithms_enabled()
    True
    """
    if device.type != "cuda":
        yield
        return
    cudnn, filling = torch.backends.cudnn, cast(Any, torch.utils.deterministic)
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    switches = cudnn.deterministic, cudnn.benchmark, filling.fill_uninitialized_memory
    named = os.environ.get(_CUBLAS)
    if not before[0]:
        torch.use_deterministic_algorithms(True, warn_only=True)
    cudnn.deterministic, cudnn.benchmark, filling.fill_uninitialized_memory = True, False, False
    os.environ.setdefault(_CUBLAS, ":4096:8")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.deterministic, cudnn.benchmark, filling.fill_uninitialized_memory = switches
        if named is None:
            os.environ.pop(_CUBLAS, None)
