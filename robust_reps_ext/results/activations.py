"""Which images activate each coordinate most and least: the result, and its rows in a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..runtime.errors import InputError
from .figures import Channels
from .result import Result, spread

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["Activations", "Extreme", "from_rows", "to_rows"]


@dataclass(frozen=True, repr=False)
class Extreme:
    """The k images at one end, for each of C coordinates, the most extreme first.

    Of images with equal values, the one that comes first in the data does here too.

    Attributes
    ----------
    images
        (C, k, channels, H, W); (C, k, 0), which holds nothing, where they are not kept.
    value
        (C, k), R(x)_i.
    index
        (C, k), position in the data.
    label
        (C, k), the data's label, -1 where the data has none.
    """

    images: Tensor
    value: Tensor
    index: Tensor
    label: Tensor

    def __repr__(self) -> str:
        coordinates, k = self.value.shape
        return f"Extreme of {coordinates} coordinates, {k} images each, {spread(self.value)}"


@dataclass(frozen=True, repr=False)
class Activations(Result):
    """The images that activate each coordinate most and least.

    Attributes
    ----------
    coordinates
        (C,), as asked for.
    most, least
        The two ends.
    seen
        How many images were looked at.
    k
        How many are kept at each end, if there are as many.
    """

    coordinates: Tensor
    most: Extreme
    least: Extreme
    seen: int
    k: int

    def figure(self, *, channels: Channels | None = None) -> Figure:
        """For each coordinate a row of the images at both ends, the most extreme first: Fig. 8.

        `channels` are those that are shown, see `robust_reps_ext.results.figures.image_grid`.

        Raises
        ------
        InputError
            If the images were not kept.
        """
        from .captions import two_digits
        from .figures import Row, image_grid

        if self.most.images.dim() != 5:
            raise InputError("the images were not kept: call most_activating with keep_images=True")
        rows = []
        for i, coordinate in enumerate(self.coordinates.tolist()):
            values = {"most": self.most.value[i].tolist(), "least": self.least.value[i].tolist()}
            told = [(end, one) for end, some in values.items() for one in some]
            captions = [f"{end}: {two_digits(one, zeros=True)}" for end, one in told]
            images = torch.cat([self.most.images[i], self.least.images[i]])
            rows.append(Row(images, f"coordinate {coordinate}", captions))
        return image_grid(rows, columns=len(rows[0].images), channels=channels)

    def to_frame(self) -> pandas.DataFrame:
        """A row for each image at each end of each coordinate; rank 0 is the most extreme one."""
        import pandas

        rows = [
            (coordinate, end, rank, *one)
            for i, coordinate in enumerate(self.coordinates.tolist())
            for end, kept in {"most": self.most, "least": self.least}.items()
            for rank, one in enumerate(_rows(kept, i))
        ]
        names = ["coordinate", "end", "rank", "value", "index", "label"]
        return pandas.DataFrame(rows, columns=names)

    def _told(self) -> tuple[str, str]:
        count = len(self.coordinates)
        return (
            f"Activations of {count} coordinates, {self.k} of {self.seen} images at each end"
        ), f"most {spread(self.most.value)}; least {spread(self.least.value)}"

    def _check(self) -> None:
        shape = self.most.value.shape
        for one in (self.most, self.least):
            rows = {tuple(getattr(one, name).shape) for name in ("value", "index", "label")}
            if rows != {tuple(shape)} or one.images.shape[:2] != shape:
                raise ValueError("its ends do not fit each other")
            if one.images.dim() not in (3, 5) or one.index.is_floating_point():
                raise ValueError("it holds no images or no indices")
        if len(shape) != 2 or self.coordinates.shape != shape[:1]:
            raise ValueError(f"{len(self.coordinates)} coordinates with ends of {tuple(shape)}")


def _rows(kept: Extreme, i: int) -> Iterator[tuple[Any, ...]]:
    """Value, index and label of each image at one end of the i-th coordinate."""
    columns = (one[i].tolist() for one in (kept.value, kept.index, kept.label))
    return zip(*columns, strict=True)


def to_rows(found: Activations) -> list[dict[str, Any]]:
    """For each coordinate what was found, as JSON holds it: without images."""
    rows: list[dict[str, Any]] = [
        {"coordinate": i, "seen": found.seen} for i in found.coordinates.tolist()
    ]
    for end, kept in {"most": found.most, "least": found.least}.items():
        for name in ("value", "index", "label"):
            for row, values in zip(rows, getattr(kept, name).tolist(), strict=True):
                row[f"{end}_{name}"] = values
    return rows


def from_rows(rows: Sequence[Mapping[str, Any]], k: int) -> Activations:
    """What `to_rows` was given, without its images."""
    most, least = (
        Extreme(
            torch.empty(len(rows), len(rows[0][f"{end}_index"]), 0),
            torch.tensor([row[f"{end}_value"] for row in rows], dtype=torch.float32),
            torch.tensor([row[f"{end}_index"] for row in rows]),
            torch.tensor([row[f"{end}_label"] for row in rows]),
        )
        for end in ("most", "least")
    )
    coordinates = torch.tensor([int(row["coordinate"]) for row in rows])
    return Activations(coordinates, most, least, seen=int(rows[0]["seen"]), k=k)
