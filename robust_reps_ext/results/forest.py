"""A forest plot: every number with its interval in a row, those of one unit on one axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..runtime.errors import InputError
from .plots import COLORS, Line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Block", "forest_figure"]

ROW, FRAME = 0.34, 0.62
"""Inches of a row, and of what is around the rows of a block."""


@dataclass(frozen=True)
class Block:
    """Rows that share an axis.

    Attributes
    ----------
    unit
        What the axis shows.
    names
        Of its K rows.
    lines
        One for each model, of K numbers.
    chances
        What chance gives in each row, None where it gives nothing.
    shown
        How a number on the axis is written.
    """

    unit: str
    names: Sequence[str]
    lines: Sequence[Line]
    chances: Sequence[float | None]
    shown: Callable[[float], str]


def forest_figure(blocks: Sequence[Block], title: str = "") -> Figure:
    """Draw the blocks under one another, with a dot and an interval for each model in each row.

    Parameters
    ----------
    blocks
        From the top.
    title
        Over them; default: none.

    Raises
    ------
    InputError
        If there is nothing to plot.

    Examples
    --------
    >>> from robust_reps_ext.results.forest import Block, forest_figure
    >>> from robust_reps_ext.results.plots import Line
    >>> line = Line([0.9, 0.5], [0.8, 0.4], [1.0, 0.6], "robust")
    >>> block = Block("share", ["class", "texture"], [line], [0.1, None], "{:.0%}".format)
    >>> [text.get_text() for text in forest_figure([block]).axes[0].get_yticklabels()]
    ['class', 'texture']
    """
    from matplotlib.figure import Figure

    if not blocks or not all(block.names and block.lines for block in blocks):
        raise InputError("there is nothing to plot: give at least one block of one row")
    heights = [FRAME + ROW * len(block.names) for block in blocks]
    figure = Figure(
        figsize=(7.2, 0.4 + sum(heights)), dpi=160, facecolor="white", layout="constrained"
    )
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize="medium", parse_math=False)
    table = figure.subplots(len(blocks), 1, squeeze=False, height_ratios=heights)
    for axes, block in zip(table[:, 0], blocks, strict=True):
        rows = range(len(block.names))
        for k, line in enumerate(block.lines):
            lift = (k - (len(block.lines) - 1) / 2) * 0.3
            places = [i + lift for i in rows]
            color = COLORS[k % len(COLORS)]
            axes.hlines(places, line.low, line.high, color=color, linewidth=1.6)
            axes.plot(line.y, places, "o", color=color, markersize=4.5, label=line.label)
        for i, chance in zip(rows, block.chances, strict=True):
            if chance is not None:
                axes.vlines(chance, i - 0.4, i + 0.4, color="0.45", linestyles="dotted")
        axes.set_yticks(rows, block.names, parse_math=False)
        axes.set_ylim(len(block.names) - 0.5, -0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.25, linewidth=0.6)
        axes.xaxis.set_major_formatter(lambda value, _, shown=block.shown: shown(value))
        axes.set_xlabel(block.unit)
    first = table[0, 0]
    if any(line.label for line in blocks[0].lines):
        first.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    # Names stand in one column, whatever the longest of a block is.
    figure.align_ylabels(list(table[:, 0]))
    return figure
