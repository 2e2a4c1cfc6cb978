"""Units shared by processes: each made once, none lost with a process that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robust_reps_ext.results.locks import claimed, lock_of
from robust_reps_ext.runtime.errors import InputError

WORKER = """
import os, sys, time
from pathlib import Path
from robust_reps_ext.results.locks import claimed
folder, n, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
for unit in claimed([folder / f"unit{i}" for i in range(n)], interval=0.02):
    with open(folder / "log", "a") as log:
        log.write(f"{unit.name} {os.getpid()}\\n")
    time.sleep(seconds)
    unit.write_text(str(os.getpid()))
"""


def units_in(folder, n):
    return [folder / f"unit{i}" for i in range(n)]


def started(folder, n, seconds, rank=0, world=1):
    place = {"RANK": str(rank), "WORLD_SIZE": str(world)}
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), str(n), str(seconds)],
        env={**os.environ, **place},
    )


def log_of(folder):
    return [line.split() for line in (folder / "log").read_text().splitlines()]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_finished_units_are_left_alone(tmp_path):
    first, second = units_in(tmp_path, 2)
    first.write_text("there")
    taken = []
    for unit in claimed([first, second]):
        taken.append(unit)
        unit.write_text("made")
    assert taken == [second]
    assert not list(claimed([first, second]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["unit0", "unit1"]


def test_each_rank_begins_at_its_own_place(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank, order in enumerate(("012345", "234501", "450123")):
        monkeypatch.setenv("RANK", str(rank))
        assert "".join(unit.name[-1] for unit in claimed(units_in(tmp_path, 6))) == order


def test_a_unit_left_unfinished_is_not_given_again_and_is_free(tmp_path):
    (unit,) = units_in(tmp_path, 1)
    assert list(claimed([unit])) == [unit]
    assert list(claimed([unit])) == [unit]


def test_an_error_in_the_loop_frees_the_unit(tmp_path):
    (unit,) = units_in(tmp_path, 1)

    def fail():
        for _ in claimed([unit]):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        fail()
    assert list(claimed([unit], wait=False)) == [unit]
    assert caught.value.__traceback__ is not None


def test_without_waiting_what_another_has_is_left(tmp_path):
    units = units_in(tmp_path, 2)
    others = claimed(units)
    assert next(others) == units[0]
    assert list(claimed(units, wait=False)) == [units[1]]
    others.close()
    assert list(claimed(units, wait=False)) == units


def test_processes_make_each_unit_once(tmp_path):
    workers = [started(tmp_path, 12, 0.02, rank, 3) for rank in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert sorted(name for name, _ in log_of(tmp_path)) == sorted(f"unit{i}" for i in range(12))
    assert len({process for _, process in log_of(tmp_path)}) > 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["log", *(f"unit{i}" for i in range(12))]
    )


def test_another_process_takes_up_what_a_killed_one_had(tmp_path):
    killed = started(tmp_path, 3, 600)
    wait_for((tmp_path / "log").exists)
    wait_for(lambda: log_of(tmp_path))
    other = started(tmp_path, 3, 0)
    wait_for(lambda: all(unit.exists() for unit in units_in(tmp_path, 3)[1:]))
    # The other has done all it could and waits for the first unit.
    assert other.poll() is None
    assert not (tmp_path / "unit0").exists()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert other.wait(60) == 0
    assert (tmp_path / "unit0").read_text() == str(other.pid)
    assert not Path(lock_of(tmp_path / "unit0")).exists()


def test_a_place_where_no_lock_can_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"^cannot claim .*file/unit: .*; give a directory"):
        list(claimed([tmp_path / "file" / "unit"]))
