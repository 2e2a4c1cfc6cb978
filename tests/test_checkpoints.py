"""Every public format gives the same weights; a hostile file gives one line and runs nothing."""

import gzip
import io
import os
import pickle
import pickletools
import resource
import struct
import tarfile
import time
import zipfile
from types import SimpleNamespace

import dill
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from robustness.attacker import AttackerModel
from torch import nn

from robust_reps_ext import InputError
from robust_reps_ext.models.checkpoints import read_checkpoint
from robust_reps_ext.models.unpickling import Foreign

MEAN, STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)
LEGACY = {"_use_new_zipfile_serialization": False}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 9))


def attacker(classifier: nn.Module) -> AttackerModel:
    return AttackerModel(
        classifier, SimpleNamespace(mean=torch.tensor(MEAN), std=torch.tensor(STD))
    )


def prefixed(state, *prefixes):
    return {prefix + name: value for prefix in prefixes for name, value in state.items()}


def upstream_checkpoint(classifier: nn.Module) -> dict:
    """What `robustness.train.train_model` saves, with a schedule that weights_only refuses."""
    model = nn.DataParallel(attacker(classifier))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in classifier.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: np.interp([t], [0], [1])[0])
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": {**schedule.state_dict(), "lambda": lambda t: t, "rates": np.arange(3.0)},
        "epoch": 7,
        "amp": None,
        "nat_prec1": np.float64(57.9),
        "adv_prec1": torch.tensor(35.25),
    }


def formats():
    """Format -> (what is saved, keyword arguments of torch.save, has a normaliser)."""
    classifier = network()
    state = classifier.state_dict()
    model = attacker(classifier).state_dict()
    nested = attacker(SimpleNested(classifier)).state_dict()
    metamers = {
        name.replace("attacker.normalize", "attacker.preproc.normalize").replace(
            "normalizer.", "preproc.normalize."
        ): value
        for name, value in model.items()
    }
    bench = {
        **prefixed(state, "module.model."),
        "module.normalize.mean": torch.tensor(MEAN).view(1, 3, 1, 1),
        "module.normalize.std": torch.tensor(STD).view(1, 3, 1, 1),
    }
    dilled = {"pickle_module": dill}
    return {
        "robustness": ({"model": prefixed(model, "module.")}, dilled, True),
        "robustness, older key": ({"state_dict": prefixed(model, "module.")}, dilled, True),
        "robustness, legacy file": ({"model": prefixed(model, "module.")}, dilled | LEGACY, True),
        "robustness, no prefix": ({"model": model}, dilled, True),
        "robustness, compiled": ({"model": prefixed(model, "_orig_mod.module.")}, dilled, True),
        "robust-models-transfer": ({"model": prefixed(nested, "module.")}, dilled, True),
        "model_metamers": ({"state_dict": prefixed(metamers, "module.")}, dilled, True),
        "robustbench": ({"state_dict": bench}, {}, True),
        "robustbench, bare": (prefixed(state, "model."), {}, False),
        "bare": (state, {}, False),
        "bare, legacy file": (state, LEGACY, False),
        "bare, parallel": (prefixed(state, "module."), {}, False),
        "bare, parameters": (
            dict(classifier.named_parameters()) | dict(classifier.named_buffers()),
            {},
            False,
        ),
    }


class SimpleNested(nn.Module):
    """As upstream's DummyModel: a network under the name ``model``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model


@pytest.mark.parametrize("name", formats())
def test_every_format_gives_the_same_weights(name, tmp_path):
    saved, keywords, normalized = formats()[name]
    torch.save(saved, tmp_path / "file.pt", **keywords)
    checkpoint = read_checkpoint(tmp_path / "file.pt")
    expected = network().state_dict()
    assert checkpoint.format == name.partition(",")[0]
    assert set(checkpoint.state_dict) == set(expected)
    for key, value in expected.items():
        assert torch.equal(checkpoint.state_dict[key], value)
        assert checkpoint.state_dict[key].dtype == value.dtype
        assert not checkpoint.state_dict[key].requires_grad
    if normalized:
        assert [v.tolist() for v in checkpoint.normalizer] == [
            pytest.approx(MEAN),
            pytest.approx(STD),
        ]
    else:
        assert checkpoint.normalizer is None


@pytest.mark.parametrize("keywords", [{}, LEGACY], ids=["zip", "legacy"])
@pytest.mark.parametrize("module", [pickle, dill])
def test_what_training_saves_can_be_resumed(module, keywords, tmp_path):
    classifier = network()
    saved = upstream_checkpoint(classifier)
    if module is pickle:
        del saved["schedule"]["lambda"]
    torch.save(saved, tmp_path / "checkpoint.pt.latest", pickle_module=module, **keywords)
    checkpoint = read_checkpoint(tmp_path / "checkpoint.pt.latest")
    for key, value in classifier.state_dict().items():
        assert torch.equal(checkpoint.state_dict[key], value)
    assert checkpoint.format == "robustness"
    assert checkpoint.epoch == 7
    assert checkpoint.accuracies == {"nat_prec1": 57.9, "adv_prec1": 35.25}
    assert set(checkpoint.raw) == set(saved) - {"model"}
    fresh = torch.optim.SGD(network().parameters(), lr=0.5, momentum=0.9)
    fresh.load_state_dict(checkpoint.raw["optimizer"])
    assert fresh.param_groups[0]["lr"] == saved["optimizer"]["param_groups"][0]["lr"]
    for mine, theirs in zip(
        fresh.state.values(), saved["optimizer"]["state"].values(), strict=True
    ):
        assert torch.equal(mine["momentum_buffer"], theirs["momentum_buffer"])
    assert checkpoint.raw["schedule"]["rates"].tolist() == [0, 1, 2]
    if module is dill:
        assert isinstance(checkpoint.raw["schedule"]["lambda"], Foreign)
        assert "dill._dill._create_function" in checkpoint.unsafe_imports
    else:
        assert checkpoint.unsafe_imports == ()


def test_safetensors(tmp_path):
    state = network().state_dict()
    safetensors.torch.save_file(prefixed(state, "module."), tmp_path / "file.safetensors")
    checkpoint = read_checkpoint(tmp_path / "file.safetensors")
    assert checkpoint.format == "safetensors"
    assert all(torch.equal(checkpoint.state_dict[key], value) for key, value in state.items())
    trusted = read_checkpoint(tmp_path / "file.safetensors", trust=True)
    assert trusted.state_dict.keys() == state.keys()


def test_shapes_types_and_sharing_survive(tmp_path):
    base = torch.arange(24.0)
    state = {
        "transposed": base.view(4, 6).T,
        "tail": base[20:],
        "empty": torch.zeros(0, 3),
        "half": base.half(),
        "bfloat": base.bfloat16(),
        "double": base.double(),
        "mask": base > 3,
        "scalar": torch.tensor(5),
        "last": nn.Parameter(base.view(2, 3, 4).to(memory_format=torch.contiguous_format)),
    }
    for keywords in ({}, LEGACY):
        torch.save(state, tmp_path / "file.pt", **keywords)
        read = read_checkpoint(tmp_path / "file.pt").state_dict
        for name, value in state.items():
            assert torch.equal(read[name], value)
            assert read[name].dtype == value.dtype


def test_plain_values_survive(tmp_path):
    rest = {
        "random": (np.random.RandomState(0).get_state(), torch.get_rng_state()),
        "numbers": [1, -(2**70), 2.5, 1j, True, None, b"bytes", bytearray(b"array")],
        "sets": {1, "a"},
        "frozen": frozenset({2}),
        "size": torch.Size([2, 3]),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "numpy": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
        "scalars": [np.float32(1.5), np.int64(3), np.bool_(True), np.str_("text")],
    }
    for protocol in (2, 3, 4, 5):
        torch.save(
            {"model": network().state_dict(), **rest},
            tmp_path / "file.pt",
            pickle_protocol=protocol,
        )
        raw = read_checkpoint(tmp_path / "file.pt").raw
        assert all(raw[name] == rest[name] for name in rest if name not in ("random", "numpy"))
        assert np.array_equal(raw["numpy"], rest["numpy"])
        assert raw["numpy"].dtype == np.int16
        assert np.array_equal(raw["random"][0][1], rest["random"][0][1])
        assert torch.equal(raw["random"][1], rest["random"][1])


def test_records_that_are_no_accuracies_are_left_out(tmp_path):
    odd = {"nat_prec1": 10**400, "adv_prec1": float("nan"), "acc": "high", "best_acc": -1.0}
    torch.save({"model": network().state_dict(), **odd, "epoch": 10**400}, tmp_path / "odd.pt")
    checkpoint = read_checkpoint(tmp_path / "odd.pt")
    assert checkpoint.accuracies == {}
    assert checkpoint.epoch is None


def test_trust_builds_everything(tmp_path):
    torch.save(upstream_checkpoint(network()), tmp_path / "file.pt", pickle_module=dill)
    checkpoint = read_checkpoint(tmp_path / "file.pt", trust=True)
    assert checkpoint.raw["schedule"]["lambda"](3) == 3
    torch.save(network(), tmp_path / "module.pt")
    whole = read_checkpoint(tmp_path / "module.pt", trust=True)
    assert whole.state_dict.keys() == network().state_dict().keys()


# -- files that lie ------------------------------------------------------------------------------


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def saved(value, **keywords) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **keywords)
    return stream.getvalue()


def archive(program: bytes, compression=zipfile.ZIP_STORED, **members: bytes) -> bytes:
    """A checkpoint file around a hand-written pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        file.writestr("archive/data.pkl", program)
        for name, data in members.items():
            file.writestr(f"archive/{name.replace('__', '/')}", data)
    return stream.getvalue()


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
    "a normaliser of one channel": (
        lambda m: saved({"w": torch.ones(1), "mean": torch.ones(1), "std": torch.ones(1)}),
        "three channels",
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


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file(name, tmp_path):
    content, message = HOSTILE[name]
    path, marker = tmp_path / "hostile.pt", tmp_path / "marker"
    path.write_bytes(content(marker))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with pytest.raises(InputError) as caught:
        read_checkpoint(path)
    assert time.process_time() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 300_000
    assert not marker.exists()
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


# -- paths that are no checkpoint ----------------------------------------------------------------


def test_a_missing_file_names_its_neighbours(tmp_path):
    (tmp_path / "resnet50_l2_eps3.ckpt").touch()
    with pytest.raises(InputError, match=r"did you mean resnet50_l2_eps3\.ckpt\?"):
        read_checkpoint(tmp_path / "resnet50_l2_eps3.pt")
    with pytest.raises(InputError, match="no folder"):
        read_checkpoint(tmp_path / "absent" / "resnet50.pt")


def test_a_folder_lists_what_it_holds(tmp_path):
    (tmp_path / "checkpoint.pt").touch()
    with pytest.raises(InputError, match=r"is a folder.*; it holds checkpoint\.pt"):
        read_checkpoint(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="device or pipe"):
        read_checkpoint(tmp_path / "pipe")


def test_a_path_that_cannot_be_one_stays_on_one_line(tmp_path):
    for name in ("two\nlines", "nul\0", "x" * 5000, "\x1b[31mred"):
        with pytest.raises(InputError) as caught:
            read_checkpoint(tmp_path / name)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps(3), tar_file()])
def test_a_trusted_file_that_is_none_is_one_line_too(content, tmp_path):
    (tmp_path / "file.pt").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_checkpoint(tmp_path / "file.pt", trust=True)
    assert "\n" not in str(caught.value)


# -- damage of any kind --------------------------------------------------------------------------

WHOLE = saved(upstream_checkpoint(network()), pickle_module=dill, **LEGACY)


@settings(max_examples=300, deadline=None)
@given(
    place=st.integers(0, 6000),
    removed=st.integers(0, 8),
    inserted=st.one_of(
        st.binary(max_size=4),
        st.sampled_from([opcode.code.encode("latin1") for opcode in pickletools.opcodes]),
    ),
)
def test_any_damage_is_an_input_error_or_nothing(place, removed, inserted, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damaged.pt"
    path.write_bytes(WHOLE[:place] + inserted + WHOLE[place + removed :])
    found = read_or_error(path)
    if isinstance(found, InputError):
        assert "\n" not in str(found)
    else:
        assert all(isinstance(value, torch.Tensor) for value in found.state_dict.values())


def read_or_error(path):
    try:
        return read_checkpoint(path)
    except InputError as error:
        return error
