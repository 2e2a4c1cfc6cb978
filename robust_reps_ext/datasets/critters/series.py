"""A series of critters: which image is which, and drawing them in one process or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index

import joblib
import numpy as np
from tqdm import tqdm

from ...runtime.errors import InputError
from .drawing import CLASSES, COATS, HUES, TEXTURES, Factors, draw_one
from .painting import Pixels

__all__ = ["SIZES", "Series", "picture_rng"]

SIZES = (24, 512)

# Each stream draws from random numbers of its own.
_STREAMS = {"free": 0, "train": 1, "val": 2, "imagenet train": 3, "imagenet val": 4}
_PICTURE, _TURN, _COAT = 0, 1, 2  # what a random number is for
_CHUNK = 256


@dataclass(frozen=True)
class Series:
    """`n` critters of one stream; image i depends on everything here but `n`.

    Raises
    ------
    InputError
        If a number is out of its range.
    """

    n: int
    seed: int = 0
    size: int = 64
    stream: str = "free"
    classes: Sequence[int] = tuple(range(len(CLASSES)))
    textures: Sequence[int] = tuple(range(len(TEXTURES)))
    hues: Sequence[int] = tuple(range(len(HUES)))

    def __post_init__(self) -> None:
        if index(self.n) < 1:
            raise InputError(f"n={self.n} critters cannot be drawn: ask for 1 or more")
        if index(self.seed) < 0:
            raise InputError(f"seed={self.seed} is negative: choose 0 or more")
        if not SIZES[0] <= index(self.size) <= SIZES[1]:
            low, high = SIZES
            raise InputError(f"size={self.size} pixels is out of range: choose {low} to {high}")
        for field, names in (("classes", CLASSES), ("textures", TEXTURES), ("hues", HUES)):
            object.__setattr__(self, field, _allowed(field, getattr(self, field), names))

    def fine_labels(self) -> list[int]:
        """The fine label of every image: classes take turns, and so do the coats of each class."""
        coats = [texture * len(HUES) + hue for texture in self.textures for hue in self.hues]
        labels: list[int] = []
        for turn in range(-(-self.n // len(self.classes))):
            cycle, step = divmod(turn, len(coats))
            if step == 0:
                orders = {
                    label: self._rng(_COAT, cycle * len(CLASSES) + label).permutation(coats)
                    for label in self.classes
                }
            turns = self._rng(_TURN, turn).permutation(self.classes)
            labels += [int(label) * COATS + int(orders[label][step]) for label in turns]
        return labels[: self.n]

    def draw(self) -> tuple[Pixels, tuple[Factors, ...]]:
        """Draw all; return pixels (n, size, size, 3) and factors. Long series use every core."""
        labels = self.fine_labels()
        starts = range(0, self.n, _CHUNK)
        cores = joblib.cpu_count() if self.n >= 6 * _CHUNK else 1
        chunks = joblib.Parallel(n_jobs=cores, return_as="generator")(
            joblib.delayed(self._draw_some)(start, labels[start : start + _CHUNK])
            for start in starts
        )
        bar = tqdm(chunks, "drawing critters", len(starts), disable=cores == 1, leave=False)
        pixels = np.empty((self.n, self.size, self.size, 3), dtype=np.uint8)
        factors: list[Factors] = []
        for some, records in bar:
            pixels[len(factors) : len(factors) + len(records)] = some
            factors += records
        return pixels, tuple(factors)

    def _draw_some(self, start: int, labels: list[int]) -> tuple[Pixels, list[Factors]]:
        drawn = [
            draw_one(picture_rng(self.seed, self.stream, start + i), label, self.size)
            for i, label in enumerate(labels)
        ]
        return np.stack([pixels for pixels, _ in drawn]), [factors for _, factors in drawn]

    def _rng(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, _STREAMS[self.stream], purpose, number])


def picture_rng(seed: int, stream: str, number: int) -> np.random.Generator:
    """The generator that picture `number` of a stream is drawn from."""
    return np.random.default_rng([seed, _STREAMS[stream], _PICTURE, number])


def _allowed(field: str, chosen: Sequence[int], names: Sequence[str]) -> tuple[int, ...]:
    numbers = tuple(sorted({index(number) for number in chosen}))
    wrong = [number for number in numbers if not 0 <= number < len(names)]
    if wrong or not numbers:
        known = ", ".join(f"{i} {name}" for i, name in enumerate(names))
        raise InputError(f"{field}={list(chosen)} cannot be drawn: choose from {known}")
    return numbers
