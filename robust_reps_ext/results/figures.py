"""Pictures for papers and reports: rows of images with their names and captions."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.errors import InputError
from ..runtime.files import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Channels", "Row", "as_colors", "image_grid", "save_figure"]

Channels = Sequence[int]
"""Which channels are shown as red, green and blue, or which one as grey."""

# In inches; the size of text is in points, of which an inch has 72.
IMAGE_HEIGHT = 1.1
GAP = 0.045
MARGIN = 0.08
LABEL_GAP = 0.1
LABEL_SIZE = 9.0
CAPTION_SIZE = 7.0
LINE_HEIGHT = 1.3
BLOCK_GAP = 0.22
# An image of this many pixels or more is shown pixel by pixel, a smaller one some times larger.
FULL_SIZE = 200
MOST_DOTS_PER_INCH = 300


@dataclass(frozen=True)
class Row:
    """One row of an image grid.

    Attributes
    ----------
    images
        (N, C, H, W) in [0, 1]: a torch tensor or a numpy array.
    label
        What the row shows; stands to its left, and may have several lines.
    captions
        One text under each image, (N,); default none.
    """

    images: Any
    label: str = ""
    captions: Sequence[str] | None = None


def image_grid(
    rows: Sequence[Row], *, columns: int = 16, channels: Channels | None = None
) -> Figure:
    """Rows of images one under the other, the first images of all rows in the first column.

    Parameters
    ----------
    rows
        At least one; all with the same number of images. Sizes and channels may differ.
    columns
        How many images stand side by side. What is more goes on in blocks below.
    channels
        Which three are shown as red, green and blue, or which one as grey. By default all of one or
        three; of two the first, of more the first three. Where those are not all, labels say so.

    Returns
    -------
    matplotlib.figure.Figure
        White, without axes. Images stand 1.1 inches high, every pixel a whole number of dots
        wide where they are small. No state of `pyplot` is touched.

    Raises
    ------
    InputError
        If a row is not made of such images or has no such channels, or the rows differ in their
        number.

    Examples
    --------
    >>> import numpy as np
    >>> from robust_reps_ext.results.figures import Row, image_grid
    >>> images = np.random.default_rng(0).random((4, 3, 64, 64))
    >>> figure = image_grid([Row(images, "result", captions=["0.1", "0.2", "0.3", "0.4"])])
    >>> len(figure.axes)
    4
    """
    from matplotlib.figure import Figure

    shown, labels = [], []
    for row in rows:
        images, left_out = _checked(row, channels)
        shown.append(images)
        labels.append("\n".join(part for part in (row.label, left_out) if part))
    rows = [replace(row, label=label) for row, label in zip(rows, labels, strict=True)]
    counts = {len(images) for images in shown}
    if len(counts) != 1 or counts == {0}:
        raise InputError(
            f"rows of {[len(images) for images in shown]} images: give rows of the same number, "
            "1 or more"
        )
    count = counts.pop()
    blocks = math.ceil(count / max(1, columns))
    columns = math.ceil(count / blocks)
    sheet = _Sheet(rows, shown, columns, blocks)
    figure = Figure(figsize=(sheet.width, sheet.height), dpi=sheet.dpi, facecolor="white")
    caption_sizes = [_caption_size(row.captions or (), sheet.cell_width) for row in rows]
    for index in range(count):
        block, column = divmod(index, columns)
        for line, (row, images) in enumerate(zip(rows, shown, strict=True)):
            left, bottom = sheet.corner(block, line, column)
            _draw(figure, images[index], sheet.box(left, bottom), sheet.dots_of(images))
            if row.captions is not None:
                _write(
                    figure,
                    (left + sheet.cell_width / 2) / sheet.width,
                    (bottom - 0.25 * CAPTION_SIZE / 72) / sheet.height,
                    row.captions[index],
                    size=caption_sizes[line],
                    color="#333333",
                    ha="center",
                    va="top",
                )
            if column == 0 and row.label:
                _write(
                    figure,
                    (left - LABEL_GAP) / sheet.width,
                    (bottom + IMAGE_HEIGHT / 2) / sheet.height,
                    row.label,
                    size=LABEL_SIZE,
                    color="black",
                    ha="right",
                    va="center",
                )
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG, PDF or SVG, whole or not at all.

    Equal figures give equal bytes: the file holds no date and no version.

    Raises
    ------
    InputError
        If the name ends otherwise, or the file cannot be written.
    """
    import matplotlib

    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    undated: dict[str, dict[str, None]] = {
        "png": {"Software": None},
        "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
        "svg": {"Creator": None, "Date": None},
    }
    if kind not in undated:
        raise InputError(f"cannot write a figure as {path.name!r}: end it in .png, .pdf or .svg")
    drawn = io.BytesIO()
    # Text stays text in a PDF; the names inside an SVG do not change from run to run.
    with matplotlib.rc_context({"pdf.fonttype": 42, "svg.hashsalt": "robust_reps_ext"}):
        figure.savefig(drawn, format=kind, dpi=figure.dpi, metadata=undated[kind])
    with writing(path, "choose another place") as file:
        file.write(drawn.getbuffer())
    return path


class _Sheet:
    """Where everything stands, in inches from the lower left corner, on whole dots."""

    def __init__(
        self, rows: Sequence[Row], shown: Sequence[np.ndarray], columns: int, blocks: int
    ) -> None:
        largest = max(images.shape[1] for images in shown)
        times = max(1, round(FULL_SIZE / largest))
        self.dpi = min(MOST_DOTS_PER_INCH, times * largest / IMAGE_HEIGHT)
        widest = max(images.shape[2] / images.shape[1] for images in shown)
        self.cell_width = self._whole(IMAGE_HEIGHT * widest)
        self._gap = self._whole(GAP)
        margin = self._whole(MARGIN)
        label_width = max(_width_of(row.label, LABEL_SIZE) for row in rows)
        self._left = margin + (self._whole(label_width + LABEL_GAP) if label_width else 0.0)
        steps = [self._whole(IMAGE_HEIGHT + _captions_height(row)) + self._gap for row in rows]
        self._block = sum(steps) + self._whole(BLOCK_GAP if len(rows) > 1 else 0.0)
        self._above = [sum(steps[:line]) for line in range(len(rows))]
        self.width = self._left + columns * (self.cell_width + self._gap) - self._gap + margin
        content = self._block * (blocks - 1) + sum(steps) - self._gap
        self.height = content + 2 * margin
        self._top = self.height - margin

    def corner(self, block: int, line: int, column: int) -> tuple[float, float]:
        left = self._left + column * (self.cell_width + self._gap)
        return left, self._top - block * self._block - self._above[line] - IMAGE_HEIGHT

    def box(self, left: float, bottom: float) -> tuple[float, float, float, float]:
        width, height = self.width, self.height
        return left / width, bottom / height, self.cell_width / width, IMAGE_HEIGHT / height

    def dots_of(self, images: np.ndarray) -> float:
        """How many dots high one pixel of `images` is drawn."""
        return self.dpi * IMAGE_HEIGHT / images.shape[1]

    def _whole(self, inches: float) -> float:
        return math.ceil(inches * self.dpi - 1e-6) / self.dpi


def _checked(row: Row, channels: Channels | None) -> tuple[np.ndarray, str]:
    """The images of a row as `as_colors` gives them, checked."""
    where = f"row {row.label!r}"
    images, left_out = as_colors(row.images, channels, where)
    if row.captions is not None and len(row.captions) != len(images):
        raise InputError(
            f"{where} has {len(images)} images and {len(row.captions)} captions: give one each"
        )
    if images.size and not (images.min() >= -1e-3 and images.max() <= 1 + 1e-3):
        raise InputError(
            f"{where} has values from {images.min():g} to {images.max():g}: give images in [0, 1]"
        )
    return np.clip(images, 0, 1), left_out


def as_colors(
    images: Any, channels: Channels | None = None, where: str = "a figure"
) -> tuple[np.ndarray, str]:
    """Images (N, C, H, W) as they can be shown, (N, H, W, 1 or 3), and which channels those are.

    The text is empty where nothing is left out. `channels` as for `image_grid`; `where` begins the
    message of an error.

    Raises
    ------
    InputError
        If the images have another shape, or no such channels.

    Examples
    --------
    >>> import numpy as np
    >>> shown, said = as_colors(np.zeros((2, 5, 8, 8)))
    >>> shown.shape, said
    ((2, 8, 8, 3), 'channels 0, 1, 2 of 5')
    """
    if hasattr(images, "detach"):
        images = images.detach().float().cpu().numpy()
    images = np.asarray(images)
    if images.ndim != 4 or not images.shape[1]:
        raise InputError(f"{where} has images of shape {images.shape}: give (N, C, H, W)")
    count = images.shape[1]
    chosen = list(range(3 if count >= 3 else 1)) if channels is None else list(channels)
    if len(chosen) not in (1, 3) or not all(
        isinstance(one, (int, np.integer)) and 0 <= one < count for one in chosen
    ):
        raise InputError(
            f"channels={channels!r}: give three of 0 to {count - 1} as red, green and blue, or one"
        )
    said = f"channel{'s' * (len(chosen) > 1)} {', '.join(map(str, chosen))} of {count}"
    shown = images[:, chosen].transpose(0, 2, 3, 1)
    return shown, "" if chosen == list(range(count)) else said


def _draw(
    figure: Figure, image: np.ndarray, box: tuple[float, float, float, float], dots: float
) -> None:
    axes = figure.add_axes(box)
    axes.set_axis_off()
    whole = math.isclose(dots, round(dots), rel_tol=1e-6)
    axes.imshow(
        image[:, :, 0] if image.shape[2] == 1 else image,
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest" if dots >= 2 or whole else "lanczos",
    )


def _write(figure: Figure, x: float, y: float, text: str, *, size: float, **options: Any) -> None:
    # parse_math: a dollar sign in a file's name is a dollar sign.
    figure.text(x, y, text, fontsize=size, linespacing=LINE_HEIGHT, parse_math=False, **options)


def _width_of(text: str, size: float) -> float:
    """Width in inches of the longest line of `text`."""
    from matplotlib.textpath import TextPath

    lines = [line.replace("$", r"\$") for line in text.splitlines() if line.strip()]
    extents = [TextPath((0, 0), line, size=size).get_extents() for line in lines]
    return max((float(extent.x1) for extent in extents), default=0.0) / 72


def _caption_size(captions: Sequence[str], width: float) -> float:
    """The size of text at which the longest caption is no wider than an image."""
    longest = max((_width_of(caption, CAPTION_SIZE) for caption in captions), default=0.0)
    return CAPTION_SIZE * min(1.0, width / longest) if longest else CAPTION_SIZE


def _captions_height(row: Row) -> float:
    if row.captions is None:
        return 0.0
    lines = max((caption.count("\n") + 1 for caption in row.captions), default=1)
    return (lines * LINE_HEIGHT + 0.5) * CAPTION_SIZE / 72
