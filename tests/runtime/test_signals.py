"""Signals that wait for the end of a step, or act at once."""

from __future__ import annotations

import os
import signal
import threading

import pytest

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime.signals import Interrupted, deferred, exit_status, raising


def test_a_deferred_signal_waits_for_the_check():
    done = []

    def work():
        with deferred() as pending:
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("step")
            pending.check()
            done.append("more")

    with pytest.raises(Interrupted) as interrupted:
        work()
    assert done == ["step"]
    assert exit_status(interrupted.value) == 143


def test_a_deferred_signal_does_not_outlast_the_block():
    with pytest.raises(Interrupted, match="SIGINT"), deferred():
        os.kill(os.getpid(), signal.SIGINT)


def test_the_second_signal_acts_at_once(python_handles_sigint):
    done = []

    def work():
        with deferred():
            for step in range(100):
                os.kill(os.getpid(), signal.SIGINT)
                done.append(step)

    with pytest.raises(KeyboardInterrupt) as second:
        work()
    assert done == [0]
    assert exit_status(second.value) == 130


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with raising(), deferred():
        pass
    with pytest.raises(ValueError, match="own"), deferred():
        raise ValueError("own")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_other_threads_are_left_alone():
    seen = []

    def work():
        with deferred() as pending:
            seen.append(bool(pending))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
