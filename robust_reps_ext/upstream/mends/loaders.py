"""Mends `robustness.loaders`: repeatable loaders, and the wrappers around them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from itertools import count
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..data.loader import make_loaders
from ..mend import Mend, bind, derive, mentions

if TYPE_CHECKING:
    from robustness.loaders import LambdaLoader as UpstreamLambda
    from robustness.loaders import PerEpochLoader as UpstreamPerEpoch
else:
    UpstreamLambda = UpstreamPerEpoch = object

__all__ = ["MENDS"]


class _Epochs:
    """Each loop over a wrapper is an epoch of its own; `next` walks through one beside them."""

    data_loader: Any
    _walk: Iterator[Any] | None = None

    def __getattr__(self, name: str) -> Any:
        if name == "data_loader":  # not yet set, while being unpickled
            raise AttributeError(name)
        return getattr(self.data_loader, name)

    def __iter__(self) -> Iterator[Any]:
        return self._epoch()

    def __next__(self) -> Any:
        self._walk = self._walk or self._epoch()
        try:
            return next(self._walk)
        except StopIteration:
            self._walk = None
            raise

    def _epoch(self) -> Iterator[Any]:
        raise NotImplementedError


class LambdaLoader(_Epochs, UpstreamLambda):
    """Takes batches of any number of parts."""

    def __init__(self, loader: Any, func: Callable[..., Any]) -> None:
        self.data_loader = loader
        self.func = func

    def _epoch(self) -> Iterator[Any]:
        for batch in self.data_loader:
            yield self.func(*batch)


class PerEpochLoader(_Epochs, UpstreamPerEpoch):
    """Computes an epoch when it begins."""

    def __init__(self, loader: Any, func: Callable[..., Any], do_tqdm: bool = True) -> None:
        self.orig_loader = self.data_loader = loader
        self.func = func
        self.do_tqdm = do_tqdm

    def _epoch(self) -> Iterator[Any]:
        self.data_loader = self.compute_loader()
        yield from self.data_loader


def _transform_the_exact_share(module: ModuleType) -> None:
    upstream = module.TransformedLoader

    @functools.wraps(upstream)
    def TransformedLoader(
        loader: Any,
        func: Callable[..., Any],
        transforms: Callable[[Any], Any] | None,
        workers: int | None = None,
        batch_size: int | None = None,
        do_tqdm: bool = False,
        augment: bool = False,
        fraction: float = 1.0,
        shuffle: bool = True,
    ) -> Any:
        wanted, done = math.ceil(fraction * len(loader)), count()
        return upstream(
            loader,
            lambda *batch: func(*batch) if next(done) < wanted else batch,
            transforms,
            workers=loader.num_workers if workers is None else workers,
            batch_size=loader.batch_size if batch_size is None else batch_size,
            do_tqdm=do_tqdm,
            augment=augment,
            fraction=(wanted - 1) / len(loader),  # of the last one, which upstream takes in
            shuffle=shuffle,
        )

    bind(TransformedLoader=TransformedLoader)(module)


MENDS: tuple[Mend, ...] = (
    Mend(
        name="make_loaders",
        where="loaders.py:23",
        why="Order and augmentation cannot be fixed, a subset differs each time or is ignored.",
        present=mentions("make_loaders", "train_sample_count"),
        apply=bind(make_loaders=make_loaders),
    ),
    Mend(
        name="LambdaLoader",
        where="loaders.py:138",
        why="An epoch that was left early goes on in the next one, and only pairs are taken.",
        present=mentions("LambdaLoader.__next__", "loader"),
        apply=derive("LambdaLoader", LambdaLoader),
    ),
    Mend(
        name="PerEpochLoader",
        where="loaders.py:101",
        why="An epoch cannot be left early, and all is computed once more after the last.",
        present=mentions("PerEpochLoader.__next__", "compute_loader"),
        apply=derive("PerEpochLoader", PerEpochLoader),
    ),
    Mend(
        name="TransformedLoader",
        where="loaders.py:190",
        why="A fraction takes one batch too many; workers and batch_size have no usable default.",
        present=mentions("TransformedLoader", "enum_loader"),
        apply=_transform_the_exact_share,
    ),
)
