"""Pictures for papers and reports: rows of images with their names and captions."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.errors import InputError
from ..runtime.files import writing
from .sheets import LINE_HEIGHT, Block, Line, Sheet, fitting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Channels",
    "Panel",
    "Row",
    "as_colors",
    "image_grid",
    "panel_figure",
    "png",
    "save_figure",
]

MOST_DOTS = 1600
"""Width of a picture in a notebook."""

Channels = Sequence[int]
"""Which channels are shown as red, green and blue, or which one as grey."""


@dataclass(frozen=True)
class Row:
    """One row of an image grid.

    Attributes
    ----------
    images
        (N, C, H, W) in [0, 1]: a torch tensor or a numpy array.
    label
        What the row shows; stands to its left, and may have several lines.
    captions, heads
        One text under and one above each image, (N,); default none. They are broken between words
        where they are wider than an image.
    below
        What the captions are, such as ``"distance"``; stands under the label.
    run, positions
        Which synthesis made the images, and which of its images each is (-1: none of them); default
        none, and the first N.
    """

    images: Any
    label: str = ""
    captions: Sequence[str] | None = None
    heads: Sequence[str] | None = None
    below: str = ""
    run: str = ""
    positions: Sequence[int] | None = None


@dataclass(frozen=True)
class Panel:
    """Rows of images that belong together.

    Attributes
    ----------
    rows
        At least one; all with the same number of images.
    title
        Stands above them; default none.
    wraps
        Whether rows that are too long go on in blocks below.
    """

    rows: Sequence[Row]
    title: str = ""
    wraps: bool = False


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
    return panel_figure([Panel(rows, wraps=True)], columns=columns, channels=channels)


def panel_figure(
    panels: Sequence[Panel], *, columns: int = 16, channels: Channels | None = None
) -> Figure:
    """Panels one under the other, each with its title: a whole figure of the paper.

    Parameters
    ----------
    panels
        At least one.
    columns
        How many images of a panel that wraps stand side by side.
    channels
        As for `image_grid`, whose figures, and errors, these are.

    Examples
    --------
    >>> import numpy as np
    >>> from robust_reps_ext.results.figures import Panel, Row, panel_figure
    >>> images = np.random.default_rng(0).random((4, 3, 64, 64))
    >>> figure = panel_figure([Panel([Row(images)], "robust"), Panel([Row(images)], "standard")])
    >>> [text.get_text() for text in figure.texts]
    ['robust', 'standard']
    """
    if not panels:
        raise InputError("there is nothing to show: give at least one panel")

    def blocks(columns: int) -> list[Block]:
        return [_block(panel, columns, channels) for panel in panels]

    return _drawn(blocks, columns)


def _drawn(
    blocks: Callable[[int], Sequence[Block]], columns: int, width: float | None = None
) -> Figure:
    """A figure of blocks, so many inches wide; it can be drawn anew as wide as is asked for."""
    from matplotlib.figure import Figure

    sheet = Sheet(blocks(columns)) if width is None else fitting(blocks, columns, width)
    figure = Figure(figsize=(sheet.width, sheet.height), dpi=sheet.dpi, facecolor="white")
    vars(figure)["at_width"] = partial(_drawn, blocks, columns)
    for box, image in sheet.images:
        _draw(figure, image, box, sheet.dpi * sheet.image_height / image.shape[0])
    for text in sheet.texts:
        # parse_math: a dollar sign in a file's name is a dollar sign.
        figure.text(
            text.x,
            text.y,
            text.words,
            fontsize=text.size,
            color=text.color,
            ha=text.ha,
            va=text.va,
            linespacing=LINE_HEIGHT,
            parse_math=False,
        )
    return figure


def _block(panel: Panel, columns: int, channels: Channels | None) -> Block:
    """A panel as it is drawn, checked."""
    lines = []
    for row in panel.rows:
        images, left_out = _checked(row, channels)
        below = row.below and f"below: {row.below}"
        label = "\n".join(part for part in (row.label, below, left_out) if part)
        captions = row.captions if row.captions is not None and any(row.captions) else None
        lines.append(Line(images, label, captions, row.heads))
    counts = {len(line.images) for line in lines}
    if len(counts) != 1 or counts == {0}:
        raise InputError(
            f"rows of {[len(line.images) for line in lines]} images: give rows of the same number, "
            "1 or more"
        )
    count = counts.pop()
    times = math.ceil(count / max(1, columns)) if panel.wraps else 1
    return Block(panel.title, lines, columns=math.ceil(count / times))


def png(figure: Figure) -> bytes:
    """A figure as PNG, no wider than a screen."""
    drawn = io.BytesIO()
    width = float(figure.get_size_inches()[0])
    figure.savefig(drawn, format="png", dpi=min(figure.dpi, MOST_DOTS / width))
    return drawn.getvalue()


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dpi: float | None = None) -> Path:
    """Write a figure as PNG, PDF or SVG, whole or not at all.

    Equal figures give equal bytes: the file holds no date and no version. `dpi` are the dots per
    inch of pixels; default: the figure's own.

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
        figure.savefig(drawn, format=kind, dpi=dpi or figure.dpi, metadata=undated[kind])
    with writing(path, "choose another place") as file:
        file.write(drawn.getbuffer())
    return path


def _checked(row: Row, channels: Channels | None) -> tuple[np.ndarray, str]:
    """The images of a row as `as_colors` gives them, checked."""
    where = f"row {row.label!r}"
    images, left_out = as_colors(row.images, channels, where)
    for name in ("captions", "heads"):
        texts = getattr(row, name)
        if texts is not None and len(texts) != len(images):
            raise InputError(
                f"{where} has {len(images)} images and {len(texts)} {name}: give one each"
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
