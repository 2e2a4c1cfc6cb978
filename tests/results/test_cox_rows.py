"""Rows, stores and collections of cox: what is kept, and how a store ends."""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime.errors import InputError

from cox.readers import CollectionReader  # isort: skip
from cox.store import Store  # isort: skip
from cox.utils import string_to_obj  # isort: skip
from cox_stores import fill, read

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def python(code, *, mended=True, env=(), **options):
    environment = {**ENVIRONMENT, **dict(env)}
    if not mended:
        environment["ROBUST_REPS_EXT_DISABLE"] = "1"
    else:
        code = "import robust_reps_ext\n" + code
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        **options,
    )


ALL = {"n": int, "x": float, "b": bool, "s": str, "o": Store.OBJECT}


def test_rows_come_back_as_they_were(tmp_path):
    rows = [
        {"n": 2**62, "x": None, "b": "False", "s": None, "o": None},
        {"n": -1, "x": 1, "b": np.bool_(True), "s": "nan", "o": [1, (2.5, "x")]},
        {"n": "3", "x": torch.tensor(0.5), "b": 0, "s": "", "o": {"a": None}},
        {"n": 4.0, "x": math.inf, "b": True, "s": "Ω" * 300, "o": "y" * 500},
    ]
    fill(tmp_path, schema=ALL, rows=rows)
    found = read(tmp_path)
    assert found["n"].tolist() == [2**62, -1, 3, 4]
    assert math.isnan(found["x"].iloc[0])
    assert found["x"].tolist()[1:] == [1, 0.5, math.inf]
    assert found["b"].tolist() == [False, True, False, True]
    assert pd.isna(found["s"].iloc[0])
    assert found["s"].tolist()[1:] == ["nan", "", "Ω" * 300]
    assert found["o"].tolist() == [None, [1, (2.5, "x")], {"a": None}, "y" * 500]
    assert found["exp_id"].tolist() == ["run"] * 4
    raw = read(tmp_path, keep_serialized=["o"], append_exp_id=False)
    assert [string_to_obj(text) for text in raw["o"]] == found["o"].tolist()
    assert raw.index.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("n", value) for value in (1.9, None, 2**63, math.nan, "1.5")),
        *(("b", value) for value in (None, "perhaps", 2)),
        *(("x", value) for value in ("much", [1])),
        ("s", "\udc80"),
    ],
)
def test_values_that_a_column_would_change_are_refused(tmp_path, column, value):
    row = {"n": 1, "x": 1.0, "b": True, "s": "", "o": 0}
    with Store(tmp_path, "run") as store:
        table = store.add_table("t", ALL)
        with pytest.raises(InputError, match=f"column {column} of table t is of type"):
            table.append_row({**row, column: value})
        assert table.nrows == 0
        table.append_row(row)
        assert table.nrows == 1


def test_rows_must_be_whole_and_known(tmp_path):
    with Store(tmp_path, "run") as store:
        table = store.add_table("t", {"a": int, "b": int})
        with pytest.raises(InputError, match="no column c: its columns are a, b"):
            table.update_row({"c": 1})
        table.update_row({"a": 1})
        with pytest.raises(InputError, match="column b of table t has no value"):
            table.flush_row()
        table.update_row({"b": 2})
        table.flush_row()
        assert table.df.to_dict("list") == {"a": [1], "b": [2]}


def test_objects_in_files_come_back(tmp_path):
    schema = {"p": Store.PICKLE, "w": Store.PYTORCH_STATE}
    layer = torch.nn.Linear(2, 2)
    fill(tmp_path, schema=schema, rows=[{"p": {"a": [1]}, "w": layer}])
    found = read(tmp_path)
    assert found["p"].tolist() == [{"a": [1]}]
    with Store(tmp_path, "run", mode="r") as store:
        state = store["t"].get_state_dict(found["w"].iloc[0])
        with pytest.raises(InputError, match="does not name an object"):
            store["t"].get_pickle("../store.h5")
    torch.testing.assert_close(state["weight"], layer.weight.data)


def test_an_experiment_goes_on_with_other_settings(tmp_path):
    fill(
        tmp_path,
        schema={"lr": int, "s": str, "gone": bool, "resume": Store.OBJECT},
        rows=[{"lr": 1, "s": "a", "gone": True, "resume": None}],
    )
    with Store(tmp_path, "run") as store:
        table = store.add_table("t", {"lr": float, "s": str, "resume": str, "new": int})
        table.append_row({"lr": 0.5, "s": "b" * 200, "resume": "path", "new": 3})
        table.append_row({"lr": 0.25, "s": "c", "resume": "again", "new": 4})
    assert read(tmp_path, append_exp_id=False).to_dict("list") == {
        "lr": [1.0, 0.5, 0.25],
        "s": ["a", "b" * 200, "c"],
        "gone": [True, None, None],
        "resume": [None, "path", "again"],
        "new": [None, 3, 4],
    }
    with Store(tmp_path, "run") as store:
        store.add_table("t", {"lr": float, "s": str, "resume": str, "new": int})
        store["t"].append_row({"lr": 2, "s": "d", "resume": "p", "new": 5})
        assert store["t"].nrows == 4


def test_reading_what_is_not_there_makes_nothing(tmp_path):
    with pytest.raises(InputError, match="no store"):
        Store(tmp_path / "out", "absent", mode="r")
    with pytest.raises(InputError, match="cannot read stores in"):
        CollectionReader(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_hold_a_store_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make"):
        Store(tmp_path / "file", "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "store.h5").write_bytes(b"no store" * 100)
    for mode in "ra":
        with pytest.raises(InputError, match="is no HDF5 file"):
            Store(tmp_path, "run", mode=mode)
    with pytest.raises(InputError, match="has been run already"):
        Store(tmp_path, "run", new=True)


def test_a_store_has_one_process(tmp_path):
    with Store(tmp_path, "run") as store:
        store.add_table("t", {"a": int})
        store["t"].append_row({"a": 1})
        with pytest.raises(InputError, match="open in this process"):
            Store(tmp_path, "run", mode="r")
        store.snapshot_copy()
        store["t"].append_row({"a": 2})
        found = python(f"""
from cox.store import Store
for mode in "ra":
    try:
        Store({str(tmp_path)!r}, "run", mode=mode)
    except ValueError as error:
        print(error)
print(Store.read_from_running({str(tmp_path)!r}, "run")["t"].df["a"].tolist())
""")
        locked = f"store {tmp_path}/run/store.h5 is held by another process: "
        *errors, snapshot = found.stdout.splitlines()
        assert [error[: len(locked)] for error in errors] == [locked, locked], found.stderr
        assert snapshot == "[1]"
        assert store["t"].nrows == 2


def test_a_snapshot_keeps_tables_without_rows(tmp_path):
    with Store(tmp_path, "run", mode="w") as store:
        full, empty = store.add_table("full", {"a": int}), store.add_table("empty", {"a": int})
        full.append_row({"a": 1})
        store.snapshot_copy()
        full.append_row({"a": 2})
        empty.append_row({"a": 3})
        assert store["full"].df["a"].tolist() == [1, 2]
        assert store["empty"].df["a"].tolist() == [3]


def test_a_kill_after_the_first_row_loses_nothing(tmp_path):
    code = f"""
import os, signal
from cox.store import Store
store = Store({str(tmp_path)!r}, 'run')
store.add_table('t', {{'a': int, 's': str}})
store['t'].append_row({{'a': 1, 's': 'x'}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert python(code).returncode == -signal.SIGKILL
    assert read(tmp_path).to_dict("list") == {"a": [1], "s": ["x"], "exp_id": ["run"]}
    with Store(tmp_path, "run") as store:
        assert store["t"].schema == {"a": int, "s": str}
        store["t"].append_row({"a": 2, "s": "y" * 999})
    assert read(tmp_path)["s"].tolist() == ["x", "y" * 999]


def test_a_full_disk_is_one_line_and_keeps_the_rows_before(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk(table):
        for length in range(1000, 500_000, 50_000):
            table.append_row({"o": "x" * length})

    with Store(tmp_path, "run") as store:
        table = store.add_table("t", {"o": Store.OBJECT})
        table.append_row({"o": "first"})
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, before[1]))
        try:
            with pytest.raises(InputError, match=r"store.h5 cannot be written: .* free \d+ MiB"):
                fill_the_disk(table)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        kept = table.nrows
        assert kept >= 2
    assert read(tmp_path)["o"].str.len().tolist()[0] == len("first")
    with Store(tmp_path, "run") as store:
        assert store["t"].nrows == kept
        store["t"].append_row({"o": "y" * 500_000})
    assert read(tmp_path)["o"].iloc[-1] == "y" * 500_000


def test_no_space_at_all_leaves_nothing(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(InputError, match="cannot be written"):
            Store(tmp_path / "new", "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_closing_twice_and_in_a_block(tmp_path):
    with Store(tmp_path, "run") as store:
        store.tensorboard.add_scalar("a", 1, 0)
    store.close()
    assert list(Path(store.tb_dir).iterdir())


def test_every_store_is_decoded_by_its_own_schema(tmp_path):
    fill(tmp_path, "a", schema={"v": str}, rows=[{"v": "text"}])
    fill(tmp_path, "b", schema={"v": Store.OBJECT, "w": Store.OBJECT}, rows=[{"v": [1], "w": 2}])
    found = read(tmp_path)
    assert found["v"].tolist() == ["text", [1]]
    assert pd.isna(found["w"].iloc[0])
    assert found["w"].iloc[1] == 2
    assert read(tmp_path, exp_filter=lambda name: name == "b")["v"].tolist() == [[1]]
    assert read(tmp_path, exp_filter=lambda name: False).empty


def test_a_table_that_is_nowhere_is_named(tmp_path):
    fill(tmp_path, schema={"a": int}, rows=[{"a": 1}])
    with pytest.raises(InputError, match="has a table 'u': there are t"):
        read(tmp_path, "u")
    assert read(tmp_path / "run").empty


def test_a_broken_store_can_be_skipped(tmp_path, capsys):
    fill(tmp_path, "good", schema={"a": int}, rows=[{"a": 1}])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "store.h5").write_text("nonsense")
    with pytest.raises(InputError, match="bad"):
        CollectionReader(tmp_path)
    reader = CollectionReader(tmp_path, skip_errs=True)
    assert reader.df("t")["a"].tolist() == [1]
    reader.close()
    assert "Error on exp_id bad" in capsys.readouterr().out


def test_a_reader_that_never_began_can_be_deleted():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CollectionReader.__new__(CollectionReader).__del__()


def test_upstream_reads_ours_and_we_read_upstreams(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    fill(
        ours,
        schema=ALL,
        rows=[
            {"n": 1, "x": 0.5, "b": False, "s": "abc", "o": [1, None]},
            {"n": 2, "x": 1.5, "b": True, "s": "d" * 200, "o": {"k": "v" * 200}},
        ],
    )
    found = python(
        f"""
from cox.readers import CollectionReader
from cox.store import Store
reader = CollectionReader({str(ours)!r})
print(reader.df("t").to_dict("list"))
print(reader.schemas["t"])
store = Store({str(theirs)!r}, "run")
store.add_table("t", {{"n": int, "s": str, "o": store.OBJECT}})
store["t"].append_row({{"n": 1, "s": "ab", "o": [1]}})
store.close()
""",
        mended=False,
    )
    assert found.stdout.splitlines()[:2] == [str(read(ours).to_dict("list")), str(ALL)], (
        found.stderr
    )
    with Store(theirs, "run") as store:
        store["t"].append_row({"n": 2, "s": "longer than before", "o": {"a": "b" * 300}})
        store["t"].append_row({"n": 3, "s": None, "o": None})
    table = read(theirs)
    assert table["n"].tolist() == [1, 2, 3]
    assert table["s"].tolist()[:2] == ["ab", "longer than before"]
    assert pd.isna(table["s"].iloc[2])
    assert table["o"].tolist() == [[1], {"a": "b" * 300}, None]
