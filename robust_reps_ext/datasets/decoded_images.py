"""A data set of decoded image files: pixels from the cache, labels, and which are bad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..runtime.errors import InputError
from ..runtime.image_files import BadImageError
from ..upstream.data.bad_images import record_of
from .augmentation import transformed
from .decoded import Decoded, read_pixels

__all__ = ["DecodedImages"]


class DecodedImages(Dataset[Any]):
    """Images that were decoded once, see `robust_reps_ext.datasets.decoded`, with their labels.

    Parameters
    ----------
    kept
        The pixels, and which files could not be read.
    paths
        The files.
    targets
        Their labels.
    transform
        Applied to each PIL image; where it has a method `batch`, to a whole batch of a loader at
        once, see `robust_reps_ext.datasets.augmentation.transformed`.
    rows
        Where in `kept` each image is; default: in the order of `paths`.
    fit
        How the files were brought to their size; default: they were of that size.

    Attributes
    ----------
    targets : list of int
        Labels.
    paths : list of str
        The files.
    """

    def __init__(
        self,
        kept: Decoded,
        paths: Sequence[str],
        targets: Sequence[int],
        transform: Callable[..., Any] | None = None,
        *,
        rows: Sequence[int] | None = None,
        fit: str | None = None,
    ) -> None:
        self.transform = transform
        self.paths, self.targets = list(paths), list(targets)
        self._kept, self._fit = kept, fit
        every = range(len(self.paths)) if rows is None else rows
        self._rows = torch.tensor(list(every), dtype=torch.int64).numpy()

    @property
    def images(self) -> Tensor:
        """All images, (N, 3, H, W) of uint8, 0 to 255; those that cannot be read are black."""
        return torch.from_numpy(self._kept.pixels[self._rows])

    def good_pixels(self, indices: Sequence[int]) -> np.ndarray:
        """Of some images, those that could be read: (N, 3, H, W), uint8."""
        rows = self._rows[list(indices)]
        good: np.ndarray = self._kept.pixels[rows[~self._kept.bad[rows]]]
        return good

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> Any:
        return self.__getitems__([i])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """What loaders ask for: the images of one batch."""
        rows = self._rows[list(indices)]
        bad = self._kept.bad[rows]
        errors = [self._error(i) if lost else None for i, lost in zip(indices, bad, strict=True)]
        images = iter(transformed(self.transform, self._kept.pixels[rows[~bad]]))
        return [
            (next(images), self.targets[i]) if error is None else error
            for i, error in zip(indices, errors, strict=True)
        ]

    def _error(self, i: int) -> BadImageError:
        """Why an image could not be read; raised where the run is to stop at such."""
        path = self.paths[i]
        try:
            read_pixels(path, self._kept.pixels.shape[-1], self._fit)
        except BadImageError as error:
            if record_of(self).action == "stop":
                raise
            return BadImageError(str(error))
        raise InputError(
            f"{path} could not be read when the images were decoded, and now can: touch the file, "
            "and all are decoded again"
        )
