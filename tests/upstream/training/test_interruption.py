"""What a signal or a kill leaves of a training run, and that the run goes on from there."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from killed_runs import kill
from training_runs import LATEST, equal, train_in

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime.signals import Interrupted


@pytest.mark.parametrize(
    ("workers", "seed", "step"),
    [
        *((0, None, step) for step in (0, 3, 5)),
        *((0, 7, step) for step in (8, 11)),
        (2, 7, 8),
        pytest.param(2, None, 3, marks=pytest.mark.slow),
    ],
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
from training_runs import LATEST, train_in
out = Path(sys.argv[1])
train_in(out, workers=0, resume=(out / LATEST).exists(), seed=7, save_interval=1e-6, hook=told)
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
