"""`robust-reps invert`, killed at any moment, ends with what an undisturbed run ends with."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest
import torch
from cox_stores import read

from robust_reps_ext.results.cox_export import faults
from robust_reps_ext.results.synthesis import Synthesis

KILLS = int(os.environ.get("ROBUST_REPS_EXT_KILLS", "8"))
COMMAND = shlex.split(
    "robust-reps invert --model critters-robust --dataset critters_fine --batch-size 2 "
    "--schedule lbfgs --save-interval 0"
)

# Imports once, then forks a process for each run: what is killed is the run, not the importing.
DRIVER = """
import json, os, random, signal, sys, time
import torch, robust_reps_ext.cli, robust_reps_ext.cli.inversion, robust_reps_ext.results.store
import robust_reps_ext.experiments.inversion, robust_reps_ext.models.loading, cox.readers
from robust_reps_ext.datasets.samples import open_data_set, validation_samples

def begin(command):
    sys.stdout.flush()
    process = os.fork()
    if not process:
        sys.argv = command
        try:
            robust_reps_ext.cli.main()
        finally:
            os._exit(sys.exc_info()[1].code or 0)
    return process

def undisturbed(command):
    began = time.monotonic()
    _, status = os.waitpid(begin(command), 0)
    assert status == 0, status
    return time.monotonic() - began

torch.set_num_threads(1)
command, outs, kills = json.loads(sys.argv[1])
validation_samples(open_data_set("critters_fine"), 1)
whole, nothing = (undisturbed([*command, "--out", outs[0]]) for _ in range(2))
longest = 0.9 * min(whole, 2 * nothing + 2 * (whole - nothing) / kills)
draw, killed = random.Random(0), 0
for out in outs[1:]:
    while killed < kills:
        process = begin([*command, "--out", out])
        time.sleep(draw.uniform(0, longest))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if not os.WIFSIGNALED(status):
            assert status == 0, status
            break
        killed += 1
    undisturbed([*command, "--out", out])
    print(out, killed)
    if killed == kills:
        break
"""


def results(out):
    """Tables and tensors, without the times."""
    metadata, rows = (read(out, name).to_dict("list") for name in ("metadata", "results"))
    del metadata["created"]
    [experiment] = out.iterdir()
    assert not faults(experiment)
    left = [path.name for path in experiment.rglob(".*") if path.suffix == ".tmp"]
    # A picture may have been half written; it was drawn again.
    assert not [name for name in left if ".png." not in name]
    assert not list((experiment / "snapshots").iterdir())
    runs = {path.name: Synthesis.load(path) for path in experiment.glob("*.safetensors")}
    return metadata, rows, runs


@pytest.mark.parametrize(
    ("kills", "n", "iterations"),
    [(1, 3, 8), pytest.param(KILLS, 5, 40, marks=pytest.mark.slow)],
)
def test_a_killed_inversion_ends_as_an_undisturbed_one(kills, n, iterations, tmp_path):
    outs = [tmp_path / f"out{i}" for i in range(kills + 4)]
    command = [*COMMAND, "--n", str(n), "--iterations", str(iterations)]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps([command, list(map(str, outs)), kills])],
        capture_output=True,
        text=True,
        timeout=240 + 60 * kills,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ended = [line.split() for line in done.stdout.splitlines() if line.startswith(str(tmp_path))]
    ended = [(out, int(killed)) for out, killed in (pair for pair in ended if len(pair) == 2)]
    print(f"{kills} kills in {time.monotonic() - began:.0f} s: {ended}")
    assert ended[-1][1] == kills
    metadata, rows, runs = results(outs[0])
    assert rows["image"] == list(range(n))
    for out, _ in ended:
        again = results(tmp_path / out)
        assert again[:2] == (metadata, rows)
        assert list(again[2]) == list(runs)
        for name, run in runs.items():
            for field in ("images", "start", "objective", "trace", "trace_steps"):
                assert torch.equal(getattr(run, field), getattr(again[2][name], field))
            assert run.settings == again[2][name].settings


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_ends_the_step_and_says_how_to_go_on(tmp_path, number, status):
    out = tmp_path / "out"
    command = [*COMMAND[1:], "--n", 3, "--iterations", 100_000, "--out", out]
    process = subprocess.Popen(
        [sys.executable, "-m", "robust_reps_ext", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + 300
        while not list(out.glob("*/snapshots/*.safetensors")):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == status
    assert "interrupted: finishing this step (a second time leaves at once)" in said
    assert said.splitlines()[-1] == (
        "error: interrupted; with the same --out, the same command goes on"
    )
    assert "Traceback" not in said
    assert list(out.glob("*/snapshots/*.safetensors"))
