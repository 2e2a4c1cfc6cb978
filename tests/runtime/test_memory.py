"""How many images a batch has: as many as pays and as memory allows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from robust_reps_ext.runtime.memory import fastest_batch, in_batches, is_out_of_memory

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

    assert fastest_batch(takes(constant), 20, CPU) == 20
    assert sorted(set(sizes)) == [1, 2, 4, 8, 16, 20]
    assert fastest_batch(takes(lambda n: 0.01 * n), 20, CPU) == 1
    assert fastest_batch(takes(lambda n: 0.02 * max(1, n / 4)), 20, CPU) == 4


def test_a_batch_grows_no_further_than_memory_allows(takes):
    def full(n):
        if n > 7:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 0.01

    assert fastest_batch(takes(full), 64, CPU) == 6
    with pytest.raises(ValueError, match="own"):
        fastest_batch(takes(lambda n: int("own")), 4, CPU)


def test_what_is_kept_beside_counts_as_memory(takes, monkeypatch):
    """L-BFGS has none of its twenty tensors after the one step that is tried."""
    memory = "robust_reps_ext.runtime.memory._Memory"
    monkeypatch.setattr(f"{memory}.now", classmethod(lambda cls, device: cls(0, 1000.0)))
    monkeypatch.setattr(f"{memory}.needed", lambda self, device: 0)
    constant = takes(lambda n: 0.01)
    assert fastest_batch(constant, 64, CPU) == 64
    assert fastest_batch(constant, 64, CPU, beside=110) == 6  # of 1000 bytes, 800 may be used


SAID = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate"),
    MemoryError(),
)


@pytest.mark.parametrize("error", SAID, ids=str)
@pytest.mark.filterwarnings("ignore:out of memory with 4 images")
def test_whoever_runs_out_of_memory_gets_half_of_the_images(error):
    sizes = []

    def work(rows):
        sizes.append(rows.stop - rows.start)
        if sizes[-1] > 2:
            raise error
        return torch.zeros(sizes[-1])

    assert is_out_of_memory(error)
    assert len(in_batches(4, 4, work)) == 4
    assert sizes == [4, 2, 2]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        ValueError("out of memory"),
    ],
    ids=str,
)
def test_other_errors_are_none_of_memory(error):
    assert not is_out_of_memory(error)
