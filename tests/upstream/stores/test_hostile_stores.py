"""A store of a stranger runs nothing, unless it is trusted."""

from __future__ import annotations

import base64
import contextlib
import datetime
import os
import warnings

import pandas as pd
import pytest

import robust_reps_ext  # noqa: F401
from robust_reps_ext.results import safe_pickle
from robust_reps_ext.runtime.errors import InputError

from cox.readers import CollectionReader  # isort: skip
from cox.store import Store  # isort: skip
from cox_stores import Bomb, fill, read


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
