"""One job at a time for a network; it may be held, stopped and cancelled at each step."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from explorers import until

from robust_reps_ext.explore import jobs
from robust_reps_ext.explore.jobs import Cancelled, Job, Worker
from robust_reps_ext.runtime.errors import InputError

IMAGES, VALUES = torch.zeros(1, 3, 2, 2), torch.zeros(1)


@pytest.fixture
def worker():
    made = Worker("test")
    yield made
    made.close()


def idle(worker):
    until(lambda: worker.busy == 0)


def stepping(count, seen=None):
    """What makes so many steps, each of which waits for nothing."""

    def make(job):
        for step in range(count):
            if seen is not None:
                seen.append(step)
            if job.frame(step, IMAGES, VALUES):
                return "stopped early"
        return "to its end"

    return make


def told():
    states = []
    return states, lambda job, images: images is None and states.append(job.state)


def test_jobs_are_done_one_after_the_other(worker):
    order, gate = [], threading.Event()
    first = Job(lambda job: (gate.wait(5), order.append(1)), lambda *_: None)
    second = Job(lambda job: order.append(2), lambda *_: None)
    assert worker.put(first) == 0
    until(lambda: first.state == "running")
    assert worker.put(second) == 1
    assert (second.state, worker.busy) == ("waiting", 2)
    gate.set()
    assert second.made.result(5) is None
    assert order == [1, 2]
    idle(worker)


def test_a_job_ends_by_itself(worker):
    states, tell = told()
    job = Job(stepping(3), tell)
    worker.put(job)
    assert job.made.result(5) == "to its end"
    idle(worker)
    assert (states, job.step) == (["running", "done"], 2)


def test_a_job_that_is_stopped_has_a_result_and_one_that_is_cancelled_has_none(worker):
    for end, state in (("stop", "stopped"), ("cancel", "cancelled")):
        job = Job(stepping(10**9), lambda *_: None)
        worker.put(job)
        until(lambda job=job: job.step > 3)
        getattr(job, end)()
        idle(worker)
        assert job.state == state
    assert isinstance(job.made.exception(), Cancelled)


@pytest.mark.parametrize("end", ["stop", "cancel"])
def test_one_that_waits_never_begins(worker, end):
    seen, gate = [], threading.Event()
    worker.put(Job(lambda job: gate.wait(5), lambda *_: None))
    job = Job(stepping(3, seen), lambda *_: None)
    worker.put(job)
    getattr(job, end)()
    gate.set()
    idle(worker)
    assert (job.state, seen) == ("cancelled", [])


def test_one_that_is_held_makes_no_step_until_it_goes_on(worker):
    seen = []
    states, tell = told()
    job = Job(stepping(10**9, seen), tell)
    worker.put(job)
    until(lambda: job.step > 3)
    job.hold()
    until(lambda: job.state == "held")
    there = len(seen)
    time.sleep(0.05)
    assert len(seen) == there
    job.go_on()
    until(lambda: len(seen) > there)
    job.hold()
    until(lambda: job.state == "held")
    job.stop()
    idle(worker)
    assert states == ["running", "held", "running", "held", "running", "stopped"]


def test_one_that_is_held_for_long_ends(worker, monkeypatch):
    monkeypatch.setattr(jobs, "LONGEST_PAUSE", 0.05)
    job = Job(stepping(10**9), lambda *_: None)
    job.hold()
    worker.put(job)
    idle(worker)
    assert job.state == "stopped"


def test_what_goes_wrong_is_one_line_and_the_next_job_is_done(worker, caplog):
    def wrong(job):
        raise InputError("there is no such layer")

    bad, worse = Job(wrong, lambda *_: None), Job(lambda job: 1 / 0, lambda *_: None)
    good = Job(stepping(2), lambda *_: None)
    for job in (bad, worse, good):
        worker.put(job)
    assert good.made.result(5) == "to its end"
    assert (bad.state, bad.error) == ("failed", "there is no such layer")
    assert (worse.state, worse.error) == ("failed", "ZeroDivisionError: division by zero")
    assert "a job failed" in caplog.text


def test_a_line_has_an_end(worker):
    gate = threading.Event()
    first = Job(lambda job: gate.wait(5), lambda *_: None)
    worker.put(first)
    until(lambda: first.state == "running")
    for _ in range(jobs.MOST_WAITING):
        worker.put(Job(stepping(1), lambda *_: None))
    with pytest.raises(InputError, match="wait for this network"):
        worker.put(Job(stepping(1), lambda *_: None))
    gate.set()


def test_a_worker_that_is_closed_has_no_thread():
    worker = Worker("closed")
    job = Job(stepping(10**9), lambda *_: None)
    worker.put(job)
    worker.close()
    assert job.state == "cancelled"
    assert "explore closed" not in [one.name for one in threading.enumerate()]
