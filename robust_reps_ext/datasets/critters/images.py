"""Critters as a torchvision-style data set, drawn at first use and kept in a file."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from ...runtime.environment import cache_folder
from ...runtime.errors import InputError
from ...runtime.files import writing
from ..augmentation import transformed
from .drawing import COATS, DATA_VERSION, Factors
from .series import Series

__all__ = ["CritterImages"]

_UPSTREAM_DEFAULT = Path("/tmp")  # what `robustness.main` passes where --data is not given

_log = logging.getLogger(__name__)


class CritterImages(Dataset[tuple[Any, int]]):
    """Critters with their labels, in the manner of `torchvision.datasets.CIFAR10`.

    Parameters
    ----------
    root
        Folder to keep the images in, made if need be. None, an empty string or upstream's default
        for ``--data`` stands for the user's cache folder.
    train
        The training series, else the validation series. The two share no image.
    download
        Draw the images if they are not there yet. (The name is torchvision's.)
    transform
        Applied to each PIL image; where it has a method `batch`, to a whole batch of a loader at
        once, see `robust_reps_ext.datasets.augmentation.transformed`.
    fine
        Labels of 162 fine classes instead of nine.
    n_train, n_val
        Images in the two series; by default 100 and 10 of each fine class.
    seed, size
        As for `draw`.

    Attributes
    ----------
    data : numpy.ndarray
        (N, size, size, 3), uint8.
    targets : list of int
        Labels.

    Raises
    ------
    InputError
        If the folder cannot be used, a number is out of range, or the images are not there and
        may not be drawn.

    Examples
    --------
    >>> import tempfile
    >>> images = CritterImages(tempfile.mkdtemp(), train=False, n_val=9)
    >>> image, label = images[0]
    >>> len(images), image.size
    (9, (64, 64))
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        download: bool = True,
        transform: Callable[[Image.Image], Any] | None = None,
        *,
        fine: bool = False,
        n_train: int = 16_200,
        n_val: int = 1_620,
        seed: int = 0,
        size: int = 64,
    ) -> None:
        self.transform = transform
        split, n = ("train", n_train) if train else ("val", n_val)
        series = Series(n, seed, size, split)
        name = f"critters-v{DATA_VERSION}-{split}-n{n}-seed{seed}-{size}px.npz"
        self.path = _folder(root) / name
        kept = _read(self.path, series)
        if kept is None:
            if not download:
                raise InputError(f"no critters at {self.path}: leave download on to draw them")
            kept = _keep(self.path, series)
        self.data, labels, self._records = kept
        self.targets: list[int] = (labels if fine else labels // COATS).tolist()

    @property
    def factors(self) -> tuple[Factors, ...]:
        """What each image was drawn from."""
        return tuple(Factors(**record) for record in json.loads(self._records.tobytes()))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return self.__getitems__([i])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, int]]:
        """What loaders ask for: the images of one batch."""
        pixels = self.data[list(indices)].transpose(0, 3, 1, 2)
        labels = [self.targets[i] for i in indices]
        return list(zip(transformed(self.transform, pixels), labels, strict=True))


_Kept = tuple[np.ndarray, np.ndarray, np.ndarray]  # pixels, fine labels, factors as JSON


def _folder(root: str | os.PathLike[str] | None) -> Path:
    if root is None or not os.fspath(root) or Path(root) == _UPSTREAM_DEFAULT:
        return cache_folder()
    return Path(root).expanduser()


def _read(path: Path, series: Series) -> _Kept | None:
    try:
        with path.open("rb") as file, np.load(file) as kept:
            pixels, labels, records = kept["pixels"], kept["fine_labels"], kept["factors"]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): give another folder"
        ) from error
    # Of a damaged file come errors of zip, zlib, numpy, Python's syntax and its tokens.
    except Exception as error:
        _log.warning("%s is damaged (%s): drawing its critters again", path, error)
        return None
    if pixels.shape != (series.n, series.size, series.size, 3) or len(labels) != series.n:
        _log.warning("%s holds other images than its name says: drawing them again", path)
        return None
    return pixels, labels, records


def _keep(path: Path, series: Series) -> _Kept:
    """Draw the series and write it under its name once it is complete."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"critters cannot be kept in {path.parent} ({error.strerror}): give another folder"
        ) from error
    with writing(path, "give another folder for the critters") as file:
        pixels, factors = series.draw()
        labels = np.array([record.fine_label for record in factors])
        text = json.dumps([vars(record) for record in factors]).encode()
        records = np.frombuffer(text, dtype=np.uint8)
        np.savez(file, pixels=pixels, fine_labels=labels, factors=records)
    return pixels, labels, records
