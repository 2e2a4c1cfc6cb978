"""Plots of numbers: the curve of Fig. 4, accuracies with their intervals, and distributions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Line",
    "accuracy_figure",
    "attacked_at",
    "curve_figure",
    "histogram_figure",
    "line_of_rows",
    "robustness_figure",
    "shares_figure",
]

ROLES = {"robust": "#0b6e62", "standard": "#b24a1e", "vgg": "#4a57a8"}
"""The colours of the page, in print."""

# Those, and three more of Okabe and Ito; with a mark each, told apart without colours.
COLORS = (*ROLES.values(), "#CC79A7", "#E69F00", "#56B4E9")
MARKS = ("o", "s", "^", "D", "v", "P")
BAR_HEIGHT = 0.8


@dataclass(frozen=True)
class Line:
    """Numbers, each with an interval where there is one.

    Attributes
    ----------
    y
        (K,), a tensor, an array or a list.
    low, high
        (K,), ends of the interval around each number; None where there are none.
    label
        What the line stands for, such as the model; default none.
    n
        How many things each number is a mean of; default: not said.
    """

    y: Any
    low: Any = None
    high: Any = None
    label: str = ""
    n: int | None = None


def line_of_rows(rows: Sequence[Mapping[str, Any]], label: str = "") -> Line:
    """The line of rows of a table with ``accuracy``, ``low`` and ``high``."""
    shares, low, high = ([row[key] for row in rows] for key in ("accuracy", "low", "high"))
    return Line(shares, low, high, label)


def attacked_at(metadata: Mapping[str, Any]) -> tuple[float, str] | None:
    """The radius that a unit's metadata says to mark in its curve, and what it is called.

    Examples
    --------
    >>> from robust_reps_ext.results.plots import attacked_at
    >>> attacked_at({"mark": {"radius": 0.5, "is": "trained against"}})
    (0.5, 'trained against, 0.5')
    """
    mark = metadata.get("mark")
    return mark and (float(mark["radius"]), f"{mark['is']}, {mark['radius']:.3g}")


def curve_figure(
    radii: Any, lines: Sequence[Line], mark: tuple[float, str] | None = None
) -> Figure:
    """Relative distance against radius, one line with its band for each model: Fig. 4.

    Parameters
    ----------
    radii
        (R,), ascending; the axis is logarithmic, and linear below the first radius above 0.
    lines
        Each of R numbers.
    mark
        A radius above 0 to draw as a line, and what it is called; default: none.

    Raises
    ------
    InputError
        If a line has another number of values than there are radii, or there is nothing to plot.

    Examples
    --------
    >>> from robust_reps_ext.results.plots import Line, curve_figure
    >>> line = Line([0.9, 0.5, 0.1], [0.8, 0.4, 0.05], [1.0, 0.6, 0.2], "robust")
    >>> curve_figure([2, 8, 32], [line]).axes[0].get_xlabel()
    'radius of the L2 ball around the source'
    """
    figure, axes = _banded(radii, lines)
    if mark is not None:
        axes.axvline(mark[0], color="0.35", linewidth=1.0, linestyle="--", zorder=0)
        axes.annotate(
            mark[1],
            (mark[0], 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(-3, 0),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="bottom",
            fontsize="x-small",
            color="0.35",
            parse_math=False,
        )
    tops = [line.y if line.high is None else line.high for line in lines]
    axes.set_ylim(0, max(1.0, 1.05 * max(float(np.asarray(top).max()) for top in tops)))
    axes.set_xlabel("radius of the L2 ball around the source")
    axes.set_ylabel(f"relative distance to the target{_said(lines)}")
    return figure


def robustness_figure(radii: Any, lines: Sequence[Line], norm: str = "2") -> Figure:
    """Accuracy against the radius of the attack, one line with its band for each model or attack.

    Parameters
    ----------
    radii
        (R,), ascending; the axis is that of `curve_figure`.
    lines
        Each of R shares in [0, 1].
    norm
        ``"2"`` or ``"inf"``, of the ball.

    Raises
    ------
    InputError
        If a line has another number of values than there are radii, or there is nothing to plot.

    Examples
    --------
    >>> from robust_reps_ext.results.plots import Line, robustness_figure
    >>> line = Line([0.9, 0.5], [0.8, 0.4], [0.95, 0.6], "robust")
    >>> robustness_figure([0.5, 1], [line]).axes[0].get_xlabel()
    'L2 radius of the attack'
    """
    figure, axes = _banded(radii, lines)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f}%")
    axes.set_xlabel({"2": "L2", "inf": "L-infinity"}.get(norm, norm) + " radius of the attack")
    axes.set_ylabel("accuracy, 95% Wilson intervals")
    return figure


def _banded(radii: Any, lines: Sequence[Line]) -> tuple[Figure, Any]:
    """Lines with their bands against radii; the legend names them."""
    from matplotlib.ticker import FixedLocator, NullLocator

    from .ticks import apart

    x = np.asarray(radii, dtype=float)
    figure, axes = _empty(width=4.6, height=3.2)
    for (line, color), mark in zip(_colored(lines, len(x)), cycle(MARKS), strict=False):
        if line.low is not None:
            low, high = np.asarray(line.low), np.asarray(line.high)
            axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
        axes.plot(
            x,
            np.asarray(line.y),
            f"{mark}-",
            color=color,
            markersize=3.5,
            linewidth=1.6,
            label=line.label,
        )
    if (x > 0).any():
        axes.set_xscale("symlog", linthresh=x[x > 0].min())
    axes.xaxis.set_major_locator(FixedLocator(list(x)))
    axes.xaxis.set_major_formatter(apart())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.25, linewidth=0.6)
    _legend(axes, lines)
    return figure, axes


def accuracy_figure(names: Sequence[str], lines: Sequence[Line], attack: str = "") -> Figure:
    """Accuracies as bars with their intervals, one colour for each model: Tables 4 and 5.

    Parameters
    ----------
    names
        What the K accuracies of each model are: ``"clean"``, ``"PGD-20"``.
    lines
        One for each model, with K shares in [0, 1].
    attack
        What images were attacked in, such as ``"L2 eps 0.5"``, for the axis; default: not said.

    Raises
    ------
    InputError
        If a line has another number of values than there are names, or there is nothing to plot.

    Examples
    --------
    >>> from robust_reps_ext.results.plots import Line, accuracy_figure
    >>> figure = accuracy_figure(["clean"], [Line([0.9], [0.8], [0.95], "robust")])
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['clean']
    """
    colored = _colored(lines, len(names))
    height = BAR_HEIGHT / len(lines)
    figure, axes = _rows(names, width=5.6, height=1.1 + 0.28 * len(names) * len(lines))
    for line, color, share, error, places in _placed(colored, height):
        axes.barh(
            places,
            share,
            height,
            xerr=error,
            color=color,
            label=line.label,
            error_kw={"elinewidth": 1.0, "capsize": 2},
        )
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f}%")
    axes.set_xlabel("accuracy, 95% Wilson intervals" + (attack and f"\nattack: {attack}"))
    axes.set_axisbelow(True)
    _legend(axes, lines, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    return figure


def shares_figure(names: Sequence[str], lines: Sequence[Line]) -> Figure:
    """Shares as dots with their intervals, one colour for each model, a row for each name.

    Parameters and errors are those of `accuracy_figure`.

    Examples
    --------
    >>> from robust_reps_ext.results.plots import Line, shares_figure
    >>> figure = shares_figure(["class kept"], [Line([0.9], [0.8], [0.95], "robust")])
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['class kept']
    """
    colored = _colored(lines, len(names))
    figure, axes = _rows(names, width=6.4, height=0.9 + 0.38 * len(names))
    for line, color, share, error, places in _placed(colored, 0.28):
        axes.errorbar(share, places, xerr=error, fmt="o", color=color, label=line.label)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("share, with 95% intervals")
    _legend(axes, lines, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def _said(lines: Sequence[Line]) -> str:
    """What the numbers of a curve are, for its axis; empty where the lines do not say."""
    counts = {line.n for line in lines}
    n = counts.pop() if len(counts) == 1 else None
    if n is None:
        return ""
    band = ", 95% bootstrap band" if any(line.low is not None for line in lines) else ""
    return f"\n(mean of {n} pairs{band})" if n > 1 else "\n(one pair)"


def histogram_figure(
    values: Sequence[Any],
    rows: Sequence[str],
    columns: Sequence[str],
    marks: Sequence[Any] | None = None,
) -> Figure:
    """Histograms in a table, with values of interest as ticks in each.

    Parameters
    ----------
    values
        For each row, the numbers of each column: (C, P).
    rows, columns
        Their names.
    marks
        For each row, the values to mark in each column: (C, M); default: none.

    Examples
    --------
    >>> from robust_reps_ext.results.plots import histogram_figure
    >>> figure = histogram_figure([[[0.1, 0.2, 0.2]]], ["layer1"], ["pearson"], [[[0.9]]])
    >>> figure.axes[0].get_title()
    'pearson'
    """
    if not rows or not columns:
        raise InputError("there is nothing to plot: give at least one row and one column")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from .ticks import apart

    size = (2.4 * len(columns), 0.5 + 1.1 * len(rows))
    figure = Figure(figsize=size, dpi=160, facecolor="white", layout="constrained")
    table = figure.subplots(len(rows), len(columns), squeeze=False)
    for i, (name, row) in enumerate(zip(rows, table, strict=True)):
        row[0].set_ylabel(name, fontsize=7)
        for j, axes in enumerate(row):
            here = np.asarray(values[i][j], dtype=float)
            axes.hist(here[np.isfinite(here)], bins=40, color="0.7", density=True)
            for mark in () if marks is None else np.asarray(marks[i][j], dtype=float):
                if np.isfinite(mark):
                    axes.axvline(mark, color=COLORS[0], linewidth=0.8, alpha=0.6)
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.set_yticks([])
            axes.tick_params(labelsize=6)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_formatter(apart())
            if not i:
                axes.set_title(columns[j], fontsize=7)
    return figure


def _empty(*, width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=160, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _rows(names: Sequence[str], *, width: float, height: float) -> tuple[Figure, Any]:
    """Axes with a row for each name, from the top."""
    figure, axes = _empty(width=width, height=height)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.25, linewidth=0.6)
    return figure, axes


def _placed(
    colored: Sequence[tuple[Line, str]], distance: float
) -> Iterator[tuple[Line, str, np.ndarray, np.ndarray, np.ndarray]]:
    """Each line, its colour, its values, how far their intervals reach, and the heights of them."""
    for i, (line, color) in enumerate(colored):
        share = np.asarray(line.y, dtype=float)
        low, high = (share if end is None else np.asarray(end) for end in (line.low, line.high))
        # Rounding can leave the end of an interval a hair inside the share itself.
        error = np.clip([share - low, high - share], 0, None)
        lift = (i - (len(colored) - 1) / 2) * distance
        yield line, color, share, error, np.arange(len(share)) + lift


def _legend(axes: Any, lines: Sequence[Line], **where: Any) -> None:
    if any(line.label for line in lines):
        for text in axes.legend(frameon=False, **where).get_texts():
            # Names of files are no formulas, though they may have dollar signs.
            text.set_parse_math(False)


def _colored(lines: Sequence[Line], n: int) -> list[tuple[Line, str]]:
    if not lines or not n:
        raise InputError("there is nothing to plot: give at least one line of one value")
    for line in lines:
        low, high = (line.y if end is None else end for end in (line.low, line.high))
        if not len(line.y) == len(low) == len(high) == n:
            raise InputError(
                f"line {line.label!r} has {len(line.y)} values, {len(low)} lower and "
                f"{len(high)} upper ends: give {n} of each"
            )
    rest = cycle([one for one in COLORS if one not in {ROLES.get(line.label) for line in lines}])
    return [(line, ROLES.get(line.label) or next(rest)) for line in lines]
