"""The state of every random generator that training draws from: seed, save and restore it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from .errors import InputError

__all__ = [
    "capture",
    "generators",
    "preserved",
    "restore",
    "seed_all",
    "seed_epoch",
    "seed_worker",
]

# Where loaders and their wrappers keep what decides the order.
_INSIDE = ("loader", "data_loader", "orig_loader", "sampler", "batch_sampler")


def seed_all(seed: int) -> None:
    """Seed Python, NumPy and torch (every device) with numbers derived from `seed`.

    Raises
    ------
    InputError
        If `seed` is negative.
    """
    _seed(_derived(seed))


def seed_epoch(
    seed: int, epoch: int, loaders: Iterable[Any] = (), rank: int = 0, step: int = 0
) -> None:
    """Seed everything that one epoch draws from, with numbers derived from `seed` and `epoch`.

    What an epoch draws then depends on nothing that came before it: the data order (the
    generators of `loaders`, see `generators`), augmentation in the main and the worker processes,
    and random starts. Augmentation and starts differ by `rank`, and by the `step` of the epoch
    that is seeded; the data order does not.
    """
    _seed(_derived(seed, epoch, *((rank, step) if rank or step else ())))
    for index, generator in enumerate(generators(loaders)):
        generator.manual_seed(_derived(seed, epoch, index)[0])


def seed_worker(rank: int) -> None:
    """Let a loader's worker, whose seed is the same on all ranks, draw other numbers on each."""
    if rank:
        _seed(_derived(torch.initial_seed(), rank))


def generators(loaders: Iterable[Any]) -> Iterator[torch.Generator]:
    """The generators that decide the data order, in loaders and in what they wrap."""
    seen: set[int] = set()
    pending = list(loaders)
    while pending:
        loader = pending.pop(0)
        if loader is None or id(loader) in seen:
            continue
        seen.add(id(loader))
        attributes = getattr(loader, "__dict__", {})
        generator = attributes.get("generator")
        if isinstance(generator, torch.Generator) and id(generator) not in seen:
            seen.add(id(generator))
            yield generator
        pending += [attributes.get(name) for name in _INSIDE]


def capture(loaders: Iterable[Any] = ()) -> dict[str, Any]:
    """The state of every generator, as tensors, numbers and text.

    Returns
    -------
    dict
        ``python``, ``numpy``, ``torch``, ``cuda`` (one tensor a device) and ``loaders``.
    """
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    return {
        "python": [version, torch.tensor(words, dtype=torch.int64), gauss],
        "numpy": [
            str(name),
            torch.tensor(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "loaders": [generator.get_state() for generator in generators(loaders)],
    }


def restore(state: dict[str, Any], loaders: Iterable[Any] = ()) -> None:
    """Put every generator into a state from `capture`.

    CUDA generators are restored if there are as many devices as there were, loaders' if there
    are as many generators; a run that moved to another machine draws anew there. The tensors may
    lie on any device.
    """
    version, python_words, gauss = state["python"]
    random.setstate((version, tuple(python_words.cpu().tolist()), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    words = keys.cpu().numpy().astype(np.uint32)
    np.random.set_state((name, words, position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([device.cpu() for device in state["cuda"]])
    found = list(generators(loaders))
    if len(found) == len(state["loaders"]):
        for generator, kept in zip(found, state["loaders"], strict=True):
            generator.set_state(kept.cpu())


@contextmanager
def preserved(loaders: Iterable[Any] = ()) -> Iterator[None]:
    """What is drawn inside the block does not change what is drawn after it."""
    loaders = list(loaders)
    state = capture(loaders)
    try:
        yield
    finally:
        restore(state, loaders)


def _derived(seed: int, *path: int) -> list[int]:
    if seed < 0:
        raise InputError(f"--seed={seed} is negative: give 0 or more")
    words = np.random.SeedSequence(seed, spawn_key=path).generate_state(3)
    return [int(word) for word in words]


def _seed(words: list[int]) -> None:
    # Augmentation written by users draws from NumPy's global generator, so that is the one to seed.
    random.seed(words[0])
    np.random.seed(words[1])  # noqa: NPY002
    torch.manual_seed(words[2])
