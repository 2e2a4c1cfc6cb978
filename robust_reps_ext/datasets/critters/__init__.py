"""Critters: small drawn animals in nine classes, whose texture and hue tell nothing of the class.

`draw` makes images with their labels and every factor they were drawn from; `CritterImages` is the
same as a torchvision-style data set, and `CrittersDataSet` and `CrittersFineDataSet` are what
`robustness` knows as ``critters`` and ``critters_fine``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .drawing import CLASSES, COATS, DATA_VERSION, FINE_CLASSES, HUES, TEXTURES, Factors
from .images import CritterImages
from .series import Series

if TYPE_CHECKING:
    from .dataset import CrittersDataSet, CrittersFineDataSet

__all__ = [
    "CLASSES",
    "COATS",
    "DATA_VERSION",
    "FINE_CLASSES",
    "HUES",
    "TEXTURES",
    "CritterImages",
    "Critters",
    "CrittersDataSet",
    "CrittersFineDataSet",
    "Factors",
    "coarse_labels",
    "draw",
]


@dataclass(frozen=True)
class Critters:
    """Images with their labels and factors.

    Attributes
    ----------
    images : torch.Tensor
        (N, 3, size, size), uint8, 0 to 255.
    labels : torch.Tensor
        (N,), int64, indices into `CLASSES`.
    fine_labels : torch.Tensor
        (N,), int64, indices into `FINE_CLASSES`.
    factors : tuple of Factors
        What each image was drawn from.
    """

    images: torch.Tensor
    labels: torch.Tensor
    fine_labels: torch.Tensor
    factors: tuple[Factors, ...]

    def __repr__(self) -> str:
        return f"{len(self)} Critters of {self.images.shape[-1]} pixels"

    def __len__(self) -> int:
        return len(self.factors)


def draw(
    n: int,
    *,
    seed: int = 0,
    size: int = 64,
    classes: Sequence[int] | None = None,
    textures: Sequence[int] | None = None,
    hues: Sequence[int] | None = None,
) -> Critters:
    """Draw `n` critters.

    Image i depends on `seed`, i, `size` and the allowed classes, textures and hues alone, so a
    longer series begins with the shorter one; another size shows the same scenes. Classes take
    turns in shuffled rounds: none leads another by more than one image, and within a class the
    same holds for texture and hue together.

    Parameters
    ----------
    n : int
        How many, at least 1.
    seed : int, default 0
        Not negative.
    size : int, default 64
        Height and width in pixels, 24 to 512.
    classes, textures, hues : sequence of int, optional
        Allowed indices into `CLASSES`, `TEXTURES` and `HUES`; all of them by default.

    Returns
    -------
    Critters
        Images, nine-way and 162-way labels, and factors.

    Raises
    ------
    InputError
        If a number is out of its range.

    Examples
    --------
    Twenty striped green frogs:

    >>> frogs = draw(20, classes=[2], textures=[1], hues=[2])
    >>> frogs.images.shape, FINE_CLASSES[frogs.fine_labels[0]]
    (torch.Size([20, 3, 64, 64]), 'frog, stripes, green')
    """
    series = Series(
        n,
        seed,
        size,
        classes=range(len(CLASSES)) if classes is None else classes,
        textures=range(len(TEXTURES)) if textures is None else textures,
        hues=range(len(HUES)) if hues is None else hues,
    )
    pixels, factors = series.draw()
    return Critters(
        images=torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))),
        labels=torch.tensor([record.label for record in factors]),
        fine_labels=torch.tensor([record.fine_label for record in factors]),
        factors=factors,
    )


def coarse_labels() -> torch.Tensor:
    """(162,), int64: which of `CLASSES` each of `FINE_CLASSES` is, such as `evaluate` groups by.

    Examples
    --------
    >>> from robust_reps_ext.datasets.critters import CLASSES, FINE_CLASSES, coarse_labels
    >>> FINE_CLASSES[40], CLASSES[coarse_labels()[40]]
    ('frog, plain, blue', 'frog')
    """
    return torch.arange(len(FINE_CLASSES)) // COATS


def __getattr__(name: str) -> Any:
    # Upstream takes seconds to import, and drawing does without it.
    if name in ("CrittersDataSet", "CrittersFineDataSet"):
        from . import dataset

        return getattr(dataset, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
