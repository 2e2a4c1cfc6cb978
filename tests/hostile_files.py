"""Files that lie: for each, what makes it and what the error says. Reading one must run nothing."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile

import dill
import numpy as np
import safetensors.torch
import torch
from checkpoint_files import LEGACY, attacker, network, saved

from robust_reps_ext.datasets.critters.networks import critters_resnet


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def archive(program: bytes, compression=zipfile.ZIP_STORED, **members: bytes) -> bytes:
    """A checkpoint file around a hand-written pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        file.writestr("archive/data.pkl", program)
        for name, data in members.items():
            file.writestr(f"archive/{name.replace('__', '/')}", data)
    return stream.getvalue()


def reaching_beyond(content: bytes) -> bytes:
    """The archive, whose directory says of its first member that 2 GiB are stored."""
    at = content.index(b"PK\x01\x02") + 20
    return content[:at] + struct.pack("<I", 2**31 - 1) + content[at + 4 :]


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def tensor_program(size: tuple, stride: tuple, count: int, key: str = "0") -> bytes:
    """The pickle of ``{"weight": tensor}`` with any geometry, over storage `key`."""

    def numbers(values):
        return b"(" + b"".join(pickle.dumps(v, 2)[2:-1] for v in values) + b"t"

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu")
    storage += pickle.dumps(count, 2)[2:-1] + b"tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + numbers(size)
    tensor += numbers(stride) + b"\x89}tR"
    return b"\x80\x02}" + text("weight") + tensor + b"s."


def jit_archive() -> bytes:
    return archive(b"\x80\x02}.", **{"constants.pkl": b"\x80\x02)."})


def tar_file(name: bytes = b"storages") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        file.addfile(tarfile.TarInfo(name.decode("latin1")), io.BytesIO())
    return stream.getvalue()


def not_finite(value: float) -> bytes:
    state = network().state_dict()
    state["0.weight"][0, 0, 0, 0] = value
    return saved({"model": state})


def contradicting() -> bytes:
    state = attacker(network()).state_dict()
    state["attacker.model.0.weight"] = state["attacker.model.0.weight"] + 1
    return saved({"model": state}, pickle_module=dill)


def two_normalizers() -> bytes:
    state = attacker(network()).state_dict()
    state["attacker.normalize.new_mean"] = state["attacker.normalize.new_mean"] + 0.1
    return saved({"model": state})


def twice_named() -> bytes:
    data = archive(b"\x80\x02}.", x=b"1", y=b"2")
    return data.replace(b"archive/y", b"archive/x")


def big_endian() -> bytes:
    return archive(tensor_program((1,), (1,), 1), data__0=b"\0" * 4, byteorder=b"big")


def copying() -> bytes:
    long_list = b"](" + b"N" * 400_000 + b"e\x94"
    return archive(b"\x80\x04" + long_list + b"0" + b"cbuiltins\nlist\nh\x00\x85R0" * 2000 + b"N.")


# name: (content, or a function of the marker's path; part of the message)
HOSTILE = {
    "os.system": (lambda m: saved(Call(os.system, f"touch {m}")), "posix.system"),
    "os.system, legacy": (lambda m: saved(Call(os.system, f"touch {m}"), **LEGACY), "posix.system"),
    "os.system, dill": (
        lambda m: saved({"model": Call(os.system, f"touch {m}")}, pickle_module=dill),
        "posix.system",
    ),
    "os.system by name on the stack": (
        lambda m: archive(
            b"\x80\x04" + text("os") + text("system") + b"\x93" + text(f"touch {m}") + b"\x85R."
        ),
        "os.system",
    ),
    "os.system by INST": (
        lambda m: archive(b"(" + text(f"touch {m}") + b"ios\nsystem\n."),
        "os.system",
    ),
    "os.system by OBJ": (
        lambda m: archive(b"(cos\nsystem\n" + text(f"touch {m}") + b"o."),
        "os.system",
    ),
    "os.system by its __reduce__ in a weight": (
        lambda m: saved({"model": {"weight": Call(os.system, f"touch {m}")}}),
        "posix.system",
    ),
    "eval": (
        lambda m: saved({"model": Call(eval, f"open({str(m)!r}, 'w').close()")}),
        "builtins.eval",
    ),
    "exec in the state of a weight": (
        lambda m: saved({"w": Call(exec, f"open({str(m)!r}, 'w').close()")}),
        "builtins.exec",
    ),
    "getattr": (lambda m: saved(Call(getattr, os, "system"), pickle_module=dill), "loading it"),
    "nested torch.load": (
        lambda m: saved(
            {"model": Call(torch.storage._load_from_bytes, saved(Call(os.system, f"touch {m}")))}
        ),
        "torch.storage._load_from_bytes",
    ),
    "a numpy array of objects": (
        lambda m: saved({"model": {"w": np.array([Call(os.system, f"touch {m}")], dtype=object)}}),
        "numpy values other than numbers",
    ),
    "a whole module": (lambda m: saved(network()), "torch.nn.modules.container.Sequential"),
    "a module under model": (lambda m: saved({"model": network()}), "convert it, or pass"),
    "a registered extension": (lambda m: archive(b"\x80\x02\x82\x01."), "EXT1"),
    "calling a string": (lambda m: archive(b"\x80\x02" + text("a") + b")R."), "calls a str"),
    "attributes of a tensor": (
        lambda m: archive(tensor_program((1,), (1,), 1)[:-2] + b"}b" + b"s.", data__0=b"\0" * 4),
        "changes a Tensor",
    ),
    "zip bomb": (
        lambda m: archive(
            tensor_program((2**24,), (1,), 2**24),
            zipfile.ZIP_DEFLATED,
            data__0=bytes(2**26),
        ),
        "zip bomb",
    ),
    "a member beyond the end": (
        lambda m: reaching_beyond(archive(tensor_program((1,), (1,), 1), data__0=bytes(4))),
        "a member of 2,147,483,647 bytes in",
    ),
    "a pickle that is too large": (
        lambda m: archive(b"\x80\x02" + b"N" * 9_000_000 + b"."),
        "larger than",
    ),
    "too many instructions": (
        lambda m: archive(b"\x80\x02" + b"\x8f" * 600_000 + b"."),
        "instructions",
    ),
    "recursion bomb": (
        lambda m: archive(b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s."),
        "a tuple as a key",
    ),
    "recursion bomb in a set": (
        lambda m: archive(b"\x80\x04\x8f()" + b"\x85" * 200_000 + b"\x90."),
        "a tuple as a key",
    ),
    "memo bomb": (lambda m: archive(b"\x80\x02}r\xff\xff\xff\xff."), "no weights"),
    "copying bomb": (lambda m: copying(), "far more than it holds"),
    "a number of a million digits": (
        lambda m: archive(b"\x80\x02I" + b"9" * 1_000_000 + b"\n."),
        "its pickle is damaged",
    ),
    "a text longer than the file": (
        lambda m: archive(b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"a."),
        "its pickle is damaged",
    ),
    "huge shape": (
        lambda m: archive(tensor_program((2**40, 2**20), (2**20, 1), 16), data__0=bytes(64)),
        "storage of 16 elements",
    ),
    "huge shape by repetition": (
        lambda m: archive(tensor_program((2**30, 2**30), (0, 0), 16), data__0=bytes(64)),
        "storage of 16 elements",
    ),
    "huge storage": (
        lambda m: archive(tensor_program((16,), (1,), 2**40), data__0=bytes(64)),
        "should have 4,398,046,511,104 bytes",
    ),
    "huge storage, legacy": (
        lambda m: saved({}, **LEGACY)[:-20] + tensor_program((16,), (1,), 2**40) + b"\x80\x02].",
        "",
    ),
    "negative shape": (
        lambda m: archive(tensor_program((-1,), (1,), 16), data__0=bytes(64)),
        "no whole numbers",
    ),
    "a storage on a path": (
        lambda m: archive(tensor_program((16,), (1,), 16, "../../../../etc/passwd")),
        "lacks the storage '../../../../etc/passwd'",
    ),
    "big-endian": (lambda m: big_endian(), "big-endian"),
    "two members of one name": (lambda m: twice_named(), "two members"),
    "truncated": (lambda m: saved({"model": network().state_dict()})[:-300], "truncated"),
    "truncated, legacy": (
        lambda m: saved({"model": network().state_dict()}, **LEGACY)[:-30],
        "truncated",
    ),
    "truncated pickle, legacy": (
        lambda m: saved(network().state_dict(), **LEGACY)[:1200],
        "damaged",
    ),
    "a flipped bit": (
        lambda m: saved({"w": torch.zeros(999)}).replace(bytes(999), bytes(998) + b"\1", 1),
        "CRC",
    ),
    "truncated safetensors": (
        lambda m: safetensors.torch.save({"w": torch.zeros(999)})[:-9],
        "safetensors header",
    ),
    "safetensors with a false header": (
        lambda m: struct.pack("<Q", 20) + b"{" * 30,
        "safetensors header",
    ),
    "NaN": (lambda m: not_finite(float("nan")), "'0.weight' holds NaN"),
    "infinity": (lambda m: not_finite(float("inf")), "'0.weight' holds NaN or infinite"),
    "NaN in safetensors": (
        lambda m: safetensors.torch.save({"w": torch.tensor([float("nan")])}),
        "'w' holds NaN",
    ),
    "complex weights": (
        lambda m: saved({"model": {"w": torch.zeros(2, dtype=torch.complex64)}}),
        "type torch.complex64",
    ),
    "sparse weights": (
        lambda m: saved({"model": {"w": torch.eye(2).to_sparse()}}),
        "_rebuild_sparse_tensor",
    ),
    "no weights": (lambda m: saved({}), "no weights"),
    "an empty model": (lambda m: saved({"model": {}}), "no weights"),
    "other keys": (lambda m: saved({"epoch": 1, "args": "x"}), "holds epoch, args and no 'model'"),
    "a list": (lambda m: saved([torch.zeros(1)]), "it holds a list"),
    "a list of the elements of a weight": (
        lambda m: archive(
            tensor_program((2**20,), (1,), 2**20)[:-2] + b"q\x010cbuiltins\nlist\nh\x01\x85R.",
            data__0=bytes(2**22),
        ),
        "built from a Tensor",
    ),
    "a key of a million digits": (
        lambda m: saved({2**3_000_000: 1, "w": 1}),
        "more than 64 bits",
    ),
    "weights of eight bits": (
        lambda m: saved({"model": {"w": torch.zeros(2).to(torch.float8_e5m2)}}),
        "type torch.float8_e5m2",
    ),
    "a name on two lines": (
        lambda m: saved({"model": {"a\nb": torch.zeros(2)}}),
        "the name 'a\\nb'",
    ),
    "a weight that is a number": (lambda m: saved({"model": {"w": 3}}), "'w' is a int"),
    "a weight that is an array": (
        lambda m: saved({"model": {"w": np.ones(3)}}),
        "'w' is a ndarray",
    ),
    "weights without names": (lambda m: saved({"model": {1: torch.ones(1)}}), "named by a int"),
    "the attacker disagrees": (lambda m: contradicting(), "'model.0.weight'"),
    "two normalisers": (lambda m: two_normalizers(), "two normalisers"),
    "a normaliser of one channel and two": (
        lambda m: saved({"w": torch.ones(1), "mean": torch.ones(1), "std": torch.ones(2)}),
        "no mean and deviation of channels",
    ),
    "TorchScript": (lambda m: jit_archive(), "TorchScript"),
    "an ordinary zip": (lambda m: archive(b"").replace(b"data.pkl", b"data.txt"), "did not write"),
    "a plain pickle": (lambda m: pickle.dumps({"w": 1}), "torch.save did not write"),
    "a tar file": (lambda m: tar_file(), "tar format"),
    "a tar file behind the magic number": (
        lambda m: tar_file(b"\x80\x02storages"),
        "tar format",
    ),
    "empty": (lambda m: b"", "empty"),
    "text": (lambda m: b"once upon a time\n" * 100, "not a file that torch.save"),
    "a web page": (lambda m: b"<!DOCTYPE html><html>", "web page"),
    "a git lfs pointer": (
        lambda m: b"version https://git-lfs.github.com/spec/v1\n",
        "git lfs pull",
    ),
    "gzip": (lambda m: gzip.compress(saved({"w": torch.ones(1)})), "unpack it"),
    "noise": (lambda m: np.random.RandomState(0).bytes(5000), "not a file that torch.save"),
}


# -- files that read well and are no model -------------------------------------------------------


def with_card(card: str) -> bytes:
    return safetensors.torch.save({"w": torch.zeros(1)}, {"robust_reps_ext": card})


def changed(**changes) -> bytes:
    """A file of critters_resnet with other weights of some names; None removes one."""
    torch.manual_seed(0)
    state = critters_resnet(num_classes=9).state_dict()
    for name, value in changes.items():
        name = name.replace("__", ".")
        if value is None:
            del state[name]
        else:
            state[name] = value
    return saved({"model": state})


def positions(count: int) -> bytes:
    """Marks of a ViT with an absurd number of positions, which costs the file nothing."""
    endless = torch.zeros(1, 1, 1).expand(1, count, 1)
    return saved({"class_token": torch.zeros(1), "conv_proj.weight": torch.zeros(1), "w": endless})


HOSTILE |= {
    "a card that is no JSON": (lambda m: with_card("{"), "its card is no JSON"),
    "a card that is a list": (lambda m: with_card("[]"), "no JSON object"),
    "a card without end": (lambda m: with_card("[" * 60_000), "its card is no JSON"),
    "a card that is too long": (
        lambda m: with_card(json.dumps({"notes": "x" * 2**17})),
        "no JSON object of up to 65536 bytes",
    ),
    "a card with a false normaliser": (
        lambda m: with_card('{"normalizer": {"mean": [0, 0, 0], "std": [1, NaN, 1]}}'),
        "no mean and deviation",
    ),
    "a card with words for numbers": (
        lambda m: with_card('{"normalizer": {"mean": "__import__", "std": [1, 1, 1]}}'),
        "no numbers",
    ),
    "whole numbers for weights": (
        lambda m: changed(fc__weight=torch.zeros(9, 1024, dtype=torch.int64)),
        "fc.weight holds torch.int64",
    ),
    "a missing key": (lambda m: changed(fc__bias=None), "no known architecture"),
    "an extra key": (lambda m: changed(extra=torch.zeros(1)), "no known architecture"),
    "a key on a path": (
        lambda m: changed(**{"../../etc/passwd": torch.zeros(1)}),
        "no known architecture",
    ),
    "a head of another shape": (
        lambda m: changed(fc__weight=torch.zeros(9, 1024, 1)),
        "no known architecture",
    ),
    "two counts of classes": (
        lambda m: changed(fc__bias=torch.zeros(10)),
        "no known architecture",
    ),
    "a million positions": (lambda m: positions(10**6), "storage of 1 elements"),
    "both names of one weight": (
        lambda m: saved(
            {
                "denselayer1.norm.1.weight": torch.zeros(1),
                "denselayer1.norm1.weight": torch.zeros(1),
            }
        ),
        "older and newer names",
    ),
}
