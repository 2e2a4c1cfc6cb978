"""SIGINT and SIGTERM: what is at hand is finished first, and a second one leaves at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Interrupted", "Pending", "deferred", "exit_status", "raising"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop by SIGINT or SIGTERM.

    Attributes
    ----------
    number
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_status(interrupt: KeyboardInterrupt) -> int:
    """What shells expect of a process that was interrupted: 130, or 143 after SIGTERM."""
    return 128 + getattr(interrupt, "number", signal.SIGINT)


class Pending:
    """Whether a signal has come inside `deferred`."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self.number is not None:
            raise Interrupted(self.number)


@contextmanager
def raising() -> Iterator[None]:
    """Inside the block both signals raise `Interrupted` where the program stands."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    with _handled_by(handle):
        yield


@contextmanager
def deferred(*, tell: bool = True) -> Iterator[Pending]:
    """Inside the block the first signal waits until `Pending.check` is called, or the block ends.

    The second one is handled as it would be outside the block. Signals reach the main thread
    only; in another one this does nothing. `tell` is whether the first one is answered by a line
    on stderr.

    Examples
    --------
    >>> from robust_reps_ext.runtime.signals import deferred
    >>> with deferred() as pending:
    ...     for step in range(3):
    ...         pass  # whole steps only
    ...         pending.check()
    """
    pending = Pending()

    def handle(number: int, frame: FrameType | None) -> None:
        pending.number = number
        restore()
        # Not print: the signal may have come in the middle of one.
        if tell:
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, _NOTICE)

    with _handled_by(handle) as restore:
        yield pending
    pending.check()


_NOTICE = b"\ninterrupted: finishing this step (a second time leaves at once)\n"


@contextmanager
def _handled_by(handle: Callable[[int, FrameType | None], None]) -> Iterator[Callable[[], None]]:
    before: dict[int, Any] = {}

    def restore() -> None:
        while before:
            number, handler = before.popitem()
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        before.update({number: signal.signal(number, handle) for number in _SIGNALS})
    try:
        yield restore
    finally:
        restore()
