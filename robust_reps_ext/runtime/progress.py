"""How far a run is, where it is watched: a bar in a terminal or notebook, lines in a pipe."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

__all__ = ["Estimate", "Lines", "bar", "duration"]

FIRST = 2.0
"""Seconds of steps from which a whole run is estimated."""

BETWEEN = 30.0
"""Seconds between two lines in a pipe."""


def duration(seconds: float) -> str:
    """A length of time as it is told: to two digits.

    Examples
    --------
    >>> duration(7.3), duration(130), duration(8000), duration(400_000)
    ('7 s', '2 min', '2.2 h', '4.6 days')
    """
    units = ((1, "s", 100), (60, "min", 100), (3600, "h", 48), (86_400, "days", math.inf))
    length, unit = next(one[:2] for one in units if seconds < one[2] * one[0])
    number = seconds / length
    return f"{number:.{int(number < 10 and length > 60)}f} {unit}"


class Estimate:
    """How long a run takes as a whole, told once, from its first steps.

    Parameters
    ----------
    clock
        Of seconds.
    runs
        How many such runs make the whole, by default 1; 0 to tell nothing.

    Examples
    --------
    >>> seconds = iter([0.0, 1.0, 3.0, 4.0])
    >>> estimate = Estimate(clock=lambda: next(seconds))
    >>> [estimate(done, 100) for done in (1, 2, 4, 5)]
    [None, None, 'about 99 s', None]
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, runs: float = 1) -> None:
        self._clock, self._runs = clock, runs
        self._began: tuple[float, int] | None = None
        self._told = not runs

    def __call__(self, done: int, in_all: int) -> str | None:
        """After the step number `done`; a text once there is enough to tell from."""
        if self._told:
            return None
        now = self._clock()
        if self._began is None:  # the first step makes ready what the others find
            self._began = now, done
            return None
        began, before = self._began
        if now - began < FIRST or done <= before:
            return None
        self._told = True
        left = (now - began) / (done - before) * (in_all - done)
        return f"about {duration((now - began + left) * self._runs)}"


class Lines:
    """A line now and then, without carriage returns, in the place of `tqdm.tqdm`.

    Parameters
    ----------
    unit
        What is counted.
    what
        What goes on.
    clock, runs
        Of the `Estimate`.

    Attributes
    ----------
    n, total
        As tqdm's: how many are done, and how many there are.
    """

    def __init__(
        self,
        unit: str,
        what: str = "",
        clock: Callable[[], float] = time.monotonic,
        runs: float = 1,
    ) -> None:
        self.n, self.total = 0, 0
        self._unit, self._head, self._clock = unit, f"{what}: " if what else "", clock
        self._estimate = Estimate(clock, runs)
        self._began = self._last = clock()

    def update(self, n: int = 1, beside: str = "") -> None:
        """`n` more are done; `beside` stands at the end of a line."""
        self.n += n
        if not self.n:
            return
        if told := self._estimate(self.n, self.total):
            self._say(f"{self.total} {self._unit}, {told}")
        elif self._clock() - self._last >= BETWEEN:
            self._last = self._clock()
            self._say(f"{self.n}/{self.total} {self._unit}{beside and f', {beside}'}")

    def refresh(self) -> None:
        """As tqdm's; what has changed is in the next line."""

    def close(self) -> None:
        """Say how long it took."""
        if self.n:
            took = duration(self._clock() - self._began)
            self._say(f"{self.n}/{self.total} {self._unit} in {took}")

    def _say(self, text: str) -> None:
        print(f"{self._head}{text}", file=sys.stderr, flush=True)


def bar(unit: str, *, shown: bool) -> Any:
    """What has tqdm's `n`, `total`, `update`, `refresh` and `close`, and fits where it is shown.

    Parameters
    ----------
    unit
        What is counted.
    shown
        Or nothing at all.
    """
    from tqdm import tqdm

    if not shown:
        return tqdm(disable=True)
    if "ipykernel" in sys.modules:
        with warnings.catch_warnings():  # without ipywidgets it is a bar of text, and says so
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm as fitting

            return fitting(unit=unit)
    return tqdm(unit=unit) if sys.stderr.isatty() else Lines(f"{unit}s")
