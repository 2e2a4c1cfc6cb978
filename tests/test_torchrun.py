"""Training in several processes, started by torchrun itself: the same as in one."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cox.store import Store
from torch.utils.data import BatchSampler
from torchrun_tiny import N_VAL

import robust_reps_ext  # noqa: F401
from robust_reps_ext.upstream.rank_loaders import RankBatches

LATEST = "checkpoint.pt.latest"
TINY = Path(__file__).with_name("torchrun_tiny.py")
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
        "drawn": "--random-start 1",
    }
    ends = {}
    for who, launcher in (("one", (sys.executable,)), ("two", TORCHRUN)):
        lines = folder / f"{who}.json"
        lines.write_text(
            json.dumps([words(folder, f"{who}-{name}", more) for name, more in runs.items()])
        )
        ends[who] = start(launcher, TINY, "--times", lines)
        assert ends[who][0] == 0, ends[who][2]
    return folder, ends


@pytest.mark.parametrize("name", ["plain", "parts", "synced"])
def test_two_processes_train_as_one(name, trained):
    folder, _ = trained
    one, two = (checkpoint(folder, f"{who}-{name}") for who in ("one", "two"))
    assert_close(one, two)
    left, right = (logs(folder, f"{who}-{name}") for who in ("one", "two"))
    torch.testing.assert_close(
        torch.tensor(left.values), torch.tensor(right.values), rtol=1e-4, atol=1e-5
    )
    # Each of the images was evaluated once, or accuracies could not be these fractions.
    hits = right["nat_prec1"] * N_VAL / 100
    assert (hits - hits.round()).abs().max() < 1e-3


def test_accumulated_gradients_are_those_of_the_whole_batch(trained):
    folder, _ = trained
    assert_close(checkpoint(folder, "one-plain"), checkpoint(folder, "one-parts"))


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


def test_a_killed_rank_is_restarted_and_the_run_ends_as_undisturbed(trained):
    folder, _ = trained
    line = words(folder, "killed", "--random-start 1 --save-interval 0.001")
    status, said, errors = start(
        [*TORCHRUN, "--max-restarts", "1"], TINY, "--stop", 1, 8, int(signal.SIGKILL), *line
    )
    assert status == 0, errors
    assert "torchrun restarted this run: going on from" in said
    killed, whole = checkpoint(folder, "killed"), checkpoint(folder, "two-drawn")
    assert all(torch.equal(value, whole["model"][name]) for name, value in killed["model"].items())
    assert logs(folder, "killed").equals(logs(folder, "two-drawn"))


def test_an_interrupted_run_goes_on_in_one_process(trained):
    folder, _ = trained
    line = words(folder, "stopped", SAME_DRAWS)
    status, _, errors = start(TORCHRUN, TINY, "--stop", 1, 7, int(signal.SIGTERM), *line)
    assert status != 0
    assert errors.count("to go on, give the same command with --exp-name stopped --resume") == 1
    place = checkpoint(folder, "stopped")["place"]
    assert place["progress"]["steps"] + 5 * checkpoint(folder, "stopped")["epoch"] in (7, 8)
    assert len(place["rank_states"]) == 2
    status, _, errors = start((sys.executable,), TINY, *line, "--resume")
    assert status == 0, errors
    assert_close(checkpoint(folder, "one-plain"), checkpoint(folder, "stopped"))
    left, right = logs(folder, "one-plain"), logs(folder, "stopped")
    torch.testing.assert_close(
        torch.tensor(left.values), torch.tensor(right.values), rtol=1e-4, atol=1e-5
    )


def test_a_batch_that_does_not_divide_is_refused_once(tmp_path):
    line = [*words(tmp_path, "refused"), "--batch-size", "15"]
    status, _, errors = start(TORCHRUN, "-m", "robustness.main", *line)
    assert status != 0
    message = "error: --batch-size=15, that of all processes together, does not divide into"
    assert errors.count(message) == 1
    assert "2 processes: give 14 or 16" in errors
    assert "InputError" not in errors
    assert not (tmp_path / "runs").exists()
