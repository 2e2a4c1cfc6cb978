"""Every public format gives the same weights; a damaged file gives one line."""

import os
import pickle
import pickletools

import dill
import numpy as np
import pytest
import safetensors.torch
import torch
from checkpoint_files import (
    LEGACY,
    MEAN,
    STD,
    formats,
    network,
    prefixed,
    saved,
    upstream_checkpoint,
)
from hostile_files import tar_file
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from robust_reps_ext import InputError
from robust_reps_ext.models.checkpoints import read_checkpoint
from robust_reps_ext.runtime.plain_values import Foreign


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


@pytest.mark.parametrize("keywords", [{}, LEGACY], ids=["zip", "legacy"])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_modules_beside_the_weights_are_left_out_and_named(keywords, tmp_path):
    path, state = tmp_path / "file.pt", network().state_dict()
    beside = {"head": nn.Linear(2, 2), "more": [nn.Linear(2, 2), nn.ReLU()], "after": 3}
    torch.save({"state_dict": state, **beside}, path, **keywords)
    checkpoint = read_checkpoint(path)
    linear, relu = "torch.nn.modules.linear.Linear", "torch.nn.modules.activation.ReLU"
    assert checkpoint.unsafe_imports == (linear, relu)
    assert checkpoint.raw == {
        "head": Foreign(linear),
        "more": [Foreign(linear), Foreign(relu)],
        "after": 3,
    }
    assert all(torch.equal(checkpoint.state_dict[key], value) for key, value in state.items())
    for whole in (network(), {"model": network()}):
        torch.save(whole, path, **keywords)
        with pytest.raises(InputError, match=r"pickled with torch\.nn\.modules\.container"):
            read_checkpoint(path)


class Running(nn.Module):
    """A module whose pickle is a call."""

    def __init__(self, command):
        super().__init__()
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("keywords", [{}, LEGACY], ids=["zip", "legacy"])
def test_a_module_that_would_run_runs_nothing(keywords, tmp_path):
    path, marker = tmp_path / "file.pt", tmp_path / "marker"
    evil = {"m": Running(f"touch {marker}"), "kind": nn.Linear, "n": nn.Linear(1, 1)}
    torch.save({"state_dict": network().state_dict(), **evil}, path, **keywords)
    found = read_checkpoint(path)
    assert "posix.system" in found.unsafe_imports
    assert isinstance(found.raw["kind"], Foreign)
    assert not marker.exists()


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


# -- paths that are no checkpoint ----------------------------------------------------------------


def test_a_missing_file_names_its_neighbours(tmp_path):
    (tmp_path / "resnet50_l2_eps3.ckpt").touch()
    with pytest.raises(InputError, match=r"did you mean resnet50_l2_eps3\.ckpt\?"):
        read_checkpoint(tmp_path / "resnet50_l2_eps3.pt")
    with pytest.raises(InputError, match="no folder"):
        read_checkpoint(tmp_path / "absent" / "resnet50.pt")
    (tmp_path / "checkpoint.pt.best").touch()
    (tmp_path / "checkpoint.txt").touch()
    (tmp_path / "checkpoint.pts").mkdir()
    with pytest.raises(InputError, match=r"did you mean checkpoint\.pt\.best\?"):
        read_checkpoint(tmp_path / "checkpoint.pt")


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
