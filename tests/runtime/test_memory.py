"""How many images a batch has: as many as pays and as memory allows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from robust_reps_ext.runtime.memory import fastest_batch

CPU = torch.device("cpu")


@pytest.fixture
def takes(monkeypatch):
    """Steps with n images that take `seconds(n)`, by a clock that nothing else moves."""
    clock = SimpleNamespace(now=0.0)
    clock.perf_counter = lambda: clock.now
    monkeypatch.setattr("robust_reps_ext.runtime.memory.time", clock)

    def steps(seconds):
        def step(n):
            clock.now += seconds(n)

        return step

    return steps


def test_a_batch_grows_while_that_pays(takes):
    sizes = []

    def constant(n):
        sizes.append(n)
        return 0.02

    assert fastest_batch(takes(constant), 20, CPU) == 16
    assert sorted(set(sizes)) == [1, 2, 4, 8, 16]
    assert fastest_batch(takes(lambda n: 0.01 * n), 20, CPU) == 1
    assert fastest_batch(takes(lambda n: 0.02 * max(1, n / 4)), 20, CPU) == 4


def test_a_batch_grows_no_further_than_memory_allows(takes):
    def full(n):
        if n > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 0.01

    assert fastest_batch(takes(full), 64, CPU) == 4
    with pytest.raises(ValueError, match="own"):
        fastest_batch(takes(lambda n: int("own")), 4, CPU)
