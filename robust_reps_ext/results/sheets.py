"""Where images and texts of a figure stand: in inches from the lower left corner, on whole dots."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .captions import fitted, lines_of, width_of

__all__ = ["IMAGE_HEIGHT", "LINE_HEIGHT", "Block", "Line", "Sheet", "Text", "fitting"]

# In inches; the size of text is in points, of which an inch has 72.
IMAGE_HEIGHT = 1.1
# Of a figure whose width is given: smaller ones go on in blocks below, where they may.
LEAST_HEIGHT = 0.5
GAP = 0.045
MARGIN = 0.08
LABEL_GAP = 0.1
TITLE_SIZE = 10.0
LABEL_SIZE = 9.0
CAPTION_SIZE = 7.0
LINE_HEIGHT = 1.3
BLOCK_GAP = 0.22
# An image of this many pixels or more is shown pixel by pixel, a smaller one some times larger.
FULL_SIZE = 200
MOST_DOTS_PER_INCH = 300

Box = tuple[float, float, float, float]
"""Left, bottom, width and height, as shares of the figure."""

Written = dict[str, tuple[list[str], float]]
"""The heads and captions of a line, and how large they are."""


@dataclass(frozen=True)
class Line:
    """A row of images (N, H, W, 1 or 3), and its texts."""

    images: np.ndarray
    label: str
    captions: Sequence[str] | None
    heads: Sequence[str] | None


@dataclass(frozen=True)
class Block:
    """Lines that stand together, so many images side by side."""

    title: str
    lines: Sequence[Line]
    columns: int


@dataclass(frozen=True)
class Text:
    """Words at a place, which is a share of the figure's width and height."""

    x: float
    y: float
    words: str
    size: float
    color: str = "black"
    ha: str = "left"
    va: str = "top"


class Sheet:
    """A figure of blocks, one under the other.

    Attributes
    ----------
    width, height, dpi
        In inches, and dots for each.
    image_height
        In inches: `IMAGE_HEIGHT`, or less where all is to be no wider than `most_wide`.
    images
        Where each image stands, and the image, block by block and column by column.
    texts
        Everything that is written.
    """

    def __init__(self, blocks: Sequence[Block], most_wide: float | None = None) -> None:
        lines = [line for block in blocks for line in block.lines]
        largest = max(line.images.shape[1] for line in lines)
        times = max(1, round(FULL_SIZE / largest))
        widest = max(line.images.shape[2] / line.images.shape[1] for line in lines)
        labels = max(width_of(line.label, LABEL_SIZE) for line in lines)
        most = max(block.columns for block in blocks)
        self.image_height, self._title = IMAGE_HEIGHT, TITLE_SIZE
        if most_wide is not None:
            room = most_wide - 2 * MARGIN - (labels + LABEL_GAP if labels else 0.0)
            # Each cell and gap may be a dot wider than it is meant.
            cell = room / most - GAP - 2 / MOST_DOTS_PER_INCH
            self.image_height = min(IMAGE_HEIGHT, max(0.05, cell / widest))
            title = max(width_of(block.title, TITLE_SIZE) for block in blocks)
            self._title *= min(1.0, (most_wide - 3 * MARGIN) / title) if title else 1.0
        self.dpi = min(MOST_DOTS_PER_INCH, times * largest / self.image_height)
        self._cell = self._whole(self.image_height * widest)
        self._gap = self._whole(GAP)
        self._margin = self._whole(MARGIN)
        self._left = self._margin + (self._whole(labels + LABEL_GAP) if labels else 0.0)
        content = self._left + most * (self._cell + self._gap) - self._gap
        titles = max(width_of(block.title, self._title) for block in blocks)
        self.width = max(content, self._margin + self._whole(titles)) + self._margin
        self.images: list[tuple[Box, np.ndarray]] = []
        self.texts: list[Text] = []
        # Down from the top, before it is known how high all is.
        self._down = self._margin
        for i, block in enumerate(blocks):
            self._down += self._whole(BLOCK_GAP) if i else 0.0
            self._place(block)
        self.height = self._down - self._gap + self._margin
        self.images = [(self._upright(box), image) for box, image in self.images]
        self.texts = [self._upright_text(text) for text in self.texts]

    def _place(self, block: Block) -> None:
        if block.title:
            self._write(block.title, self._margin, self._title)
            self._down += self._whole(self._title * LINE_HEIGHT * 1.25 / 72)
        count = len(block.lines[0].images)
        texts = [
            {
                name: fitted(given, self._cell, CAPTION_SIZE)
                for name in ("heads", "captions")
                if (given := getattr(line, name)) is not None
            }
            for line in block.lines
        ]
        for first in range(0, count, block.columns):
            if first and len(block.lines) > 1:
                self._down += self._whole(BLOCK_GAP)
            shown = range(first, min(first + block.columns, count))
            places = list(self._tops(texts))
            for column, index in enumerate(shown):
                for line, written, top in zip(block.lines, texts, places, strict=True):
                    left = self._left + column * (self._cell + self._gap)
                    self.images.append(
                        ((left, top, self._cell, self.image_height), line.images[index])
                    )
                    self._under_and_over(written, index, left, top)
            for line, top in zip(block.lines, places, strict=True):
                if line.label:
                    at = top + self.image_height / 2
                    self.texts.append(
                        Text(self._left - LABEL_GAP, at, line.label, LABEL_SIZE, ha="right",
                             va="center")
                    )  # fmt: skip

    def _tops(self, texts: Sequence[Written]) -> Iterator[float]:
        """Where the images of each line begin, counted from the top."""
        for written in texts:
            if "heads" in written:
                self._down += self._whole(_height(written["heads"][0]))
            yield self._down
            under = _height(written["captions"][0]) if "captions" in written else 0.0
            self._down += self._whole(self.image_height + under) + self._gap

    def _under_and_over(self, written: Written, index: int, left: float, top: float) -> None:
        room = 0.25 * CAPTION_SIZE / 72
        for name, (words, size) in written.items():
            under = name == "captions"
            at = top + self.image_height + room if under else top - room
            self.texts.append(
                Text(
                    left + self._cell / 2,
                    at,
                    words[index],
                    size,
                    "#333333",
                    ha="center",
                    va="top" if under else "bottom",
                )
            )

    def _write(self, words: str, left: float, size: float) -> None:
        self.texts.append(Text(left, self._down, words, size))

    def _upright(self, box: Box) -> Box:
        left, top, width, height = box
        bottom = self.height - top - height
        return left / self.width, bottom / self.height, width / self.width, height / self.height

    def _upright_text(self, text: Text) -> Text:
        y = (self.height - text.y) / self.height
        return Text(text.x / self.width, y, text.words, text.size, text.color, text.ha, text.va)

    def _whole(self, inches: float) -> float:
        return math.ceil(inches * self.dpi - 1e-6) / self.dpi


def fitting(blocks: Callable[[int], Sequence[Block]], columns: int, most_wide: float) -> Sheet:
    """The blocks on a sheet that is no wider, with as many columns as leave images visible.

    Parameters
    ----------
    blocks
        From the number of columns of what wraps.
    columns
        The most.
    most_wide
        In inches.
    """
    best = Sheet(blocks(columns), most_wide)
    for fewer in range(columns - 1, 0, -1):
        if best.image_height >= LEAST_HEIGHT:
            break
        other = Sheet(blocks(fewer), most_wide)
        best = other if other.image_height > best.image_height else best
    return best


def _height(texts: Sequence[str]) -> float:
    return (lines_of(texts) * LINE_HEIGHT + 0.5) * CAPTION_SIZE / 72
