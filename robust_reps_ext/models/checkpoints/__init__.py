"""Reads a checkpoint of any public format into plain names, a normaliser and the rest."""

from __future__ import annotations

import os
import pickle
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from ...runtime.errors import InputError, first_line, listed, near, one_line
from ...runtime.files import sha256
from ...runtime.modules import is_finite, is_mask
from ...runtime.plain_values import Foreign
from .containers import Contents, read_contents, read_trusted
from .state_names import Normalizer, named_plainly

__all__ = ["Checkpoint", "read_checkpoint"]

_SECTIONS = ("model", "state_dict", "model_state_dict", "net")
# Which of them torch raises differs by file and release; a KeyError is upstream's.
_UNREADABLE = InputError.also(pickle.UnpicklingError, RuntimeError, EOFError, KeyError)
_LONGEST_NAME = 300
_MOST_PERCENT = 100
_MOST_EPOCHS = 10**9
_DTYPES = {
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool),
}
_ACCURACIES = ("nat_prec1", "adv_prec1", "best_prec1", "best_acc1", "best_acc", "acc")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Parameters
    ----------
    state_dict
        Weights of the bare classifier by plain name (``"conv1.weight"``), on the CPU, in the
        precision in which they are stored.
    normalizer
        (mean, std), each of shape (C,), float32, for images in [0, 1]; None where none is stored.
    format
        ``"robustness"``, ``"robust-models-transfer"``, ``"model_metamers"``, ``"robustbench"``,
        ``"bare"`` or ``"safetensors"``.
    epoch
        Number of epochs trained, None where it is not stored.
    accuracies
        Stored accuracies, as ``{"nat_prec1": 57.9}``, in percent.
    raw
        The rest of the file, needed to resume training: optimizer, schedule, ... Parts that
        would have run code to be built are `robust_reps_ext.runtime.plain_values.Foreign`.
    unsafe_imports
        What the file wanted to import and did not get.
    path
        The file.
    sha256
        Of the file, in hexadecimal.
    """

    state_dict: dict[str, Tensor] = field(repr=False)
    normalizer: Normalizer | None
    format: str
    epoch: int | None
    accuracies: dict[str, float]
    raw: dict[str, Any] = field(repr=False)
    unsafe_imports: tuple[str, ...]
    path: Path
    sha256: str


def read_checkpoint(path: str | os.PathLike[str], *, trust: bool = False) -> Checkpoint:
    """Read a checkpoint; nothing in the file runs, unless `trust` says so.

    Parameters
    ----------
    path
        A file of one of these kinds: `robustness` (dill pickles of `train_model`),
        robust-models-transfer, model_metamers, RobustBench, a bare state dict (torchvision,
        timm), written by ``torch.save`` or safetensors. Prefixes of DataParallel,
        DistributedDataParallel and torch.compile are removed.
    trust
        Load with dill, which runs whatever code the file holds. Default False: files are read by
        an interpreter that builds tensors and plain values only.

    Raises
    ------
    InputError
        If the file is missing or unreadable, is no checkpoint, is truncated, declares more than
        it holds, has weights that are not finite or contradict each other, or needs `trust`.

    Examples
    --------
    >>> import torch, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "linear.pt")
    >>> torch.save({"state_dict": torch.nn.Linear(2, 1).state_dict(), "epoch": 3}, path)
    >>> checkpoint = read_checkpoint(path)
    >>> checkpoint.format, checkpoint.epoch, sorted(checkpoint.state_dict)
    ('bare', 3, ['bias', 'weight'])
    """
    shown = one_line(os.fspath(path)) or "''"
    _check_file(path, shown)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = sha256(file)
            file.seek(0)
            contents = _contents(file, size, shown, trust)
    except OSError as error:
        raise InputError.also(type(error))(
            f"cannot read checkpoint {shown}: {error.strerror or error}"
        ) from error
    try:
        entries, rest = _sections(contents.value)
        weights = _tensors(entries, 4 * size)
        state, normalizer, kind = named_plainly(weights)
        normalizer = _with_card(normalizer, rest.get("normalizer"))
    except _NeedsCode as error:
        names = listed(error.names or contents.foreign)
        raise InputError(
            f"{shown} was pickled with {names}; loading it would run code from the file: convert "
            "it, or pass --trust-checkpoint (trust=True) if you trust its author"
        ) from error
    except pickle.UnpicklingError as error:
        raise _UNREADABLE(f"cannot read checkpoint {shown}: {error}") from error
    epoch = rest.get("epoch")
    return Checkpoint(
        state_dict=state,
        normalizer=normalizer,
        format="safetensors" if contents.container == "safetensors" else kind,
        epoch=epoch if type(epoch) is int and 0 <= epoch < _MOST_EPOCHS else None,
        accuracies=_accuracies(rest),
        raw=rest,
        unsafe_imports=contents.foreign,
        path=Path(path),
        sha256=digest,
    )


# -- the file --------------------------------------------------------------------------------------


def _check_file(path: str | os.PathLike[str], shown: str) -> None:
    """Refuse what is no regular file; opening a pipe would wait for ever."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError.also(FileNotFoundError)(
            f"no checkpoint at {shown}{_nearby(path)}"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError.also(type(error))(f"cannot read checkpoint {shown}: {error}") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{shown} is a folder: name the checkpoint file in it{_inside(path)}")
    if not stat.S_ISREG(mode):
        raise InputError(f"{shown} is a device or pipe: name a checkpoint file")


def _contents(file: BinaryIO, size: int, shown: str, trust: bool) -> Contents:
    if not trust:
        try:
            return read_contents(file, size)
        except pickle.UnpicklingError as error:
            raise _UNREADABLE(f"cannot read checkpoint {shown}: {error}") from error
    try:
        return read_trusted(file)
    except Exception as error:  # the file's own code may raise anything
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"cannot load trusted checkpoint {shown}: {reason}") from error


_NAMES = re.compile(r"\.(pt|pth|ckpt|safetensors)(\.\w+)?$")


def _nearby(path: str | os.PathLike[str]) -> str:
    """``"; did you mean ..."`` for names like `path` in its folder; empty where there are none."""
    folder, name = os.path.split(os.path.abspath(path))
    if not os.path.isdir(folder):
        return f": there is no folder {one_line(os.path.dirname(path))}"
    close = one_line(near(name, _checkpoints(folder), [""]))
    return f": did you mean {close}?" if close else _inside(folder, "the folder") or ": name a file"


def _inside(folder: str | os.PathLike[str], called: str = "it") -> str:
    files = _checkpoints(folder)
    return f"; {called} holds {listed(files)}" if files else ""


def _checkpoints(folder: str | os.PathLike[str]) -> list[str]:
    """Files in a folder that are named as checkpoints are: ``x.ckpt``, ``checkpoint.pt.best``."""
    try:
        with os.scandir(folder) as entries:
            some = [entry for entry, _ in zip(entries, range(10_000), strict=False)]
            return sorted(one.name for one in some if _NAMES.search(one.name) and one.is_file())
    except OSError:
        return []


# -- what it holds ---------------------------------------------------------------------------------


class _NeedsCode(Exception):
    """The weights themselves are made by code in the file."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(*names)
        self.names = names


def _sections(value: Any) -> tuple[Mapping[Any, Any], dict[str, Any]]:
    """Split what was saved into the weights and the rest."""
    if isinstance(value, Foreign):
        raise _NeedsCode((value.name,))
    if isinstance(value, nn.Module):
        return value.state_dict(), {}
    if not isinstance(value, Mapping):
        raise pickle.UnpicklingError(f"it holds a {type(value).__name__}, not weights by name")
    for section in _SECTIONS:
        found = value.get(section)
        if isinstance(found, nn.Module):
            found = found.state_dict()
        if isinstance(found, Foreign):
            raise _NeedsCode((found.name,))
        if isinstance(found, Mapping):
            return found, {str(k): v for k, v in value.items() if k != section}
    if any(isinstance(entry, Tensor) for entry in value.values()):
        return value, {}
    foreign = tuple({e.name for e in value.values() if isinstance(e, Foreign)})
    if foreign:
        raise _NeedsCode(foreign)
    if not value:
        raise pickle.UnpicklingError("it holds no weights")
    raise pickle.UnpicklingError(
        f"it holds {listed(map(str, value))} and no 'model' or 'state_dict'"
    )


def _tensors(entries: Mapping[Any, Any], most_bytes: int) -> dict[str, Tensor]:
    """Check that every entry is a plain, finite tensor with a name."""
    foreign = tuple({e.name for e in entries.values() if isinstance(e, Foreign)})
    if foreign:
        raise _NeedsCode(foreign)
    tensors: dict[str, Tensor] = {}
    for name, value in entries.items():
        if not isinstance(name, str):
            raise pickle.UnpicklingError(f"a weight is named by a {type(name).__name__}")
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            raise pickle.UnpicklingError(f"a weight has the name {name[:100]!r}")
        if not isinstance(value, Tensor):
            raise pickle.UnpicklingError(f"{name!r} is a {type(value).__name__}, not a tensor")
        if value.layout is not torch.strided or value.is_meta or value.dtype not in _DTYPES:
            kind = "no memory" if value.is_meta else f"type {value.dtype}, {value.layout}"
            raise pickle.UnpicklingError(f"{name!r} has {kind}: weights are plain numbers")
        most_bytes -= value.numel() * value.element_size()
        if most_bytes < 0:
            raise pickle.UnpicklingError("its weights are far larger than the file")
        tensors[name] = value.detach()
    if not tensors:
        raise pickle.UnpicklingError("it holds no weights")
    for name, value in tensors.items():
        if not is_finite(value) and not is_mask(value):
            raise pickle.UnpicklingError(f"{name!r} holds NaN or infinite weights")
    return tensors


def _with_card(stored: Normalizer | None, card: Any) -> Normalizer | None:
    """The normaliser among the weights, or that of the card, which must not contradict it."""
    if not isinstance(card, Mapping) or not {"mean", "std"} <= set(card):
        return stored
    try:
        mean, std = (torch.tensor(card[name], dtype=torch.float32) for name in ("mean", "std"))
    except (TypeError, ValueError, RuntimeError) as error:
        raise pickle.UnpicklingError("its card has a normaliser that is no numbers") from error
    if (
        mean.dim() != 1
        or not len(mean)
        or mean.shape != std.shape
        or not bool((std > 0).all() & (mean < 1e3).all())
    ):
        raise pickle.UnpicklingError("its card has no mean and deviation of channels")
    if stored is not None and not all(
        one.shape == other.shape and torch.allclose(one, other, atol=1e-4)
        for one, other in zip(stored, (mean, std), strict=True)
    ):
        raise pickle.UnpicklingError("it holds a normaliser that differs from its card's")
    return stored or (mean, std)


def _accuracies(rest: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    card = rest.get("accuracies")
    listed = {str(k)[:100]: v for k, v in card.items()} if isinstance(card, Mapping) else {}
    for name, value in [*listed.items(), *((name, rest.get(name)) for name in _ACCURACIES)]:
        if isinstance(value, Tensor) and value.numel() == 1:
            value = value.item()
        if isinstance(value, (int, float, np.integer, np.floating)) and 0 <= value <= _MOST_PERCENT:
            found[name] = float(value)
    return found
