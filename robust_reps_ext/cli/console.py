"""What the commands show on the terminal: progress and tables."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from ..results.locks import rank_and_world
from ..runtime.progress import Estimate, Lines

if TYPE_CHECKING:
    from .doctor import Examination

__all__ = ["progress", "quiet", "show_examination", "show_table"]

BESIDE, WITH_RATE = 58, 100
"""Columns of a terminal that the numbers take, and from how many on the rate is among them."""


@contextmanager
def progress(
    what: str, unit: str, value: str = "", runs: float = 1
) -> Iterator[Callable[..., None]]:
    """A bar with rate and remaining time on stderr, and the function that moves it.

    How long it will take is told once, from the first steps. In a pipe there are lines now and
    then, see `robust_reps_ext.runtime.progress.Lines`.

    Parameters
    ----------
    what
        What is going on.
    unit
        What is counted.
    value
        Name of the number that the function may get as its third argument.
    runs
        See `robust_reps_ext.runtime.progress.Estimate`.

    Yields
    ------
    callable
        ``move(done, in_all)`` or ``move(done, in_all, value)``.
    """
    columns: list[ProgressColumn] = [
        _What(),
        BarColumn(bar_width=8),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        _Rate(unit),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TextColumn("left"),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
    ]
    if value:
        columns.append(TextColumn(f"{value} {{task.fields[value]}}"))
    shown = Console(stderr=True, quiet=rank_and_world()[0] > 0)
    above = len(what) > shown.width - BESIDE
    if not (shown.is_terminal or shown.quiet):
        lines = Lines(unit, what, runs=runs)

        def count(done: int, in_all: int, now: float | None = None) -> None:
            lines.total = in_all
            lines.update(done - lines.n, f"{value} {now:.3f}" if value and now is not None else "")

        try:
            yield count
        finally:
            lines.close()
        return
    estimate = Estimate(runs=runs)
    if shown.width < WITH_RATE:
        columns = [one for one in columns if not isinstance(one, _Rate)]
    bar = Progress(*columns, console=shown)
    task = bar.add_task("" if above else what, total=None, value="")

    def move(done: int, in_all: int, now: float | None = None) -> None:
        number = "" if now is None else f"{now:.3f}"
        bar.update(task, completed=done, total=in_all, value=number)
        if above and not bar.live.is_started:
            shown.print(Text(what))
        bar.start()
        if told := estimate(done, in_all):
            bar.console.print(Text(f"{what}: {in_all} {unit}, {told}"), soft_wrap=True)

    try:
        yield move
    finally:
        # A bar that never moved leaves no trace; stopping it would print an empty line.
        if bar.live.is_started:
            bar.stop()


@contextmanager
def quiet() -> Iterator[Callable[[object], None]]:
    """Silence what libraries print, and yield the function that prints nevertheless."""
    shown = sys.stdout
    with redirect_stdout(io.StringIO()):
        yield lambda line: print(line, file=shown, flush=True)


def show_table(header: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print a table; numbers stand to the right, and blank names make no header."""
    body = [list(row) for row in rows]
    console = Console()
    table = Table(title=title or None, title_justify="left", title_style="bold", box=None)
    table.show_header = any(header)
    texts = [[_shown(cell) for cell in row] for row in body]
    columns = [[name, *(row[i] for row in texts)] for i, name in enumerate(header)]
    widths = _widths(columns, console.width - 2 * len(header))
    for i, (name, width) in enumerate(zip(header, widths, strict=True)):
        numbers = bool(body) and all(isinstance(row[i], (int, float)) for row in body)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold", width=width)
    for row in texts:
        table.add_row(*map(Text, row))
    console.print(table)


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int | None]:
    """Widths of columns that break no word, but such as take a third of the room; else None."""
    widths = [max(map(len, texts)) for texts in columns]
    words = [[len(word) for text in texts for word in text.split()] for texts in columns]
    least = [min(max(lengths, default=0), room // 3) for lengths in words]
    while sum(widths) > room:
        slack = [i for i, width in enumerate(widths) if width > least[i]]
        if not slack:
            return [None] * len(widths)
        widths[max(slack, key=widths.__getitem__)] -= 1
    return [*widths]


def show_examination(found: Examination, *, mends: bool = False) -> None:
    """Print what the doctor found; of the mends those that failed or were left alone, or all."""
    sections = {"Versions": found.versions, "Runs on": found.device, "Hook": found.hook}
    for title, facts in sections.items():
        show_table(("", ""), facts.items(), title)
    console = Console(highlight=False)
    shown = [one for one in found.mends if mends or one.failed or one.left_alone]
    for module, remedies in groupby(shown, lambda one: one.module):
        console.print(Text(f"Mends of {module}", "bold"))
        for one in remedies:
            colour = "red" if one.failed else "yellow" if one.left_alone else "green"
            status = Text(one.status, colour)
            line = Text.assemble("  ", status, f"  {one.name}  ", (one.where, "dim"))
            console.print(line, Padding(Text(one.why, "dim"), (0, 0, 0, 6)), sep="\n")
    if found.missing:
        show_table(("", ""), ((one.what, one.consequence) for one in found.missing), "Missing")
    failed = sum(one.failed for one in found.mends)
    left = sum(one.left_alone for one in found.mends)
    told = f", {left} modules left alone" if left else ""
    console.print(
        f"{len(found.mends) - left} mends, {failed} failed{told}"
        + ("" if mends else "; robust-reps doctor --mends lists them")
    )


class _What(ProgressColumn):
    """What goes on; in a terminal too narrow for it, it stands above the bar."""

    def __init__(self) -> None:
        super().__init__(table_column=Column(min_width=16))

    def render(self, task: Task) -> Text:
        # No markup: names of files may have brackets.
        return Text(task.description, no_wrap=True, overflow="ellipsis")


class _Rate(ProgressColumn):
    """Things a second."""

    def __init__(self, unit: str) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} {self._unit}/s")


def _shown(cell: object) -> str:
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)
