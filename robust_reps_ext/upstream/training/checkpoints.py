"""Checkpoints on disk: written whole or not at all, and readable without running code."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...runtime.errors import InputError, first_line
from ...runtime.files import writing

__all__ = ["LATEST", "plain", "write"]

LATEST = "latest"
"""What ``--resume`` alone means: the newest checkpoint of the experiment."""


def write(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Save `content` at `path` so that a kill at any moment leaves the old file or the new one.

    Parameters
    ----------
    path
        Where to; its directory must exist.
    content
        What `plain` accepts. ``torch.load(path, weights_only=True)`` reads the file.

    Raises
    ------
    InputError
        If the file cannot be written, for want of space or permission; a file that stood there
        is as it was.
    """
    advice = "make room or choose another --out-dir; an older checkpoint there is unharmed"
    try:
        with writing(path, advice) as file:
            torch.save(plain(content), file)
    except RuntimeError as error:
        # torch's own writer names no system error: it fails when the disk is full.
        raise InputError.also(RuntimeError)(
            f"cannot write {path}: {first_line(error)}; {advice}"
        ) from error


def plain(value: Any) -> Any:
    """`value` with nothing in it but tensors, numbers, text, dicts and lists.

    NumPy scalars and arrays become numbers and tensors.

    Raises
    ------
    TypeError
        If there is anything else in it.
    """
    if isinstance(value, torch.Tensor):
        return value.detach()
    kind: Any
    for kind in (bool, int, float, str):  # np.float64 is a float, enums may be str
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, Mapping):
        kind = OrderedDict if isinstance(value, OrderedDict) else dict
        return kind((plain(key), plain(entry)) for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if value is None:
        return None
    raise TypeError(f"a checkpoint holds plain values only, not {type(value).__qualname__}")
