"""The script for a card, rehearsed on the CPU: all its blocks run there, in small."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPT = FOLDER / "on_gpu.sh"


@pytest.fixture
def on_gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import on_gpu

    return on_gpu


def named():
    return re.findall(r"^only (\w+) && (measured|block) (\w+) (\d+)", SCRIPT.read_text(), re.M)


def test_every_block_is_run_once_within_nine_minutes(on_gpu):
    blocks = [name for _, _, name, _ in named()]
    assert [asked for asked, _, _, _ in named()] == blocks
    assert sorted(blocks) == sorted([*on_gpu.BLOCKS, "tests", "torchrun"])
    assert sum(int(limit) for *_, limit in named()) <= 540


def test_the_blocks_say_what_they_measure(on_gpu, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["on_gpu.py", "steps", "--device", "cpu", "--seconds", "0"])
    on_gpu.main()
    on_gpu.copies(on_gpu.Machine("cpu", 5))
    on_gpu.memory(on_gpu.Machine("cpu", 5))
    said = capsys.readouterr().out
    assert "FAILED" not in said
    assert "steps on no card: rehearsed" in said
    assert "matrix products in bfloat16" in said
    assert "the rest was not measured: the time is over" in said
    assert "2 images at a time became 2" in said
    assert "resnet18, TF32 True: accepted True, off by" in said


def test_a_cell_that_fails_is_a_line_and_the_next_is_tried(on_gpu, capsys):
    here = on_gpu.Machine("cpu", 5)
    with on_gpu.told("graph"):
        on_gpu._captured(lambda: None, here)
    assert "graph: FAILED RuntimeError: ['a CPU has no graphs" in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_script_is_rehearsed(tmp_path):
    done = subprocess.run(
        ["bash", SCRIPT],
        env={**os.environ, "DEVICE": "cpu", "OUT": str(tmp_path), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    texts = {one.stem: one.read_text("utf-8") for one in tmp_path.glob("*.txt")}
    assert texts.keys() == {name for _, _, name, _ in named()}
    for name, text in texts.items():
        lines = [line for line in text.splitlines() if "FAILED" in line]
        assert all("no graphs" in line for line in lines), (name, lines)
