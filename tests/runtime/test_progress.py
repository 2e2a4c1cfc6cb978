"""Where a run is watched: what is told of how long it takes, and how."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import tqdm.auto
from tqdm import tqdm as plain

from robust_reps_ext.cli import console
from robust_reps_ext.runtime.progress import Estimate, Lines, bar, duration


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5900, "98 min"), (6500, "1.8 h"),
     (100_000, "28 h"), (200_000, "2.3 days"), (2e6, "23 days")],
)  # fmt: skip
def test_a_duration_has_two_digits(seconds, told):
    assert duration(seconds) == told


def test_an_estimate_leaves_the_first_step_out_and_is_told_once():
    clock = Clock()
    estimate = Estimate(clock)
    said = []
    for step, now in enumerate((40.0, 41.0, 42.5, 43.0), 1):  # 40 s to begin with
        clock.now = now
        said.append(estimate(step, 1000))
    assert said == [None, None, f"about {duration(2.5 + 997 * 1.25)}", None]


@pytest.mark.parametrize(("runs", "told"), [(1, "about 99 s"), (4, "about 7 min"), (0, None)])
def test_of_several_runs_the_first_tells_for_all_and_the_others_nothing(runs, told):
    clock = Clock()
    estimate = Estimate(clock, runs)
    assert estimate(1, 100) is None
    clock.now = 3.0
    assert estimate(4, 100) == told


def test_a_pipe_gets_whole_lines_now_and_then(capsys):
    clock = Clock()
    lines = Lines("steps", "Inverting", clock)
    lines.total = 100
    for now in range(100):
        clock.now = float(now)
        lines.update(1, "distance 0.5")
    lines.close()
    assert capsys.readouterr().err.splitlines() == [
        "Inverting: 100 steps, about 99 s",
        "Inverting: 31/100 steps, distance 0.5",
        "Inverting: 61/100 steps, distance 0.5",
        "Inverting: 91/100 steps, distance 0.5",
        "Inverting: 100/100 steps in 99 s",
    ]


def test_the_commands_write_lines_into_a_pipe_and_a_bar_into_a_terminal(capsys, monkeypatch):
    def watched():
        with console.progress("Inverting", "steps", "distance") as move:
            move(1, 2, 0.5)
            move(2, 2, 0.25)
        return capsys.readouterr().err

    assert watched() == "Inverting: 2/2 steps in 0 s\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "distance 0.250" in watched()


def test_what_never_moved_says_nothing(capsys):
    Lines("steps").close()
    bar("step", shown=False).close()
    assert capsys.readouterr().err == ""


def test_a_notebook_gets_its_own_bar(monkeypatch):
    assert isinstance(bar("step", shown=True), Lines)  # tests are no terminal
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert type(bar("step", shown=True)) is plain
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    assert type(bar("step", shown=True)) is tqdm.auto.tqdm
