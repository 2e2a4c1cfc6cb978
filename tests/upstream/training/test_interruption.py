"""What a signal or a kill leaves of a training run, and that the run goes on from there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import torch
from training_runs import LATEST, equal, train_in

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime.signals import Interrupted, deferred, exit_status, raising

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # upstream's word about apex


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


@pytest.fixture
def python_handles_sigint():
    """Also where the shell has it ignored, as it does in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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


# -- training --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "seed", "step"),
    [(0, None, 0), (0, None, 3), (0, None, 5), (0, 7, 8), (0, 7, 11), (2, None, 3), (2, 7, 8)],
)
def test_an_interrupted_epoch_goes_on_where_it_was(workers, seed, step, tmp_path):
    steps = []

    def interrupt(model, at, loop_type, images, labels):
        if loop_type == "train":
            steps.append(at)
            if len(steps) == step + 1:
                os.kill(os.getpid(), signal.SIGINT)

    whole = train_in(tmp_path / "whole", workers=workers, seed=seed)
    with pytest.raises(Interrupted):
        train_in(tmp_path / "parts", workers=workers, seed=seed, hook=interrupt)
    kept = torch.load(tmp_path / "parts" / LATEST, weights_only=True)
    assert (kept["epoch"], kept["within_epoch"]["progress"]["steps"]) == (step // 6, step % 6 + 1)
    resumed = train_in(tmp_path / "parts", workers=workers, seed=seed, resume=True, hook=interrupt)
    assert len(steps) == 12  # none was made twice
    assert equal(whole, resumed)


SLOW = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from training_runs import LATEST, train_in
out = Path(sys.argv[2])
train_in(out, workers=0, resume=(out / LATEST).exists(), seed=7, save_interval=0.02,
         hook=lambda *call: time.sleep(0.05))
print("finished")
"""


@pytest.mark.slow
def test_killed_runs_end_as_an_undisturbed_one(tmp_path):
    """Killed at five random moments, and started again each time."""
    whole = train_in(tmp_path / "whole", workers=0, seed=7)
    command = [sys.executable, "-c", SLOW, str(Path(__file__).parents[2]), str(tmp_path / "parts")]
    moments = random.Random(0)
    kills = 0
    for _ in range(30):
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        began = time.monotonic()
        latest = tmp_path / "parts" / LATEST
        stamp = latest.stat().st_mtime_ns if latest.exists() else 0
        while kills < 5 and run.poll() is None and time.monotonic() - began < 300:
            if latest.exists() and latest.stat().st_mtime_ns != stamp:
                time.sleep(moments.uniform(0, 0.15))
                run.kill()
                break
            time.sleep(0.01)
        said, errors = run.communicate(timeout=300)
        kills += run.returncode == -signal.SIGKILL
        if "finished" in said:
            break
        assert run.returncode == -signal.SIGKILL, errors
    assert kills == 5
    assert equal(whole, torch.load(latest, weights_only=True))
