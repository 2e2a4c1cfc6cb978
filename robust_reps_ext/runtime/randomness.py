"""Random numbers that belong to an image: its number and the seed decide them, no other image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .numbers import whole

__all__ = [
    "ATTACK",
    "GAUSSIAN",
    "NOISE",
    "NUDGE",
    "PATCH",
    "another",
    "check_seed",
    "normal",
    "one_of",
    "own_generators",
    "seed_generators",
    "shuffled",
    "uniform",
]

# What is drawn for one image and one seed, each from a stream of its own; attacks, from 3 on, have
# one for each run.
NOISE, NUDGE, OTHER, ATTACK = 0, 1, 2, 3

GAUSSIAN, PATCH = 2**32, 2**32 + 1
"""Of the draws of a class's Gaussian, and of the place of a hole: beyond those of any attack."""


def check_seed(seed: Any) -> int:
    """`seed` as an int; `InputError` unless a generator can be seeded with it."""
    return whole("seed", seed, wanted="a whole number from 0 to 2^63 - 1")


def normal(numbers: Sequence[int], shape: Sequence[int], *, seed: int, stream: int) -> Tensor:
    """N(0, 1) for the images with these numbers, (len(numbers), *shape), float32.

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.runtime.randomness import NOISE, normal
    >>> both = normal([4, 5], (3, 2, 2), seed=1, stream=NOISE)
    >>> torch.equal(both[1:], normal([5], (3, 2, 2), seed=1, stream=NOISE))
    True
    """
    seed = check_seed(seed)
    drawn = torch.empty(len(numbers), *shape)
    for row, number in zip(drawn, numbers, strict=True):
        generator = np.random.default_rng((seed, stream, number))
        row.copy_(torch.from_numpy(generator.standard_normal(tuple(shape), dtype=np.float32)))
    return drawn


def another(number: int, count: int, *, seed: int) -> int:
    """Another one of `count` images for the image with this number, each as likely.

    Examples
    --------
    >>> from robust_reps_ext.runtime.randomness import another
    >>> another(0, 2, seed=5), another(1, 2, seed=5)
    (1, 0)
    """
    drawn = one_of(number, count - 1, seed=seed)
    return drawn + (drawn >= number)


def one_of(number: int, count: int, *, seed: int) -> int:
    """One of 0 to `count` - 1 for the image with this number, each as likely.

    Examples
    --------
    >>> from robust_reps_ext.runtime.randomness import one_of
    >>> [one_of(number, 10, seed=0) for number in range(3)]
    [9, 9, 1]
    """
    return int(np.random.default_rng((check_seed(seed), OTHER, number)).integers(count))


def shuffled(count: int, *, seed: int) -> list[int]:
    """The numbers below `count` in a random order that `seed` fixes.

    Examples
    --------
    >>> from robust_reps_ext.runtime.randomness import shuffled
    >>> shuffled(5, seed=0)
    [4, 0, 1, 3, 2]
    """
    order: list[int] = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return order


def uniform(key: int, numbers: Tensor, count: int) -> Tensor:
    """`count` numbers in [0, 1) for each image, (count, N), where `numbers` (N,) are.

    A function of the key and the number of the image, SplitMix64 (Steele, Lea and Flood, 2014),
    so that a GPU need not wait for draws on the CPU.
    """
    place = torch.arange(1, count + 1, device=numbers.device)[:, None] + numbers.long() * count
    z = key + place * -0x61C8864680B583EB
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        z = (z ^ _shifted(z, shift)) * factor
    return _shifted(z ^ _shifted(z, 31), 40).float() / 2**24


def _shifted(z: Tensor, bits: int) -> Tensor:
    """To the right, without the sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


@contextmanager
def own_generators(device: torch.device) -> Iterator[None]:
    """What is drawn from torch's global generators inside changes nothing outside."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's global generators of the CPU and of `device`, and no others."""
    torch.random.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
