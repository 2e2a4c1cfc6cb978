"""How many images fit into memory at once, and how many of them are fastest."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from .errors import InputError, first_line, warn
from .randomness import own_generators

__all__ = ["Fastest", "fastest_batch", "in_batches", "is_out_of_memory", "tried"]

T = TypeVar("T")

# What torch says on a CPU, and what CUDA and its libraries say instead of torch's OutOfMemoryError:
# without room to work in, cuDNN finds no algorithm.
_SAID = (
    "DefaultCPUAllocator",
    "out of memory",
    "STATUS_ALLOC_FAILED",
    "DEVICE_ALLOCATION_FAILED",
    "unable to find an engine to execute this computation",
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
            raise InputError(
                f"out of memory with one image at a time ({first_line(error)}): give smaller "
                "images, a smaller network, or a device with more memory"
            ) from error
    # Only here has the error let go of the tensors of what failed.
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    warn(f"out of memory with {images} images at a time: going on with {images // 2}")
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


GAIN = 1.05
"""Twice as many images at a time must bring at least so many times the images a second."""

LARGEST = {"cpu": 64, "cuda": 1024}

# Of the memory that is free.
SHARE = 0.8


def fastest_batch(
    steps: Callable[[int], object], most: int, device: torch.device, *, beside: int = 0
) -> int:
    """The size from 1, 2, 4, ... after which throughput no longer rises, or memory runs short.

    Where memory runs short, one half more than the last is tried, too.

    Parameters
    ----------
    steps
        ``steps(n)`` does with n images what is done again and again.
    most
        As many images as there are.
    device
        Where it is done.
    beside
        Bytes that each image takes in the end beside what a first call of `steps` shows.

    Examples
    --------
    >>> import time, torch
    >>> from robust_reps_ext.runtime.memory import fastest_batch
    >>> fastest_batch(lambda n: time.sleep(0.01 * n), 8, torch.device("cpu"))
    1
    """
    most = min(most, LARGEST.get(device.type, 64))
    best, rate, size, each = 1, 0.0, 1, 0.0
    while True:
        memory = _Memory.now(device)
        now = _throughput(steps, size, device)
        if now is not None and now < GAIN * rate:
            return best
        if now is not None:
            best, rate, each = size, now, memory.needed(device) / size + beside
            if size == most:
                return best
            size = min(2 * size, most)
        if now is None or size * each > SHARE * memory.free:
            break
    between = best + best // 2
    if best < between < size and between * each <= SHARE * memory.free:
        now = _throughput(steps, between, device)
        if now is not None and now >= GAIN * rate:
            return between
    return best


def _throughput(steps: Callable[[int], object], size: int, device: torch.device) -> float | None:
    """Images a second; None where memory runs out."""
    try:
        return size / min(_seconds(steps, size, device) for _ in range(2))
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            return None
        raise


@dataclass(frozen=True)
class Fastest:
    """A size of batches that is found out on the first images, by what is done with them.

    Attributes
    ----------
    steps
        ``steps(images, labels)`` does with some images what is done with all.
    device
        Where it is done.
    """

    steps: Callable[[Tensor, Any], object]
    device: torch.device

    @property
    def most(self) -> int:
        """As many images as may be tried."""
        return LARGEST.get(self.device.type, 64)

    def size(self, images: Tensor, labels: Any) -> int:
        """How many of them are fastest, see `fastest_batch`."""

        def steps(n: int) -> object:
            return self.steps(images[:n], None if labels is None else labels[:n])

        with own_generators(self.device):
            return fastest_batch(steps, len(images), self.device)


def _seconds(steps: Callable[[int], object], size: int, device: torch.device) -> float:
    began = time.perf_counter()
    steps(size)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


@dataclass(frozen=True)
class _Memory:
    """In bytes; without a limit where the system does not tell."""

    used: int
    free: float

    @classmethod
    def now(cls, device: torch.device) -> _Memory:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            used = torch.cuda.memory_allocated(device)
            cached = torch.cuda.memory_reserved(device) - used
            return cls(used, torch.cuda.mem_get_info(device)[0] + cached)
        try:
            free: float = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):  # Windows, macOS
            free = math.inf
        return cls(_most_used(), free)

    def needed(self, device: torch.device) -> int:
        """At most, since this was asked."""
        if device.type == "cuda":
            return torch.cuda.max_memory_allocated(device) - self.used
        return _most_used() - self.used


def _most_used() -> int:
    """By this process since it began."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
