"""What networks are asked to do: one thing at a time each, the rest waits in its line."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from torch import Tensor

from ..runtime.errors import InputError

__all__ = ["ENDED", "LONGEST_PAUSE", "Cancelled", "Job", "Worker"]

ENDED = ("done", "stopped", "cancelled", "failed")
"""The states that a job does not leave."""

LONGEST_PAUSE = 600.0
"""Seconds after which a run that was held goes no further: others may wait for the network."""

MOST_WAITING = 16
FRAME = 1 / 60  # seconds between two frames

_log = logging.getLogger(__name__)


class Cancelled(Exception):
    """Nobody wants the result any more."""


class Job:
    """One thing that one network does, which may be held, stopped and cancelled at each step.

    It is the ``progress`` of a run, see `robust_reps_ext.synthesis.Progress`.

    Parameters
    ----------
    make
        What is done; it is called with the job.
    tell
        ``tell(job, images)`` at steps, up to 60 times a second, with the images there,
        (N, C, H, W); and whenever the state changes with None. It is called in the thread of the
        network and in those that hold, stop and cancel.

    Attributes
    ----------
    state
        ``"waiting"``, ``"running"``, ``"held"``, or one of `ENDED`.
    step
        The last one that was made.
    value
        The mean of the objective where the images were last told.
    made
        A future: what `make` gave, or its error. A job that was stopped before it began, or
        cancelled, has a `Cancelled` there.

    Examples
    --------
    >>> from robust_reps_ext.explore.jobs import Job, Worker
    >>> worker = Worker("network")
    >>> job = Job(lambda job: 7, lambda job, images: None)
    >>> worker.put(job), job.made.result()
    (0, 7)
    >>> worker.close()
    """

    def __init__(self, make: Callable[[Job], Any], tell: Callable[[Job, Tensor | None], None]):
        self._make, self._tell = make, tell
        self._change = threading.Condition()
        self._hold = self._stop = self._cancel = False
        self.state = "waiting"
        self.step, self.value, self._next = 0, float("nan"), 0.0
        self.error: str | None = None
        self.made: Future[Any] = Future()

    def __call__(self, done: int, total: int, value: float) -> None:
        """Told by every run, and less often than `frame`."""

    def show(self, images: Tensor) -> None:
        """Show images before the first step."""
        self._tell(self, images)

    def frame(self, step: int, images: Tensor, objective: Tensor) -> bool:
        """Show a step; the run ends where this is True."""
        self.step, now = step, time.monotonic()
        if now >= self._next or self._hold:  # more than a page draws would only take time
            self._next, self.value = now + FRAME, float(objective.mean())
            self._tell(self, images)
        with self._change:
            if self._hold and not self._stop:
                self._enter("held")
                self._change.wait_for(lambda: not self._hold or self._stop, LONGEST_PAUSE)
                if self._hold:
                    self._stop = True
                self._enter("running")
            if self._cancel:
                raise Cancelled
            return self._stop and step > 0  # so that something was made

    def hold(self) -> None:
        """Wait at the next step until `go_on`."""
        with self._change:
            self._hold = True

    def go_on(self) -> None:
        """Go on at the very step where it was held."""
        with self._change:
            self._hold = False
            self._change.notify_all()

    def stop(self) -> None:
        """End at the next step, with the images there as the result."""
        with self._change:
            self._stop = True
            if self.state == "waiting":
                self._cancel = True
            self._change.notify_all()

    def cancel(self) -> None:
        """End at the next step, without a result."""
        with self._change:
            self._cancel = self._stop = True
            self._change.notify_all()

    def run(self) -> None:
        """Do it, in this thread; errors go into `made`."""
        with self._change:
            if not self._cancel:
                self._enter("running")
        try:
            if self._cancel:
                raise Cancelled
            made = self._make(self)
            if self._cancel:
                raise Cancelled
        except Cancelled as end:
            self._end("cancelled", end)
        except InputError as error:
            self.error = str(error)
            self._end("failed", error)
        except Exception as error:
            _log.exception("a job failed")
            self.error = f"{type(error).__name__}: {error}"
            self._end("failed", error)
        else:
            self.made.set_result(made)
            self._end("stopped" if self._stop else "done")

    def _end(self, state: str, error: Exception | None = None) -> None:
        if error is not None:
            self.made.set_exception(error.with_traceback(None))
        del self._make  # and with it the images that it was to be made of
        with self._change:
            self._enter(state)

    def _enter(self, state: str) -> None:
        self.state = state
        self._tell(self, None)


class Worker:
    """The thread of one network, and the line before it."""

    def __init__(self, name: str) -> None:
        self._line: deque[Job] = deque()
        self._change = threading.Condition()
        self._closed = False
        self.running: Job | None = None
        self._thread = threading.Thread(target=self._work, name=f"explore {name}", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> int:
        """Let it wait; how many are before it.

        Raises
        ------
        InputError
            If too many wait.
        """
        with self._change:
            if len(self._line) >= MOST_WAITING:
                raise InputError(
                    f"{MOST_WAITING} runs wait for this network: let some end, or close other pages"
                )
            self._line.append(job)
            self._change.notify_all()
            return len(self._line) - 1 + (self.running is not None)

    @property
    def busy(self) -> int:
        """How many jobs run or wait."""
        with self._change:
            return len(self._line) + (self.running is not None)

    def close(self, seconds: float = 5.0) -> None:
        """Cancel what runs and waits, and end the thread."""
        with self._change:
            self._closed = True
            jobs = [*self._line, *([self.running] if self.running else [])]
            self._change.notify_all()
        for job in jobs:
            job.cancel()
        self._thread.join(seconds)

    def _work(self) -> None:
        while True:
            with self._change:
                self.running = None
                self._change.notify_all()
                self._change.wait_for(lambda: bool(self._line) or self._closed)
                if not self._line:
                    return
                self.running = job = self._line.popleft()
            job.run()
            del job
