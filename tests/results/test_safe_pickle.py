"""Pickles are read as plain values, or not at all."""

from __future__ import annotations

import contextlib
import datetime
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import robust_reps_ext  # noqa: F401
from robust_reps_ext.results import safe_pickle
from robust_reps_ext.runtime.pickles import MAX_OPCODES

from cox.utils import obj_to_string, string_to_obj  # isort: skip


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=12,
)


@given(plain, st.sampled_from([0, 2, 4, 5]))
def test_plain_values_survive_every_protocol(value, protocol):
    assert safe_pickle.loads(pickle.dumps(value, protocol)) == value
    assert string_to_obj(obj_to_string(value)) == value


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    "value",
    [
        np.float32(1.5),
        np.int64(-3),
        np.bool_(True),
        np.str_("abc"),
        np.str_(""),
        np.array(3.0),
        np.zeros((2, 0), np.float16),
        np.arange(6).reshape(2, 3)[:, 1],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(["a", "bc"]),
        np.array([1, 2], ">i2"),
    ],
    ids=repr,
)
def test_numpy_values_survive(value, protocol):
    for kept in (
        safe_pickle.loads(pickle.dumps([value], protocol))[0],
        string_to_obj(obj_to_string(value)),
    ):
        assert type(kept) is type(value)
        assert kept.dtype == value.dtype
        np.testing.assert_array_equal(kept, value)


def test_types_and_dtypes_survive():
    value = {"n": int, "s": str, "d": [np.dtype("<f4")], "set": {1, 2}, "b": bytearray(b"x")}
    for protocol in (0, 2, 4, 5):
        assert safe_pickle.loads(pickle.dumps(value, protocol)) == value


def test_long_values_survive():
    value = list(range(MAX_OPCODES + 1))
    assert safe_pickle.loads(pickle.dumps(value)) == value
    array = np.zeros(2**22)  # far more bytes than instructions
    assert safe_pickle.loads(pickle.dumps(array)).shape == array.shape


@pytest.mark.parametrize(
    "stream",
    [
        b"cos\nsystem\n(S'touch MARK'\ntR.",
        b'cbuiltins\neval\n(S\'open("MARK", "w")\'\ntR.',
        b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.",
        b"c_codecs\nencode\n(S'a'\nS'bz2'\ntR.",
        # a function that may be called, altered
        b"cnumpy\ndtype\n(N}S'__defaults__'\n(I1\ntstb.",
        b"cbuiltins\nbytearray\n(I100000000000\ntR.",
        b"cnumpy\nndarray\n(I100000000000\ntR.",
        b"cnumpy\ndtype\n.",
        pickle.dumps(np.array([None], object), 2),
        pickle.dumps(np.zeros(1, [("a", "f4"), ("b", "O")]), 2),
        pickle.dumps(datetime.date(2020, 1, 1)),
        pickle.dumps(torch.zeros(1)),
        # hashing it would end the interpreter
        b"\x80\x04})" + b"\x85" * 200_000 + b"K\x01s.",
        # an import by a list instead of a name, and one by number
        b"\x80\x04]]\x93.",
        b"\x80\x02\x82\x01.",
        # more bytes than there are, and a copy of a copy without end
        b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f.",
        b"\x80\x04](" + b"N" * 9_000 + b"e\x940" + b"cbuiltins\nlist\nh\x00\x85R0" * 9_000 + b"N.",
        b"",
        b"no pickle",
        pickle.dumps(list(range(100)))[:-3],
    ],
)
def test_anything_else_is_refused(stream, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError):
        safe_pickle.loads(stream)
    assert not list(tmp_path.iterdir())


@given(st.binary(max_size=60))
def test_noise_is_refused_or_plain(data):
    with contextlib.suppress(pickle.UnpicklingError):
        safe_pickle.loads(data)
