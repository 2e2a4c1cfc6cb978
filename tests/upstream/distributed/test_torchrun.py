"""Training in several processes, started by torchrun itself: the same as in one."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from cox.store import Store
from torch.utils.data import BatchSampler
from torchrun_tiny import N_VAL

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime import random_state
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.upstream import distributed
from robust_reps_ext.upstream.distributed.batches import RankBatches
from robust_reps_ext.upstream.mends.main import setup_args

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # upstream's word about apex
    from robustness import main

LATEST = "checkpoint.pt.latest"
TINY = Path(__file__).parents[2] / "torchrun_tiny.py"
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

FIXED = (
    "--dataset critters --arch plain --adv-train 1 --constraint 2 --eps 1 --attack-lr 0.5 "
    "--attack-steps 2 --random-restarts 0 --use-best 1 --epochs 2 --batch-size 16 --workers 0 "
    "--seed 1 --lr 0.05 --log-iters 1"
)
SAME_DRAWS = "--data-aug 0 --random-start 0"


def words(folder, name, more=""):
    here = f"--data {folder / 'critters'} --out-dir {folder / 'runs'} --exp-name {name}"
    return [*shlex.split(FIXED), *shlex.split(here), *shlex.split(more)]


def start(launcher, *rest, timeout=300):
    environment = {
        **{name: value for name, value in os.environ.items() if name[:5] != "TORCH"},
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(
        [*launcher, *map(str, rest)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def checkpoint(folder, name):
    return torch.load(folder / "runs" / name / LATEST, weights_only=True)


def logs(folder, name):
    store = Store(str(folder / "runs"), name, mode="r")
    table = store["logs"].df.drop(columns="time")
    store.close()
    return table


def assert_close(left, right):
    """The same names and, to rounding, the same weights."""
    assert list(left["model"]) == list(right["model"])
    for name, value in left["model"].items():
        torch.testing.assert_close(value, right["model"][name], rtol=1e-4, atol=1e-5, msg=name)


def assert_same_logs(left, right):
    torch.testing.assert_close(
        torch.tensor(left.values),
        torch.tensor(right.values),
        rtol=1e-4,
        atol=1e-5,
        equal_nan=True,
    )


@pytest.mark.parametrize("size", [1, 2, 3, 9])
@pytest.mark.parametrize("lend", [True, False])
def test_the_ranks_share_each_batch(size, lend):
    batches = BatchSampler(range(23), batch_size=7, drop_last=False)
    ranks = [RankBatches(batches, rank, size, lend=lend) for rank in range(size)]
    parts = [list(one) for one in ranks]
    assert [len(one) for one in ranks] == [len(part) for part in parts]
    if not lend:
        assert sorted(i for part in parts for batch in part for i in batch) == list(range(23))
        return
    for step, batch in enumerate(batches):
        shares = [one.share(step) for one in ranks]
        own = [part[step][: share.images] for part, share in zip(parts, shares, strict=True)]
        assert sorted(i for part in own for i in part) == batch
        assert min(len(part[step]) for part in parts) == shares[0].least
        # The mean over ranks of weighted means is the mean over the batch.
        means = [
            share.weight * sum(part[step]) / len(part[step])
            for part, share in zip(parts, shares, strict=True)
        ]
        assert sum(means) / size == pytest.approx(sum(batch) / len(batch))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The same runs in one process and, in one start of torchrun, in two."""
    folder = tmp_path_factory.mktemp("torchrun")
    runs = {
        "plain": SAME_DRAWS,
        "parts": f"{SAME_DRAWS} --grad-accumulation 4",
        "synced": f"{SAME_DRAWS} --arch normed --sync-bn 1 --batch-size 22",
        "drawn": "--random-start 1 --workers 1",
    }
    ends = {}
    for who, launcher in (("one", (sys.executable,)), ("two", TORCHRUN)):
        lines = folder / f"{who}.json"
        commands = [words(folder, f"{who}-{name}", more) for name, more in runs.items()]
        trained = folder / "runs" / f"{who}-plain" / LATEST
        evaluation = f"{SAME_DRAWS} --eval-only 1 --resume {trained}"
        lines.write_text(json.dumps([*commands, words(folder, f"{who}-evaluated", evaluation)]))
        ends[who] = start(launcher, TINY, "--times", lines)
        assert ends[who][0] == 0, ends[who][2]
    return folder, ends


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "parts", "synced"])
def test_two_processes_train_as_one(name, trained):
    folder, _ = trained
    one, two = (checkpoint(folder, f"{who}-{name}") for who in ("one", "two"))
    assert_close(one, two)
    left, right = (logs(folder, f"{who}-{name}") for who in ("one", "two"))
    assert_same_logs(left, right)
    # Each of the images was evaluated once, or accuracies could not be these fractions.
    hits = right["nat_prec1"] * N_VAL / 100
    assert (hits - hits.round()).abs().max() < 1e-3


@pytest.mark.slow
def test_two_processes_evaluate_as_one(trained):
    folder, _ = trained
    one, two = (logs(folder, f"{who}-evaluated") for who in ("one", "two"))
    assert_same_logs(one, two)
    assert one["adv_prec1"].notna().all()


@pytest.mark.slow
def test_accumulated_gradients_are_those_of_the_whole_batch(trained):
    folder, _ = trained
    assert_close(checkpoint(folder, "one-plain"), checkpoint(folder, "one-parts"))


@pytest.mark.slow
def test_only_rank_0_writes_and_prints(trained):
    folder, ends = trained
    files = {
        who: sorted(p.name for p in (folder / "runs" / f"{who}-plain").iterdir())
        for who in ("one", "two")
    }
    assert [f for f in files["one"] if "tfevents" not in f] == [
        f for f in files["two"] if "tfevents" not in f
    ]
    assert len(files["one"]) == len(files["two"])
    # The bars' text differs by times only in length; count what stands in them.
    for stream, mark in ((1, "after epoch 2:"), (2, "Train Epoch:1")):
        last = [ends[who][stream].count(mark) for who in ("one", "two")]
        assert last[0] >= 4
        assert stream == 2 or last[0] == last[1] == 4


@pytest.mark.slow
def test_a_killed_rank_is_restarted_and_the_run_ends_as_undisturbed(trained):
    folder, _ = trained
    line = words(folder, "killed", "--random-start 1 --workers 1 --save-interval 0.001")
    status, said, errors = start(
        [*TORCHRUN, "--max-restarts", "1"], TINY, "--stop", 1, 8, int(signal.SIGKILL), *line
    )
    assert status == 0, errors
    assert "torchrun restarted this run: going on from" in said
    # Of the ten steps, at most the one in which the rank was killed was made twice.
    assert 10 <= errors.count("[trained a step]") <= 11
    killed, whole = checkpoint(folder, "killed"), checkpoint(folder, "two-drawn")
    assert all(torch.equal(value, whole["model"][name]) for name, value in killed["model"].items())
    assert logs(folder, "killed").equals(logs(folder, "two-drawn"))


@pytest.mark.slow
def test_an_interrupted_run_goes_on_in_more_or_fewer_processes(trained):
    folder, _ = trained
    line = words(folder, "stopped", SAME_DRAWS)
    one, terminated = (sys.executable,), int(signal.SIGTERM)
    status, _, errors = start(one, TINY, "--stop", 0, 3, terminated, *line)
    assert status == 143, errors
    status, _, errors = start(TORCHRUN, TINY, "--stop", 1, 4, terminated, *line, "--resume")
    assert status != 0
    assert errors.count("to go on, give the same command with --exp-name stopped --resume") == 1
    stopped = checkpoint(folder, "stopped")
    # The other rank was not told: both stopped after the step in which one was, or the next.
    assert 5 * stopped["epoch"] + stopped["within_epoch"]["progress"]["steps"] in (7, 8)
    assert len(stopped["within_epoch"]["rank_states"]) == 2
    status, _, errors = start(one, TINY, *line, "--resume")
    assert status == 0, errors
    assert_close(checkpoint(folder, "one-plain"), checkpoint(folder, "stopped"))
    assert_same_logs(logs(folder, "one-plain"), logs(folder, "stopped"))


def test_augmentation_differs_by_rank_but_not_by_chance():
    draws = []
    for rank in (0, 1, 1, 2):
        torch.manual_seed(7)
        random_state.seed_worker(rank)
        draws.append((torch.rand(1).item(), random.random(), np.random.rand()))  # noqa: NPY002
    assert draws[1] == draws[2]
    assert all(len(set(values)) == 3 for values in zip(*draws, strict=True))
    draws = []
    for rank in (0, 1, 1):
        random_state.seed_epoch(5, 2, rank=rank)
        draws.append(torch.rand(1).item())
    assert draws[0] != draws[1] == draws[2]


def test_a_batch_that_does_not_divide_is_refused_once(tmp_path):
    line = [*words(tmp_path, "refused"), "--batch-size", "15"]
    status, _, errors = start(TORCHRUN, "-m", "robustness.main", *line)
    assert status != 0
    message = "error: --batch-size=15 does not divide into 2 processes: give 14 or 16"
    assert errors.count(message) == 1
    assert "InputError" not in errors
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("processes", "more", "message"),
    [
        (1, "--grad-accumulation 3", r"16 does not divide into 3 parts .*: give 15 or 18"),
        (4, "--grad-accumulation 3", r"into 4 processes x 3 parts .*: give 12 or 24"),
        (32, "", "into 32 processes: give 32"),
        (1, "--grad-accumulation 0", "--grad-accumulation=0 is below 1"),
        (2, "--on-bad-image skip", "--on-bad-image skip would leave processes"),
    ],
)
def test_what_does_not_divide_is_refused(processes, more, message, tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: processes)
    args = main.parser.parse_args(words(tmp_path, "refused", f"--weight-decay 0 {more}"))
    with pytest.raises(InputError, match=message):
        setup_args(args)


def test_more_processes_than_cards_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "3")):
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="for there are 2: give torchrun --nproc-per-node 2"):
        with distributed.process_group():
            pass


def test_an_environment_without_a_meeting_place_is_refused(monkeypatch):
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=r"MASTER_ADDR expected, but not set.*start them by"):
        with distributed.process_group():
            pass
