"""The files that hold checkpoints: PyTorch's zip and its older stream, and safetensors.

Everything is measured before it is built: what a file declares must fit what it holds.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO

import safetensors
import safetensors.torch
import torch

from ...runtime.errors import first_line
from ...runtime.pickles import unpickle
from ...runtime.plain_values import Foreign
from .rebuilding import ALLOWED

__all__ = ["CARD", "Contents", "read_contents", "read_trusted"]

MAX_PICKLE_BYTES = 8 * 2**20
"""The largest pickle that is read; those of the largest public checkpoints are under 1 MiB."""

MAX_INFLATION = 4
"""How many times its size a compressed file may grow; weights hardly compress at all."""

CARD = "robust_reps_ext"
"""The entry of a safetensors file's metadata that holds a model's card as JSON."""

MAX_CARD_BYTES = 2**16

_ZIP = b"PK\x03\x04"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Parameters
    ----------
    value
        The object that was saved; ``Foreign`` stands for each part that was not built.
    foreign
        Names that the file wanted to import and did not get.
    container
        ``"safetensors"`` or ``"pickle"``.
    """

    value: Any
    foreign: tuple[str, ...]
    container: str


def read_contents(file: BinaryIO, size: int) -> Contents:
    """Read a checkpoint file without running anything in it.

    Parameters
    ----------
    file
        Open for reading, at its start.
    size
        Its size in bytes, which bounds the memory that is used.

    Raises
    ------
    pickle.UnpicklingError
        If it is no checkpoint, damaged, or declares more than it holds; the message is one phrase.
    """
    head = file.read(512)
    file.seek(0)
    if not head:
        raise pickle.UnpicklingError("it is empty")
    if head.startswith(_ZIP):
        return _read_zip(file, size)
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**40:
        return _read_safetensors(file)
    if head[257:262] == b"ustar":
        raise pickle.UnpicklingError(
            "it is in the tar format that PyTorch wrote before 2017: save it again with torch.save"
        )
    if head[:1] == b"\x80":
        return _read_legacy(file, size)
    raise pickle.UnpicklingError(_what_it_is_instead(head))


def read_trusted(file: BinaryIO) -> Contents:
    """Read a checkpoint file with everything it brings: this runs whatever code it holds."""
    import dill

    if file.read(9)[8:] == b"{":
        file.seek(0)
        return _read_safetensors(file)
    file.seek(0)
    value = torch.load(file, map_location="cpu", pickle_module=dill, weights_only=False)
    return Contents(value, (), "pickle")


def _what_it_is_instead(head: bytes) -> str:
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer: fetch the file itself with git lfs pull"
    if head.lstrip()[:1] == b"<":
        return "it is a web page: download the file itself"
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        return "it is compressed: unpack it first"
    return "it is not a file that torch.save or safetensors wrote"


# -- safetensors -----------------------------------------------------------------------------------


def _read_safetensors(file: BinaryIO) -> Contents:
    data = file.read()
    try:
        weights = safetensors.torch.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        reason = first_line(error)
        raise pickle.UnpicklingError(f"its safetensors header is damaged ({reason})") from error
    card = _card(data)
    return Contents({**card, "model": weights} if card else weights, (), "safetensors")


def _card(data: bytes) -> dict[str, Any]:
    """What `robust-reps models convert` writes into the header about the weights."""
    header = data[8 : 8 + int.from_bytes(data[:8], "little")]
    if f'"{CARD}"'.encode() not in header:
        return {}
    try:
        text = json.loads(header)["__metadata__"][CARD]
        card = json.loads(text) if len(text) <= MAX_CARD_BYTES else None
    except (KeyError, ValueError, RecursionError) as error:
        raise pickle.UnpicklingError(f"its card is no JSON ({str(error)[:100]})") from error
    if not isinstance(card, dict):
        raise pickle.UnpicklingError(f"its card is no JSON object of up to {MAX_CARD_BYTES} bytes")
    return card


# -- the zip format, PyTorch 1.6 and later ---------------------------------------------------------


def _read_zip(file: BinaryIO, size: int) -> Contents:
    try:
        with zipfile.ZipFile(file) as archive:
            members = {member.filename: member for member in archive.infolist()}
            root = _checked_root(archive, members, size)
            storages = _ZipStorages(archive, members, root)
            data = io.BytesIO(archive.read(members[f"{root}/data.pkl"]))
            value, foreign = unpickle(data, ALLOWED, storage=storages)
    except (
        zipfile.BadZipFile,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        UnicodeDecodeError,
    ) as error:
        raise pickle.UnpicklingError(f"it is truncated or damaged ({error})") from error
    return Contents(value, foreign, "pickle")


def _checked_root(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], size: int) -> str:
    """The folder of the archive that holds ``data.pkl``, once the archive has been measured."""
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > MAX_INFLATION * size + 2**16:
        raise pickle.UnpicklingError(f"it unpacks to {unpacked:,} bytes from {size:,}: a zip bomb")
    packed = max((member.compress_size for member in archive.infolist()), default=0)
    if packed > size:  # zipfile would make room for as much
        raise pickle.UnpicklingError(
            f"it is truncated or damaged (a member of {packed:,} bytes in {size:,})"
        )
    if len(members) < len(archive.infolist()):
        raise pickle.UnpicklingError("it holds two members of the same name")
    roots = [name.removesuffix("/data.pkl") for name in members if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise pickle.UnpicklingError("it is a zip archive that torch.save did not write")
    root = roots[0]
    if f"{root}/constants.pkl" in members:
        raise pickle.UnpicklingError(
            "it is a TorchScript program: save the state dict of its model instead"
        )
    if members[f"{root}/data.pkl"].file_size > MAX_PICKLE_BYTES:
        raise pickle.UnpicklingError(f"its pickle is larger than {MAX_PICKLE_BYTES:,} bytes")
    order = f"{root}/byteorder"
    if order in members and archive.read(order)[:8].strip() != b"little":
        raise pickle.UnpicklingError("its numbers are in big-endian order")
    return root


class _ZipStorages:
    """The storages of an archive, each read once, at its first use."""

    def __init__(
        self, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], root: str
    ) -> None:
        self.archive, self.members, self.root = archive, members, root
        self.read: dict[str, bytearray] = {}

    def __call__(self, identity: Any) -> Any:
        wanted = _storage(identity)
        if isinstance(wanted, Foreign):
            return wanted
        name = f"{self.root}/data/{wanted.key}"
        member = self.members.get(name)
        if member is None:
            raise pickle.UnpicklingError(f"it lacks the storage {wanted.key[:40]!r}")
        if member.file_size != wanted.bytes:
            raise pickle.UnpicklingError(
                f"storage {wanted.key[:40]!r} should have {wanted.bytes:,} bytes "
                f"and has {member.file_size:,}"
            )
        if name not in self.read:
            self.read[name] = bytearray(self.archive.read(member))
        return _flat(self.read[name], wanted.dtype)


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: torch.dtype
    count: int

    @property
    def bytes(self) -> int:
        return self.count * self.dtype.itemsize


def _storage(identity: Any) -> _Storage | Foreign:
    """What a persistent id asks for; `Foreign` for an unknown kind of storage, and for a module."""
    match identity:
        case ("storage", torch.dtype() as dtype, str() as key, str(), int() as count, *_):
            if 0 <= count < 2**48:
                return _Storage(key, dtype, count)
        case ("storage", Foreign() as kind, *_):
            return kind
        # Before PyTorch 1.6 a file names the class of a module so, with its source code.
        case ("module", Foreign() as kind, *_):
            return kind
    raise pickle.UnpicklingError("it refers to something that is no storage")


def _flat(memory: bytearray, dtype: torch.dtype) -> torch.Tensor:
    return torch.frombuffer(memory, dtype=dtype) if memory else torch.empty(0, dtype=dtype)


# -- the stream format, before PyTorch 1.6 ---------------------------------------------------------


def _read_legacy(file: BinaryIO, size: int) -> Contents:
    """Five pickles (magic number, protocol, system, object, storage keys), then the storages."""
    head = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    storages = _StreamStorages(size)

    def following() -> tuple[Any, tuple[str, ...]]:
        return unpickle(head, ALLOWED, storage=storages)

    if following()[0] != _LEGACY_MAGIC or following()[0] != _LEGACY_PROTOCOL:
        raise pickle.UnpicklingError("it is a pickle that torch.save did not write")
    system, _ = following()
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise pickle.UnpicklingError("its numbers are in big-endian order")
    value, foreign = following()
    keys, _ = following()
    file.seek(head.tell())
    storages.fill(file, keys)
    return Contents(value, foreign, "pickle")


class _StreamStorages:
    """The storages of a stream: made when first named, filled once the pickles are over."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.memory: dict[str, tuple[_Storage, bytearray]] = {}

    def __call__(self, identity: Any) -> Any:
        wanted = _storage(identity)
        if isinstance(wanted, Foreign):
            return wanted
        if wanted.key not in self.memory:
            self.left -= wanted.bytes
            if self.left < 0:
                raise pickle.UnpicklingError(
                    f"storage {wanted.key[:40]!r} should have {wanted.bytes:,} bytes, "
                    "more than the file"
                )
            self.memory[wanted.key] = wanted, bytearray(wanted.bytes)
        known, memory = self.memory[wanted.key]
        if known != wanted:
            raise pickle.UnpicklingError(f"storage {wanted.key[:40]!r} has two sizes or types")
        return _viewed(_flat(memory, wanted.dtype), identity[5] if len(identity) > 5 else None)

    def fill(self, file: BinaryIO, keys: Any) -> None:
        if not isinstance(keys, list) or set(map(str, keys)) != set(self.memory):
            raise pickle.UnpicklingError("its list of storages does not fit its tensors")
        for key in keys:
            wanted, memory = self.memory[key]
            count = int.from_bytes(file.read(8), "little", signed=True)
            if count != wanted.count or file.readinto(memory) != len(memory):  # type: ignore[attr-defined]
                raise pickle.UnpicklingError(f"it is truncated: storage {key[:40]!r} is incomplete")


def _viewed(storage: torch.Tensor, view: Any) -> torch.Tensor:
    """A part of a storage, as files written before PyTorch 0.4 share them."""
    match view:
        case None:
            return storage
        case (_, int() as start, int() as count) if 0 <= start <= start + count <= len(storage):
            return storage[start : start + count]
    raise pickle.UnpicklingError("it shares a part of a storage that does not exist")
