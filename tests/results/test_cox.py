"""What must be true of cox: stores keep what they are given, survive, and run nothing foreign."""

from __future__ import annotations

import base64
import contextlib
import copy
import datetime
import json
import os
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import robust_reps_ext  # noqa: F401
from robust_reps_ext.results import safe_pickle
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.runtime.pickles import MAX_OPCODES

import cox.readers  # isort: skip
import cox.store  # isort: skip
import cox.tensorboard_view  # isort: skip
import cox.utils  # isort: skip
from cox.readers import CollectionReader  # isort: skip
from cox.store import Store  # isort: skip
from cox.utils import Parameters, obj_to_string, string_to_obj  # isort: skip
from cox_stores import fill, read


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


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


def test_objects_of_code_stay_text_until_trusted(tmp_path):
    mark = tmp_path / "mark"
    text = obj_to_string(Bomb(mark))
    with pytest.warns(UserWarning, match=r"system is not a plain value.*trusting"):
        assert string_to_obj(text) == text
    assert not mark.exists()
    with safe_pickle.trusting():
        string_to_obj(text)
    assert mark.exists()
    assert not safe_pickle.trusted()


def test_text_that_is_no_object_stays_as_it_is():
    for text in ("hello", "a=b", "é", "1"):
        assert string_to_obj(text) == text
    assert string_to_obj("") is None
    assert string_to_obj(None) is None
    assert string_to_obj(3) == 3


def test_parameters_are_the_same_in_any_case():
    parameters = Parameters({"LR": 0.1, "eps": None})
    assert parameters.lr == parameters.LR == 0.1
    assert "Lr" in parameters
    assert "eps" in parameters
    assert parameters.missing is None
    assert "missing" not in parameters
    parameters.Eps = 3
    assert parameters.as_dict() == {"lr": 0.1, "eps": 3}
    del parameters.EPS
    assert list(parameters) == ["lr"]
    with pytest.raises(AttributeError):
        del parameters.eps


def test_parameters_keep_the_callers_dict():
    given = {"a": 1}
    parameters = Parameters(given)
    parameters.b = 2
    assert given == {"a": 1, "b": 2}


@pytest.mark.parametrize("values", [{}, {"A": [1]}])
def test_parameters_can_be_copied_and_pickled(values):
    parameters = Parameters(values)
    for other in (
        copy.copy(parameters),
        copy.deepcopy(parameters),
        pickle.loads(pickle.dumps(parameters)),
    ):
        assert type(other) is Parameters
        assert other.as_dict() == parameters.as_dict()
    if values:
        assert copy.deepcopy(parameters).a is not parameters.a


def test_parameters_given_twice_are_named():
    with pytest.raises(InputError, match="'A' is given twice"):
        Parameters({"a": 1, "A": 2})


def test_parameters_print_whatever_they_hold():
    assert "function" in str(Parameters({"hook": lambda: None, "call": print}))


def test_override_json_fills_what_is_none(tmp_path):
    path = tmp_path / "preset.json"
    path.write_text(json.dumps({"Lr": 0.5, "epochs": 3}))
    merged = cox.utils.override_json(Parameters({"lr": None, "epochs": 7, "seed": None}), path)
    assert merged.as_dict() == {"lr": 0.5, "epochs": 7, "seed": None}
    with pytest.raises(InputError, match=r"missing \['seed'\]"):
        cox.utils.override_json(
            Parameters({"lr": 1, "epochs": 7, "seed": None}), path, check_consistency=True
        )


@pytest.mark.parametrize(("text", "reason"), [("{", "not JSON"), ("[1]", "not a JSON object")])
def test_override_json_names_a_broken_file(tmp_path, text, reason):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"broken\.json.* {reason}"):
        cox.utils.override_json(Parameters({}), str(path))
    with pytest.raises(InputError, match="absent"):
        cox.utils.override_json(Parameters({}), str(tmp_path / "absent"))


def hostile_attribute(folder, mark, key="COX_DATA"):
    fill(folder, schema={"a": int, "s": str}, rows=[{"a": 1, "s": "x"}])
    with pd.HDFStore(os.path.join(folder, "run", "store.h5"), "a") as file:
        file.get_storer("t").attrs[key] = Bomb(mark)


def test_a_hostile_schema_runs_nothing(tmp_path):
    mark = tmp_path / "mark"
    hostile_attribute(tmp_path, mark)
    with pytest.raises(InputError, match="not made of plain values"):
        Store(tmp_path, "run", mode="r")
    with pytest.raises(InputError, match="not made of plain values"):
        CollectionReader(tmp_path)
    assert not mark.exists()


def test_any_hostile_attribute_runs_nothing(tmp_path):
    keys = ["anything", "info", "non_index_axes", "values_block_1_kind"]
    for key in keys:
        hostile_attribute(tmp_path / key, tmp_path / f"mark-{key}", key)

    def touch_everything(folder):
        try:
            store = Store(folder, "run")
        except InputError:
            return
        for read_it in (str, lambda s: s.store.keys(), lambda s: s["t"].df, lambda s: s["t"].nrows):
            with contextlib.suppress(Exception):
                read_it(store)
        store.close()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key in keys:
            touch_everything(tmp_path / key)
        assert not list(tmp_path.glob("mark-*"))
        with safe_pickle.trusting():
            for key in keys:
                touch_everything(tmp_path / key)
    assert len(list(tmp_path.glob("mark-*"))) == len(keys)


def test_hostile_objects_run_nothing(tmp_path):
    mark = tmp_path / "mark"
    fill(
        tmp_path,
        schema={"o": Store.OBJECT, "p": Store.PICKLE},
        rows=[{"o": Bomb(mark), "p": Bomb(mark)}],
    )
    with pytest.warns(UserWarning, match="not a plain value"):
        found = read(tmp_path)
    assert isinstance(found["o"].iloc[0], str)
    assert isinstance(found["p"].iloc[0], str)
    assert not mark.exists()
    assert base64.b64decode(found["o"].iloc[0])
    with safe_pickle.trusting():
        read(tmp_path)
    assert mark.exists()


def test_hostile_state_runs_nothing(tmp_path):
    mark = tmp_path / "mark"
    fill(tmp_path, schema={"w": Store.PYTORCH_STATE}, rows=[{"w": {"a": Bomb(mark)}}])
    with Store(tmp_path, "run", mode="r") as store:
        with pytest.raises(InputError, match="left unread"):
            store["t"].get_state_dict(store["t"].df["w"].iloc[0])
    assert not mark.exists()


def test_other_files_are_read_as_ever(tmp_path):
    fill(tmp_path, schema={"a": int}, rows=[{"a": 1}])
    with pd.HDFStore(tmp_path / "own.h5", "w") as file:
        file.append("t", pd.DataFrame({"a": [1]}))
        file.get_storer("t").attrs.date = datetime.date(2020, 1, 1)
    with pd.HDFStore(tmp_path / "own.h5", "r") as file:
        assert file.get_storer("t").attrs.date == datetime.date(2020, 1, 1)


def test_tensorboard_is_started_without_a_shell(tmp_path):
    from robust_reps_ext.upstream.mends.cox_tensorboard_view import command

    for name, lr in (("a", 0.1), ("b", 0.2)):
        row = {"lr": lr, "note": "$(touch mark); `id`, x:y"}
        fill(tmp_path, name, "metadata", [row], {"lr": float, "note": str})
    arguments = command(str(tmp_path), "{lr} {note}", port=1, filters={"lr": "0.2"})
    assert arguments[-4:] == [
        "--logdir_spec",
        f"0.2 $(touch mark); `id`_ x_y---b:{tmp_path / 'b'}",
        "--port",
        "1",
    ]
    with pytest.raises(InputError, match="parameters are lr, note"):
        command(str(tmp_path), "{epochs}")
    with pytest.raises(InputError, match="no parameter size"):
        command(str(tmp_path), "{lr}", filters={"size": "1"})
    assert cox.tensorboard_view.main.__module__.startswith("robust_reps_ext")
