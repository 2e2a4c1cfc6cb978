"""What a signal or a kill leaves of a training run, and that the run goes on from there."""

from __future__ import annotations

import os
import signal
import threading
import warnings

import pytest
import torch
from killed_runs import kill
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


RUN = """
from pathlib import Path
from killed_runs import kill
from training_runs import LATEST, train_in
out = Path(sys.argv[1])
train_in(out, workers=0, resume=(out / LATEST).exists(), seed=7, save_interval=0, hook=told)
"""


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_killed_runs_end_as_an_undisturbed_one(kills, tmp_path):
    """Killed in the step after two, and gone on with each time."""
    parts, steps = tmp_path / "parts", []
    kill(RUN, parts, steps=[2] * kills)
    resumed = train_in(
        parts, workers=0, seed=7, resume=True, hook=lambda _, at, kind, *__: steps.append(kind)
    )
    assert equal(train_in(tmp_path / "whole", workers=0, seed=7), resumed)
    # Each of the killed runs has kept one step or two.
    assert 12 - 2 * kills <= steps.count("train") <= 12 - kills
