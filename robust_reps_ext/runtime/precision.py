"""Which reduced precision a device computes in, and whether that is any faster."""

from __future__ import annotations

import functools
from typing import Any

import torch

from .errors import InputError
from .numbers import shown

__all__ = ["PRECISIONS", "amp_dtype", "bfloat16_units", "check_precision", "is_fast", "reduced"]

PRECISIONS = ("auto", "float32", "bfloat16")


def amp_dtype(device: torch.device) -> torch.dtype:
    """What mixed precision computes in: float16 on CUDA, bfloat16 elsewhere."""
    return torch.float16 if device.type == "cuda" else torch.bfloat16


def is_fast(device: torch.device) -> bool:
    """Whether reduced precision pays on `device`.

    A CPU without bfloat16 instructions emulates them, ten times slower than float32.
    """
    return device.type == "cuda" or bool(bfloat16_units())


@functools.cache
def bfloat16_units() -> tuple[str, ...]:
    """The CPU's instructions for bfloat16, by name; empty if it has none."""
    if hasattr(torch.cpu, "get_capabilities"):
        able = torch.cpu.get_capabilities()
        return tuple(name for name in ("amx_bf16", "avx512_bf16", "bf16") if able.get(name))
    known = {"amx_bf16": "_is_amx_tile_supported", "avx512_bf16": "_is_avx512_bf16_supported"}
    return tuple(
        name for name, probe in known.items() if getattr(torch.cpu, probe, lambda: False)()
    )


def check_precision(precision: Any) -> None:
    """Raise `InputError` for a word that is none of `PRECISIONS`."""
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise InputError(
            f"precision={shown(precision)} is not known: choose {' or '.join(PRECISIONS)}"
        )


def reduced(precision: str, device: torch.device) -> bool:
    """Whether ``"float32"``, ``"bfloat16"`` or ``"auto"`` means autocast on `device`."""
    check_precision(precision)
    return precision == "bfloat16" or (precision == "auto" and is_fast(device))
