"""How many images at a time, and fewer of them once memory has run out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from .errors import InputError

__all__ = ["in_batches", "is_out_of_memory", "tried"]

T = TypeVar("T")

# What torch says on a CPU, and what CUDA's libraries say instead of torch's OutOfMemoryError.
_SAID = (
    "DefaultCPUAllocator",
    "CUDA out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def tried(work: Callable[[], T], images: int) -> tuple[T | None, int]:
    """What `work` makes of so many images; or None and half of them, if memory ran out.

    Raises
    ------
    InputError
        If there was not enough for one image.
    """
    try:
        return work(), images
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        if images == 1:
            reason = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
            raise InputError(
                f"out of memory with one image at a time ({reason}): give smaller images, a "
                "smaller network, or a device with more memory"
            ) from error
    # Only here has the error let go of the tensors of what failed.
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    warnings.warn(
        f"out of memory with {images} images at a time: going on with {images // 2}",
        stacklevel=4,
    )
    return None, images // 2


def in_batches(n: int, size: int, work: Callable[[slice], Tensor]) -> Tensor:
    """`work` on `size` of n images at a time, fewer where memory runs out; the rows together."""
    found: list[Tensor] = []
    done = 0
    while done < n or not found:
        rows = slice(done, min(done + size, n))
        result, fewer = tried(partial(work, rows), rows.stop - rows.start)
        if result is None:
            size = fewer
            continue
        found.append(result)
        done = rows.stop
    return torch.cat(found)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory has run out, on a CPU or on a GPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)
