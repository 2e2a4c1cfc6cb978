"""One command on several processes of `torchrun`: the same results, whoever dies on the way."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import typer
from torch.distributed.run import parse_args

from robust_reps_ext import cli
from robust_reps_ext.results.cox_export import faults
from robust_reps_ext.results.reader import read_results
from robust_reps_ext.results.records import read_records
from robust_reps_ext.results.synthesis import Synthesis

N = 12
COMMAND = (
    "robust_reps_ext invert --model critters-robust --dataset critters_fine --batch-size 1 "
    "--step-size 1 --save-interval 0"
)


def begin(out, *launcher, n=N, iterations=40):
    given = ["--n", str(n), "--iterations", str(iterations), "--out", str(out)]
    command = [sys.executable, "-m", *launcher, *COMMAND.split(), *given]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def torchrun(n, restarts=0):
    return (
        *("torch.distributed.run", "--standalone", "--nproc-per-node", str(n)),
        *("--max-restarts", str(restarts), "-m", "--"),
    )


def wait_for_parts(out, n, process):
    """Wait until so many parts are finished."""
    end = time.monotonic() + 300
    while len(list(out.glob("*/records/inversion-*.json"))) < n:
        assert time.monotonic() < end
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)


def workers(process):
    """The processes that torchrun has made."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"robust_reps_ext" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def results(out):
    [found] = read_results(out)
    runs = [Synthesis.load(path) for _, path in sorted(found.tensors.items())]
    return found, Synthesis.joined(runs)


def test_two_processes_make_each_image_once(tmp_path):
    process = begin(tmp_path, *torchrun(2), n=4, iterations=1)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert said.count("image  label") == 1
    found, run = results(tmp_path)
    assert found.results["image"].tolist() == [0, 1, 2, 3]
    assert len(run) == 4
    assert not faults(found.path)


@pytest.mark.slow
def test_a_sweep_ends_as_one_process_does(tmp_path):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    said, _ = begin(alone).communicate(timeout=600)
    assert said.count("image  label") == 1
    expected, run = results(alone)

    # Three processes, all of which die.
    first = begin(shared, *torchrun(3))
    wait_for_parts(shared, 2, first)
    for process in (first.pid, *workers(first)):
        os.kill(process, signal.SIGKILL)
    first.communicate(timeout=60)
    before = len(list(shared.glob("*/records/inversion-*.json")))
    assert 2 <= before < N

    # Two, one of which dies and is begun again.
    second = begin(shared, *torchrun(2, restarts=1))
    wait_for_parts(shared, before + 1, second)
    os.kill(workers(second)[-1], signal.SIGKILL)
    said, _ = second.communicate(timeout=600)
    assert second.returncode == 0, said
    # Only one of them shows the results.
    assert said.count("image  label") == 1

    found, again = results(shared)
    assert found.results["image"].tolist() == list(range(N))
    for column in ("label", "index", "name", "tensors"):
        assert found.results[column].tolist() == expected.results[column].tolist()
    assert len(read_records(found.path)) == N + 1
    assert not faults(found.path)
    torch.testing.assert_close(again.images, run.images, rtol=0, atol=1e-5)
    torch.testing.assert_close(again.objective, run.objective)
    assert not [path for path in found.path.rglob("*") if path.name.endswith("tmp")]


def test_torchrun_lets_every_option_through():
    """After `--`, that is: --n and --start could be short for some of its own."""
    for name, command in typer.main.get_command(cli.app).commands.items():
        for option in command.params:
            given = ["robust_reps_ext", name, option.opts[0], "1"]
            parsed = parse_args(["--nproc-per-node", "2", "-m", "--", *given])
            assert [parsed.training_script, *parsed.training_script_args] == given
