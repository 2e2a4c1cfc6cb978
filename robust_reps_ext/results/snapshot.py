"""The snapshot of a run: a file from which it goes on after an interruption, to the same bits."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..runtime.errors import InputError
from ..runtime.files import writing
from ..runtime.modules import digest
from ..runtime.numbers import shown

__all__ = ["Snapshot", "check_snapshot", "described"]

_FORMAT = "robust_reps_ext.snapshot/1"
# What versions before 0.2 called the same.
_FORMATS = (_FORMAT, "robust_reps_ext.place/1")

# Snapshots name the objective by where it stood in version 0.1.
_CALLED = {"robust_reps_ext.synthesis.objectives": "robust_reps_ext.objectives"}

# A long file is written less often than asked for: at most one twentieth of the time goes there.
_SHARE = 20


class Snapshot:
    """The file of one run.

    Parameters
    ----------
    path
        Where it stands, or will.
    interval
        Seconds between two writes; 0 for one after every step.
    run
        What the run is, by name; the file of another one is refused.
    """

    def __init__(self, path: str | os.PathLike[str], interval: float, run: Mapping[str, str]):
        check_snapshot(path)
        self.path, self.interval, self.run = Path(path), interval, dict(run)
        self._next = time.monotonic() + interval

    def read(self) -> dict[str, Tensor]:
        """What `write` was given last, on the CPU; empty if there is no file.

        Raises
        ------
        InputError
            If the file is damaged, or of another run.
        """
        if not self.path.exists():
            return {}
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata.get("format") not in _FORMATS:
                raise InputError(
                    f"{self.path} is not the snapshot of a run: its format is not {_FORMAT}; give "
                    "another file"
                )
            run, striped = json.loads(metadata["run"]), json.loads(metadata["channels_last"])
            if metadata["checksum"] != digest(kept):
                raise ValueError("its checksum is another")
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"the snapshot {self.path} is damaged: {' '.join(str(error).split())}; "
                "delete it to begin the run anew"
            ) from error
        self._check_run(run)
        for name in striped:
            kept[name] = kept[name].contiguous(memory_format=torch.channels_last)
        return kept

    def due(self) -> bool:
        """Whether the interval has passed since the last write."""
        return time.monotonic() >= self._next

    def write(self, tensors: Mapping[str, Tensor]) -> None:
        """Write everything, whole or not at all.

        Raises
        ------
        InputError
            If the file cannot be written; what stood there is as it was.
        """
        began = time.monotonic()
        striped = [name for name, one in tensors.items() if _is_striped(one)]
        # Cloned, because one file cannot hold two tensors that share their memory.
        kept = {name: one.detach().cpu().contiguous().clone() for name, one in tensors.items()}
        metadata = {
            "format": _FORMAT,
            "run": json.dumps(self.run),
            "channels_last": json.dumps(striped),
            "checksum": digest(kept),
        }
        with writing(self.path, "make room there: the same call goes on from it") as file:
            file.write(save(kept, metadata))
        now = time.monotonic()
        self._next = now + (max(self.interval, _SHARE * (now - began)) if self.interval else 0)

    def remove(self) -> None:
        """The run has ended: there is nothing to go on with."""
        self.path.unlink(missing_ok=True)

    def _check_run(self, there: Mapping[str, str]) -> None:
        differ = []
        for name in sorted({*there, *self.run}):
            old, new = there.get(name), self.run.get(name)
            if old != new:
                plain = all(value is not None and len(value) < 32 for value in (old, new))
                differ.append(f"{name} {old}, here {new}" if plain else name)
        if differ:
            raise InputError(
                f"{self.path} is the snapshot of another run (another {'; '.join(differ)}): delete "
                "it to begin this one, or give another file"
            )


def check_snapshot(path: str | os.PathLike[str]) -> None:
    """`InputError` unless a file can stand at `path`."""
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"snapshot={shown(path)} is no path: give that of a file")
    if Path(path).is_dir():
        raise InputError(f"snapshot={str(path)!r} is a folder: give a file in it")
    if not Path(path).parent.is_dir():
        raise InputError(f"snapshot={str(path)!r}: there is no folder {Path(path).parent}; make it")


def described(value: Any) -> str:
    """A text that is the same for the same value in another process: what a run is made of.

    Plain values are themselves, tensors and weights a digest; functions and other objects are
    their names, and what they hold.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return str(value)
    if isinstance(value, Tensor):
        return digest({"": value})
    return _hashed(_parts(value, set()))


def _parts(value: Any, above: set[int]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        return described(value)
    if id(value) in above:
        return "..."
    above = {*above, id(value)}
    inside: Callable[[Any], Any] = functools.partial(_parts, above=above)
    if isinstance(value, Mapping):
        return [[str(name), inside(one)] for name, one in value.items()]
    if isinstance(value, (list, tuple)):
        return [inside(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(str(inside(one)) for one in value)
    if isinstance(value, functools.partial):
        return [inside(value.func), inside(value.args), inside(value.keywords)]
    if isinstance(value, nn.Module):
        return [_name(type(value)), inside(value.state_dict())]
    if isinstance(value, type):
        return _name(value)
    if hasattr(value, "__qualname__"):
        owner = value.__self__ if inspect.ismethod(value) else None
        cells = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
        return [_name(value), inside([owner, *cells])]
    return [_name(type(value)), inside(getattr(value, "__dict__", {}))]


def _name(value: Any) -> str:
    module = getattr(value, "__module__", "")
    return f"{_CALLED.get(module, module)}.{value.__qualname__}"


def _hashed(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _is_striped(one: Tensor) -> bool:
    """Whether it lies channels last, which decides how a convolution rounds."""
    return (
        one.dim() == 4
        and not one.is_contiguous()
        and one.is_contiguous(memory_format=torch.channels_last)
    )
