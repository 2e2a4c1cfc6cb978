"""Trials of the scorecard in several processes: each made once, none lost with one that dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import robust_reps_ext as rr
from robust_reps_ext.experiments.scorecard.trials import Trials

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:the objective has no gradient"),
]

PREPARED = """
import torch
import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import CrittersDataSet
from robust_reps_ext.datasets.critters.networks import CrittersResNet

def card(data, **given):
    data_set = CrittersDataSet(data, size=24, custom_class_args={"n_train": 9, "n_val": 9})
    torch.manual_seed(0)
    pair = [rr.load_model(CrittersResNet(width=8), dataset=data_set) for _ in range(2)]
    return rr.scorecard(
        *pair, data_set, images=2, gallery=4, pairs=2, steps=2, coordinates=2, starts=2,
        additions=2, iterations=2, addition_iterations=2, radii=(4.0, 16.0), precision="float32",
        **given,
    )
"""

PROCESS = f"""{PREPARED}
import json, os, sys, time
from pathlib import Path
from robust_reps_ext.experiments import scorecard

data, out, log, seconds, processes = sys.argv[1:]
torch.set_num_threads(1)
measure = scorecard.measure

def logged(*given, seed, **more):
    with open(log, "a") as file:
        file.write(f"{{seed}} {{os.getpid()}}\\n")
    time.sleep(float(seconds))
    return measure(*given, seed=seed, **more)

scorecard.measure = logged
Path(f"{{log}}-{{os.getpid()}}").touch()
while len(list(Path(log).parent.glob("log-*"))) < int(processes):
    time.sleep(0.01)
found = card(data, trials=out)
print(json.dumps([found.claims, found.made_with]))
"""

NAMES = [f"{role}-{seed}" for role in ("robust", "standard") for seed in range(3)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("critters")


@pytest.fixture(scope="module")
def alone(data, one_thread):
    """What one process says, which keeps nothing."""
    made: dict = {}
    exec(PREPARED, made)
    card = made["card"](data)
    return json.loads(json.dumps([card.claims, card.made_with]))


@pytest.fixture
def started(data, tmp_path):
    """Begin a process; none is left when the test has ended."""
    begun = []

    def start(rank, seconds=0.0, processes=1):
        given = (data, tmp_path / "trials", tmp_path / "log", seconds, processes)
        begun.append(
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", PROCESS, *map(str, given)],
                env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def said(process):
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


def log_of(folder):
    log = folder / "log"
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def kept(folder):
    return sorted(path.stem for path in (folder / "trials").glob("*-*.json"))


def wait_for(process, condition):
    end = time.monotonic() + 300
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)


def test_two_processes_make_each_trial_once_and_say_the_same(started, alone, tmp_path):
    both = [started(rank, seconds=0.5, processes=2) for rank in range(2)]
    assert [said(process) for process in both] == [alone, alone]
    assert sorted(seed for seed, _ in log_of(tmp_path)) == ["0", "0", "1", "1", "2", "2"]
    assert {process for _, process in log_of(tmp_path)} == {str(one.pid) for one in both}
    assert kept(tmp_path) == NAMES
    assert not list((tmp_path / "trials").glob(".*"))


def test_the_trial_of_a_killed_process_is_taken_up_and_no_file_goes(started, alone, tmp_path):
    killed = started(0, seconds=600)
    wait_for(killed, lambda: log_of(tmp_path))
    other = started(1)
    wait_for(other, lambda: len(kept(tmp_path)) == 5)
    # It has made all that is free, and waits for the first.
    assert other.poll() is None
    assert kept(tmp_path) == NAMES[1:]
    with pytest.raises(rr.InputError, match="another process works in"):
        Trials(tmp_path / "trials", {}, overwrite=True)
    assert kept(tmp_path) == NAMES[1:]
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert said(other) == alone
    assert kept(tmp_path) == NAMES
    assert sorted(seed for seed, _ in log_of(tmp_path)) == ["0", "0", "0", "1", "1", "2", "2"]
