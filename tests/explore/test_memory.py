"""After many jobs nothing is left: no job, no page, no thread, no image, no memory."""

from __future__ import annotations

import gc
import os
import threading

import pytest
import torch
from explorers import Page, serving, tiny, until

from robust_reps_ext.explore.jobs import Job
from robust_reps_ext.explore.tabs import MOST_RUNS, Run, Tab
from robust_reps_ext.results.synthesis import Synthesis


def resident():
    """Megabytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def there(*kinds):
    gc.collect()
    return sum(type(one) in kinds for one in gc.get_objects())


def work(explorer, count):
    """So many jobs, of which some are stopped, given up, or left by a page that closes."""
    done = 0
    while done < count:
        page = Page(explorer)
        for way in ("end", "stop", "cancel", "end"):
            number = page.begin((0, 1), iterations=3 if way == "end" else 10**6, schedule="paper")
            if way != "end":
                page.hear_until(lambda one: one["type"] == "frame")
                page.ask(f"/runs/{number}/{way}")
            page.end(number, (0, 1))
            done += 2
        page.begin((0, 1), iterations=10**6)
        done += 2
        page.close()
    until(lambda: explorer.busy == 0 and len(explorer.tabs) == 0)


def check_nothing_is_left(tmp_path, jobs):
    networks = [tiny("one"), tiny("two", seed=1)]
    with serving(networks, torch.rand(2, 3, 8, 8), tmp_path) as explorer:
        work(explorer, 20)
        threads = threading.active_count()
        kinds = Job, Run, Tab, Synthesis
        left = there(*kinds)
        grown = []
        for _ in range(2):  # threads may grow an arena of their own once; a leak grows each time
            before = resident()
            work(explorer, jobs)
            assert explorer.busy == 0
            assert there(*kinds) <= left
            assert threading.active_count() <= threads
            grown.append(resident() - before)
    assert not [one.name for one in threading.enumerate() if one.name.startswith("explore ")]
    return min(grown)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
def test_memory_is_as_before_after_some_jobs(tmp_path):
    assert check_nothing_is_left(tmp_path, 20) < 32


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
def test_memory_is_as_before_after_200_jobs(tmp_path):
    assert check_nothing_is_left(tmp_path, 100) < 32


def test_a_page_keeps_its_last_runs(tmp_path):
    with serving([tiny()], torch.rand(1, 3, 8, 8), tmp_path) as explorer, Page(explorer) as page:
        runs = [page.begin(iterations=1) for _ in range(3)]
        for _ in range(MOST_RUNS):
            page.end(page.begin(iterations=1))
        assert page.ask(f"/runs/{runs[0]}/keep")[0] == 400
        assert len(explorer.tabs[page.tab].runs) == MOST_RUNS
