"""Loaders made from another loader: replaces those of `robustness.loaders`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

__all__ = ["LambdaLoader", "PerEpochLoader", "TransformedLoader"]


class _Wrapper:
    """Delegates what it lacks to `data_loader`; gives a new epoch to each loop over it."""

    data_loader: Any

    def __len__(self) -> int:
        return len(self.data_loader)

    def __getattr__(self, name: str) -> Any:
        if name == "data_loader":  # not yet set, while being unpickled
            raise AttributeError(name)
        return getattr(self.data_loader, name)

    def __iter__(self) -> Iterator[Any]:
        return self._epoch()

    def __next__(self) -> Any:
        """Next batch of an epoch that the wrapper itself walks through, as upstream allows."""
        if "_walk" not in self.__dict__:
            self._walk = self._epoch()
        try:
            return next(self._walk)
        except StopIteration:
            del self._walk
            raise

    def _epoch(self) -> Iterator[Any]:
        raise NotImplementedError


class LambdaLoader(_Wrapper):
    """Apply a function to every batch on its way out.

    Parameters
    ----------
    loader
        Any iterable of batches.
    func
        From the parts of a batch to the new batch: ``func(images, labels) -> (images, labels)``.
    """

    def __init__(self, loader: Any, func: Callable[..., Any]) -> None:
        self.data_loader = loader
        self.func = func

    def _epoch(self) -> Iterator[Any]:
        for batch in self.data_loader:
            yield self.func(*batch)


class PerEpochLoader(_Wrapper):
    """Apply a function to the whole data set, anew for each epoch, and hold it in memory.

    Parameters
    ----------
    loader
        A `DataLoader`; its `num_workers` and `batch_size` are used again.
    func
        From (images, labels) to (images, labels), of the same shapes but for the batch's length.
    do_tqdm
        Whether to show a progress bar while computing.
    """

    def __init__(self, loader: Any, func: Callable[..., Any], do_tqdm: bool = True) -> None:
        self.orig_loader = loader
        self.data_loader = loader
        self.func = func
        self.do_tqdm = do_tqdm

    def compute_loader(self) -> DataLoader[Any]:
        """Compute one epoch's data set."""
        return TransformedLoader(self.orig_loader, self.func, None, do_tqdm=self.do_tqdm)

    def _epoch(self) -> Iterator[Any]:
        self.data_loader = self.compute_loader()
        yield from self.data_loader


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
) -> DataLoader[Any]:
    """Apply a function to the whole data set once, and make a loader of what comes out.

    Parameters
    ----------
    loader
        A `DataLoader` of (images, labels).
    func
        From (images, labels) to (images, labels), of the same shapes but for the batch's length.
    transforms
        Applied to each image, as a PIL image, whenever it is loaded; none if ``None``.
    workers, batch_size
        As for `DataLoader`; those of `loader` by default.
    do_tqdm
        Whether to show a progress bar while computing.
    augment
        Keep the original images too.
    fraction
        Share of the batches, 0 to 1, that `func` is applied to; the rest stays as it is.
    shuffle
        Whether the new loader shuffles.

    Returns
    -------
    DataLoader
        Over a data set held in memory, on the CPU.
    """
    from robustness.tools.folder import TensorDataset

    images: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    for index, batch in enumerate(tqdm(loader) if do_tqdm else loader):
        transformed = index < fraction * len(loader)
        if augment or not transformed:
            images.append(batch[0].cpu())
            labels.append(batch[1].cpu())
        if transformed:
            new_images, new_labels = func(*batch)
            images.append(new_images.cpu())
            labels.append(new_labels.cpu())
    return DataLoader(
        TensorDataset(torch.cat(images), torch.cat(labels), transform=transforms),
        num_workers=loader.num_workers if workers is None else workers,
        batch_size=loader.batch_size if batch_size is None else batch_size,
        shuffle=shuffle,
    )
