"""Which precision a device computes in, and whether a reduced one is any faster."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from .errors import InputError
from .numbers import shown

__all__ = [
    "PRECISIONS",
    "amp_dtype",
    "bfloat16_units",
    "check_precision",
    "full_precision",
    "is_fast",
    "reduced",
    "said",
]

PRECISIONS = ("auto", "float32", "bfloat16")

# Of the first cards that compute in bfloat16 and in TF32.
AMPERE = (8, 0)


def amp_dtype(device: torch.device) -> torch.dtype:
    """What mixed precision computes in: bfloat16, but float16 on cards that have only that.

    In float16 a gradient needs a scale, or small ones become zero: see `upstream.attack.pgd`.
    """
    return torch.float16 if device.type == "cuda" and not _is_recent(device) else torch.bfloat16


def said(device: torch.device, *, reduced: bool) -> str:
    """``"float32"``, ``"tf32"``, ``"bfloat16"`` or ``"float16"``: what convolutions compute in."""
    if reduced:
        return str(amp_dtype(device)).removeprefix("torch.")
    return "tf32" if device.type == "cuda" and _is_recent(device) and _rounds() else "float32"


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute float32 as float32 inside the block.

    By default torch rounds what convolutions read to TF32 on cards that have it: ten bits of
    mantissa, an error of 1e-3, which is more than checks allow.

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.runtime.precision import full_precision
    >>> with full_precision(torch.device("cuda")):
    ...     torch.backends.cudnn.allow_tf32
    False
    """
    if device.type != "cuda":
        yield
        return
    put_back = [_without_tf32(), _products_in_full()]
    try:
        yield
    finally:
        for one in put_back:
            one()


def _without_tf32() -> Callable[[], None]:
    cudnn: Any = torch.backends.cudnn
    try:
        before = cudnn.allow_tf32
    except RuntimeError:  # torch's newer switches have been used, which do not mix with this one
        newer = cudnn.conv.fp32_precision
        cudnn.conv.fp32_precision = "ieee"
        return lambda: setattr(cudnn.conv, "fp32_precision", newer)
    cudnn.allow_tf32 = False
    return lambda: setattr(cudnn, "allow_tf32", before)


def _products_in_full() -> Callable[[], None]:
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        matmul: Any = torch.backends.cuda.matmul
        newer = matmul.fp32_precision
        matmul.fp32_precision = "ieee"
        return lambda: setattr(matmul, "fp32_precision", newer)
    if before == "highest":
        return lambda: None
    torch.set_float32_matmul_precision("highest")
    return lambda: torch.set_float32_matmul_precision(before)


def _rounds() -> bool:
    """Whether torch lets convolutions round to TF32."""
    cudnn: Any = torch.backends.cudnn
    try:
        return bool(cudnn.allow_tf32)
    except RuntimeError:
        return bool(cudnn.conv.fp32_precision == "tf32")


def _is_recent(card: torch.device) -> bool:
    return torch.cuda.get_device_capability(card) >= AMPERE


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
