"""Moves batches to the device ahead of use: `robustness.tools.helpers.DataPrefetcher` mended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from operator import methodcaller
from typing import Any

import torch

from ...runtime.errors import InputError

__all__ = ["DataPrefetcher"]


class DataPrefetcher:
    """Iterate over a loader's batches on the device that models run on.

    On CUDA the next batch is copied on a stream of its own while the current one is used;
    elsewhere batches pass through. Each ``iter()`` is independent of the others. Attributes that
    this class lacks (``dataset``, ``generator``, ``batch_size``) are the loader's.

    Parameters
    ----------
    loader
        Any sized iterable of batches: tuples or lists of any length, of tensors or of nested
        tuples, lists and mappings of tensors. What is no tensor passes unchanged.
    stop_after
        How many batches to give at most; all of them if ``None`` (upstream's default).
    device
        Where the tensors go; CUDA where there is one, else the CPU, if ``None``.

    Raises
    ------
    InputError
        If `stop_after` is negative.

    Examples
    --------
    >>> from robustness.tools.helpers import DataPrefetcher
    >>> batches = [(torch.zeros(2), torch.ones(2))] * 3
    >>> len(list(DataPrefetcher(batches, stop_after=2)))
    2
    """

    def __init__(
        self,
        loader: Any,
        stop_after: int | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if stop_after is not None and stop_after < 0:
            raise InputError(
                f"stop_after={stop_after} is negative: give 0 or more batches, or None"
            )
        self.loader = loader
        self.stop_after = stop_after
        self.device = device

    def __len__(self) -> int:
        batches = len(self.loader)
        return batches if self.stop_after is None else min(batches, self.stop_after)

    def __getattr__(self, name: str) -> Any:
        if name == "loader":  # not yet set, while being unpickled
            raise AttributeError(name)
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        batches = islice(self.loader, self.stop_after)
        device = torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if device.type == "cuda":
            return _one_ahead(batches, device)
        return (tuple(_moved(part, device) for part in batch) for batch in batches)


def _one_ahead(batches: Iterable[Any], device: torch.device) -> Iterator[tuple[Any, ...]]:
    stream = torch.cuda.Stream(device)

    def copied() -> Iterator[tuple[Any, ...]]:
        for batch in batches:
            with torch.cuda.stream(stream):
                copy = tuple(_moved(part, device) for part in batch)
            yield copy

    copies = copied()
    following = next(copies, None)
    while following is not None:
        current = torch.cuda.current_stream(device)
        current.wait_stream(stream)
        batch = following
        # The allocator must not hand out this memory again before the user's stream is done.
        _with_each(methodcaller("record_stream", current), batch)
        following = next(copies, None)
        yield batch


def _moved(value: Any, device: torch.device) -> Any:
    return _with_each(lambda tensor: tensor.to(device, non_blocking=True), value)


def _with_each(change: Callable[[torch.Tensor], Any], value: Any) -> Any:
    """The same, with each of its tensors changed."""
    inside = partial(_with_each, change)
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: inside(entry) for key, entry in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(inside, value))
    return type(value)(map(inside, value)) if isinstance(value, (tuple, list)) else value
