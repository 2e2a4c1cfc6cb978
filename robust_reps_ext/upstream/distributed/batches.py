"""Each rank's part of the batches: together the ranks see what one process would see."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from functools import partial
from typing import Any, NamedTuple, cast

from torch.utils.data import BatchSampler, Sampler

from ...runtime import random_state
from .. import distributed
from ..data.loader import Loader, leave_interrupts_to_the_trainer

__all__ = ["RankBatches", "Share", "parts_of", "share_of"]


class Share(NamedTuple):
    """What a rank has of one batch of all ranks together.

    Attributes
    ----------
    images
        How many are this rank's; 0 if it was lent one so that it takes part.
    weight
        What its mean loss is multiplied by, so that the mean over ranks is the mean over images.
    least
        How many images the rank with the fewest computes on.
    """

    images: int
    weight: float
    least: int


class RankBatches(Sampler[list[int]]):
    """Of each batch every so many-th image, beginning with the rank's number.

    Parameters
    ----------
    batches
        The batches of all ranks together, in the same order on each.
    rank, size
        This rank, and how many there are.
    lend
        For the ranks that the last batch leaves without an image: True lends them its first, as
        training needs every rank in every step; False leaves the batch out.

    Examples
    --------
    >>> from torch.utils.data import BatchSampler
    >>> batches = BatchSampler(range(7), batch_size=4, drop_last=False)
    >>> [list(RankBatches(batches, rank, 2, lend=True)) for rank in (0, 1)]
    [[[0, 2], [4, 6]], [[1, 3], [5]]]
    """

    def __init__(self, batches: BatchSampler, rank: int, size: int, *, lend: bool) -> None:
        self.batch_sampler = batches
        self.rank, self.size, self.lend = rank, size, lend

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batch_sampler:
            mine = batch[self.rank :: self.size]
            if mine or self.lend:
                yield mine or batch[:1]

    def __len__(self) -> int:
        batches = len(self.batch_sampler)
        if self.lend:
            return batches
        return sum(self._images_in(step) > self.rank for step in range(batches))

    def share(self, step: int) -> Share:
        """What this rank has of batch `step`."""
        images = self._images_in(step)
        mine = len(range(self.rank, images, self.size))
        return Share(mine, mine * self.size / images, max(1, images // self.size))

    def _images_in(self, step: int) -> int:
        total, batch = len(cast(Sized, self.batch_sampler.sampler)), self.batch_sampler.batch_size
        return min(batch, total - step * batch)


def parts_of(loaders: tuple[Any, Any]) -> tuple[Any, Any]:
    """This rank's part of the training loader (or None) and of the validation loader.

    The order of all images together is the one that a single process has under the same seed. In
    validation each image is one rank's, and none is repeated.
    """
    if not distributed.active():
        return loaders
    train_loader, val_loader = loaders
    return train_loader and _part(train_loader, lend=True), _part(val_loader, lend=False)


def share_of(loader: Any, step: int, images: int) -> Share:
    """The rank's share of a batch of `images`; the whole batch for loaders made elsewhere."""
    batches = getattr(loader, "batch_sampler", None)
    return batches.share(step) if isinstance(batches, RankBatches) else Share(images, 1.0, images)


def _part(loader: Loader, *, lend: bool) -> Loader:
    rank, size = distributed.rank(), distributed.size()
    return Loader(
        loader.dataset,
        batch_sampler=RankBatches(cast(BatchSampler, loader.batch_sampler), rank, size, lend=lend),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        generator=loader.generator,
        worker_init_fn=partial(_begin_worker, rank),
    )


def _begin_worker(rank: int, worker: int) -> None:
    leave_interrupts_to_the_trainer(worker)
    random_state.seed_worker(rank)
