"""What computes in which precision, on a card that is pretended."""

from __future__ import annotations

import os

import pytest
import torch
from pretend_cuda import PretendCuda

from robust_reps_ext.runtime.kernels import deterministic
from robust_reps_ext.runtime.precision import amp_dtype, full_precision, said

CPU, CARD = torch.device("cpu"), torch.device("cuda", 0)


def switches():
    backends = torch.backends
    return (
        backends.cudnn.conv.fp32_precision,
        backends.cuda.matmul.fp32_precision,
        backends.cudnn.deterministic,
        backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


@pytest.fixture
def older_switches(request):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("older_switches", ["highest", "high", "medium"], indirect=True)
def test_full_precision_rounds_nothing_and_puts_all_back(older_switches):
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    with full_precision(CARD):
        assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"
    assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == before
    with full_precision(CPU):
        assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == before


@pytest.mark.skipif(
    not hasattr(torch.backends.cudnn, "conv"), reason="this torch has no newer switches"
)
def test_torch_s_newer_switches_are_heeded_and_put_back():
    conv, matmul = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = conv.fp32_precision, matmul.fp32_precision, torch.backends.cudnn.rnn.fp32_precision
    try:
        torch.backends.cudnn.rnn.fp32_precision = "ieee"  # conv is tf32: the older one refuses
        conv.fp32_precision = "tf32"
        with full_precision(CARD):
            assert conv.fp32_precision == "ieee"
        assert conv.fp32_precision == "tf32"
        with PretendCuda():
            assert said(CARD, reduced=False) == "tf32"
    finally:
        conv.fp32_precision, matmul.fp32_precision, torch.backends.cudnn.rnn.fp32_precision = before


def test_cards_before_ampere_compute_in_float16_and_never_in_tf32():
    with PretendCuda(capability=(7, 5)):
        assert amp_dtype(CARD) is torch.float16
        assert [said(CARD, reduced=one) for one in (False, True)] == ["float32", "float16"]
    with PretendCuda():
        assert amp_dtype(CARD) is torch.bfloat16
        assert [said(CARD, reduced=one) for one in (False, True)] == ["tf32", "bfloat16"]
        with full_precision(CARD):
            assert said(CARD, reduced=False) == "float32"
    assert [said(CPU, reduced=one) for one in (False, True)] == ["float32", "bfloat16"]


def test_deterministic_kernels_are_for_a_card_and_for_a_while(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = switches()
    with deterministic(CPU):
        assert switches() == before
    with deterministic(CARD):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.backends.cudnn.deterministic
    assert switches() == before
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    torch.use_deterministic_algorithms(True)
    try:
        with deterministic(CARD):
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
