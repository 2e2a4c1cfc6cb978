"""What is finished stays: experiments that go on, stores made again, parts made by many."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cox.readers import CollectionReader
from cox_stores import read
from stored_experiments import SETTINGS, resume, synthesis

from robust_reps_ext.results.cox_export import bring_up_to_date, faults
from robust_reps_ext.results.merge import merge
from robust_reps_ext.results.reader import read_results
from robust_reps_ext.results.records import read_records
from robust_reps_ext.runtime.errors import InputError


def finish(store, n=10, size=4, only=None):
    """Make what is not finished of a whole; the numbers of the parts that were made."""
    made = []
    with store.parts("whole", n, size) as parts:
        for part in parts:
            if only is not None and len(made) == only:
                break
            numbers = range(part.first, part.stop)
            store.add(part, synthesis(numbers), [{"label": f"image {i}"} for i in numbers])
            made.append(part.first)
    return made


def table(out):
    return read(out, "results").to_dict("list")


def listed(store, n=10, size=4):
    with store.parts("whole", n, size) as parts:
        return list(parts)


def test_a_whole_goes_on_where_it_stopped(tmp_path):
    with resume(tmp_path) as store:
        assert finish(store, only=2) == [0, 4]
    with resume(tmp_path) as again:
        assert again.path == store.path
        assert finish(again) == [8]
        assert finish(again) == []
        found, rows = again.whole("whole")
    assert found.objective.tolist() == list(range(10))
    assert found.settings == {"eps": [float(i + 1) for i in range(10)], "iterations": 7}
    assert [row["label"] for row in rows] == [f"image {i}" for i in range(10)]
    assert table(tmp_path)["image"] == list(range(10))
    assert len(read_results(tmp_path)) == 1


def test_a_part_that_failed_is_free_again(tmp_path):
    with resume(tmp_path) as store:

        def fail():
            with store.parts("whole", 10, 4) as parts:
                for _ in parts:
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError) as kept:
            fail()
        # The traceback is still there, and what it refers to.
        assert kept.tb is not None
        assert finish(store) == [0, 4, 8]


def test_order_does_not_depend_on_who_was_first(tmp_path):
    with resume(tmp_path) as store:
        parts = listed(store)
        for part in reversed(parts):
            store.add(part, synthesis(range(part.first, part.stop)))
    assert table(tmp_path)["image"] == list(range(10))
    assert store.whole("whole")[0].objective.tolist() == list(range(10))


def test_other_settings_are_refused_with_the_difference(tmp_path):
    with resume(tmp_path) as store:
        finish(store)
    with pytest.raises(InputError, match=r"iterations=7 \(now 8\).*--overwrite"):
        resume(tmp_path, settings={**SETTINGS, "iterations": 8})
    with pytest.raises(InputError, match=r"weights=None \(now 'ab'\)"):
        resume(tmp_path, provenance={"weights": "ab"})
    resume(tmp_path, experiment="curve", settings={}).close()
    assert len(read_results(tmp_path)) == 2
    with resume(tmp_path, settings={**SETTINGS, "iterations": 8}, overwrite=True) as other:
        assert finish(other) == [0, 4, 8]
    assert not store.path.exists()
    assert sorted(one.metadata["experiment"] for one in read_results(tmp_path)) == [
        "curve",
        "invert",
    ]


def test_of_several_processes_none_begins_anew(tmp_path, monkeypatch):
    with resume(tmp_path) as store:
        finish(store)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match=r"--overwrite .*: 2 processes would remove each other's"):
        resume(tmp_path, overwrite=True)
    assert table(tmp_path)["image"] == list(range(10))


def test_tensors_without_a_record_are_made_again(tmp_path):
    with resume(tmp_path) as store:
        finish(store)
        (store.path / "records/whole-0000004.json").unlink()
        (store.path / "whole-0000004.safetensors").write_bytes(b"half")
        assert finish(store) == [4]
    assert store.whole("whole")[0].objective.tolist() == list(range(10))
    assert not faults(store.path)


def test_a_store_truncated_anywhere_is_made_again_and_kept_aside(tmp_path):
    with resume(tmp_path) as store:
        finish(store)
    before, file = table(tmp_path), store.path / "store.h5"
    whole = file.read_bytes()
    draw = random.Random(0)
    for length in [0, 1, *(draw.randrange(len(whole)) for _ in range(20))]:
        file.write_bytes(whole[:length])
        [problem] = faults(store.path)
        assert "store.h5" in problem
        assert "store rebuild" in problem
        bring_up_to_date(store.path)
        assert not faults(store.path)
        assert table(tmp_path) == before
    aside = sorted(store.path.glob("store.h5.damaged*"))
    assert len(aside) == 22
    assert aside[0].read_bytes() == b""


@pytest.mark.parametrize("what", ["missing", "behind"])
def test_a_store_that_is_missing_or_behind_is_told_and_made_again(command, tmp_path, what):
    with resume(tmp_path) as store:
        finish(store, only=1)
        old = (store.path / "store.h5").read_bytes()
        finish(store)
    before = table(tmp_path)
    if what == "missing":
        (store.path / "store.h5").unlink()
    else:
        (store.path / "store.h5").write_bytes(old)
    status, said, _ = command("store", "check", tmp_path)
    assert status == 1
    assert "is missing" in said if what == "missing" else "rows, the records 11" in said
    assert command("store", "rebuild", tmp_path)[:2] == (0, f"{store.path}: rebuilt\n")
    assert command("store", "rebuild", tmp_path)[:2] == (0, f"{store.path}: was up to date\n")
    assert command("store", "check", tmp_path)[:2] == (
        0,
        f"{store.path}: 3 finished, all as recorded\n",
    )
    assert table(tmp_path) == before


def test_damaged_tensors_and_records_are_named(tmp_path):
    with resume(tmp_path) as store:
        finish(store)
    tensors = store.path / "whole-0000004.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    (store.path / "whole-0000008.safetensors").unlink()
    damaged, missing = faults(store.path)
    assert str(tensors) in damaged
    assert "digest" in damaged
    assert "whole-0000008.safetensors is missing" in missing
    record = store.path / "records/whole-0000000.json"
    for text in ("", "{", "[]", '{"format": "other"}', "[" * 10**5, '{"format": 1, "name": "x"}'):
        record.write_text(text)
        [problem] = faults(store.path)
        assert f"{record} is damaged" in problem
        with pytest.raises(InputError, match="damaged"):
            read_results(tmp_path)


def test_a_record_names_only_files_of_its_experiment(tmp_path):
    with resume(tmp_path) as store:
        finish(store)
    record = store.path / "records/whole-0000000.json"
    kept = json.loads(record.read_text())
    kept["files"] = {"../../secret": "ab"}
    record.write_text(json.dumps(kept))
    with pytest.raises(InputError, match="cannot name a file"):
        read_records(store.path)


def test_results_of_several_machines_are_merged(tmp_path):
    for name, only in (("a", 2), ("b", None)):
        with resume(tmp_path / name) as store:
            if name == "b":
                parts = listed(store)[1:]
                for part in parts:
                    store.add(part, synthesis(range(part.first, part.stop)), [
                        {"label": f"image {i}"} for i in range(part.first, part.stop)
                    ])  # fmt: skip
            else:
                finish(store, only=only)
    # Part 4 is in both, and the same.
    sources = [tmp_path / "a", tmp_path / "b"]
    [target] = merge(sources, tmp_path / "all")
    assert table(tmp_path / "all")["image"] == list(range(10))
    assert not faults(target)
    with resume(tmp_path / "all") as store:
        assert finish(store) == []
    assert merge(sources, tmp_path / "all") == [target]
    (tmp_path / "b" / target.name / "whole-0000004.safetensors").unlink()
    with pytest.raises(InputError, match=r"whole-0000004\.safetensors is missing"):
        merge([tmp_path / "b"], tmp_path / "other")
    with resume(tmp_path / "c", settings={**SETTINGS, "eps": 1.5}) as store:
        finish(store)
    store.path.rename(tmp_path / "c" / target.name)
    with pytest.raises(InputError, match=r"was made with eps=.* \(now 1.5\) in .*same settings"):
        merge([tmp_path / "c"], tmp_path / "all")
    with pytest.raises(InputError, match=r"cannot make .*choose another place"):
        merge([tmp_path / "c"], tmp_path / "c" / target.name / "store.h5")
    with pytest.raises(InputError, match="no folder"):
        merge([tmp_path / "nowhere"], tmp_path / "all")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no experiment"):
        merge([tmp_path / "empty"], tmp_path / "all")


WORKER = """
import sys, time, torch
sys.path.insert(0, {here!r})
from stored_experiments import resume, synthesis
with resume({out!r}) as store:
    with store.parts("whole", 24, 2) as parts:
        for part in parts:
            print(part.first, flush=True)
            time.sleep({sleep})
            numbers = range(part.first, part.stop)
            store.add(part, synthesis(numbers), [{{"label": f"image {{i}}"}} for i in numbers])
"""


def test_processes_share_an_experiment_and_take_up_what_a_killed_one_had(tmp_path):
    def worker(sleep):
        code = WORKER.format(here=str(Path(__file__).parents[1]), out=str(tmp_path), sleep=sleep)
        command = [sys.executable, "-c", code]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    stuck = worker(3600)
    assert stuck.stdout.readline() == "0\n"
    other = worker(0)
    made = [int(other.stdout.readline()) for _ in range(11)]
    assert made == list(range(2, 24, 2))
    stuck.send_signal(signal.SIGKILL)
    assert stuck.wait(timeout=120) == -signal.SIGKILL
    assert other.communicate(timeout=120)[0] == "0\n"
    assert other.returncode == 0
    stuck.stdout.close()
    assert table(tmp_path)["label"] == [f"image {i}" for i in range(24)]
    [store] = tmp_path.iterdir()
    assert not faults(store)
    assert not [path for path in store.rglob("*") if "tmp" in path.name]


def test_two_commands_at_once_do_not_wait_for_a_reader(tmp_path):
    with resume(tmp_path) as store:
        finish(store, only=1)
        reader = CollectionReader(str(tmp_path))
        finish(store)
        seen = len(reader.df("results"))
        reader.close()
    assert seen == 4
    assert len(table(tmp_path)["image"]) == 10
