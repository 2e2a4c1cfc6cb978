"""What must be true of results on disk: all that was reported is there, and nothing else."""

import doctest
import math
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import robust_reps_ext.results.store
from robust_reps_ext.results.cox_export import faults
from robust_reps_ext.results.figures import Row, image_grid
from robust_reps_ext.results.reader import read_results
from robust_reps_ext.results.records import difference
from robust_reps_ext.results.store import ExperimentStore
from robust_reps_ext.results.synthesis import Synthesis
from robust_reps_ext.runtime.errors import InputError

SETTINGS = {"eps": 3.0, "iterations": 7, "layer": None, "use_best": False, "constraint": "2"}
PROVENANCE = {"weights": "ab" * 32, "seed": 2**64 - 1, "versions": {"torch": "2.0"}}


def synthesis(n=2, size=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images, start, targets = (torch.rand(n, 3, size, size, generator=generator) for _ in range(3))
    trace = torch.rand(3, n, generator=generator)
    steps = torch.tensor([0, 5, 10])
    return Synthesis(
        images, start, trace[-1].clone(), trace, steps, {"eps": 3.0}, {"seed": 1}, targets
    )


def create(out, **facts):
    return ExperimentStore.create(
        out, **{"experiment": "invert", "settings": SETTINGS, "provenance": PROVENANCE, **facts}
    )


def test_what_was_stored_is_read(tmp_path):
    made = synthesis()
    rows = [
        {"label": "dog", "target": 4, "distance": np.float32(0.25), "start": "noise"},
        {"label": "c" * 300, "target": torch.tensor(5), "distance": None, "start": None},
    ]
    with create(tmp_path / "out") as store:
        path = store.add("robust", made, rows)
        store.add("standard", synthesis(seed=1))
        picture = store.add_figure("grid", image_grid([Row(made.images)]))
    [found] = read_results(tmp_path / "out")
    assert found.path == store.path
    assert {**SETTINGS, **PROVENANCE}.items() <= found.metadata.items()
    assert found.metadata["experiment"] == "invert"
    table = found.results
    assert table["name"].tolist() == ["robust"] * 2 + ["standard"] * 2
    assert table["image"].tolist() == [0, 1, 0, 1]
    assert table["objective"].tolist()[:2] == made.objective.tolist()
    assert table["label"].tolist()[:2] == ["dog", "c" * 300]
    assert table["target"].tolist() == [4, 5, None, None]
    assert table["distance"].iloc[0] == 0.25
    assert table["distance"].iloc[1:].isna().all()
    assert table["start"].iloc[0] == "noise"
    assert table["start"].iloc[1:].isna().all()
    assert table["tensors"].unique().tolist() == [path.name, "standard.safetensors"]
    assert found.tensors == {"robust": path, "standard": path.with_name("standard.safetensors")}
    torch.testing.assert_close(Synthesis.load(path).images, made.images, rtol=0, atol=0)
    with Image.open(picture) as image:
        assert image.size[0] > 100
    assert list((store.path / "tensorboard").iterdir())


def test_a_part_of_many_images_shows_some(tmp_path):
    sizes = {}
    for n in (8, 64):
        store = create(tmp_path / str(n))
        with store:
            store.add("robust", synthesis(n=n), [{}] * n)
        [events] = (store.path / "tensorboard").iterdir()
        sizes[n] = events.stat().st_size
    assert 0.9 < sizes[64] / sizes[8] < 1.1


def test_rows_need_no_images(tmp_path):
    rows = [{"model": "a", "accuracy": np.float32(0.5)}, {"model": "b", "n": 3}]
    with create(tmp_path) as store:
        store.add_rows("accuracy", rows)
        store.add("robust", synthesis())
        store.add_rows("accuracy", rows[:1])
        store.add_rows("nothing", [])
    table = read_results(tmp_path)[0].results
    assert table["name"].tolist() == ["accuracy"] * 2 + ["robust"] * 2 + ["accuracy"]
    assert table["model"].fillna("").tolist() == ["a", "b", "", "", "a"]
    assert table["accuracy"].tolist()[0] == 0.5
    assert table["accuracy"].iloc[1:4].isna().all()

    def fail_after_rows():
        with create(tmp_path / "later") as store:
            store.add_rows("accuracy", rows)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_rows()
    assert len(read_results(tmp_path / "later")[0].results) == 2


def test_plain_cox_reads_it(tmp_path):
    with create(tmp_path) as store:
        store.add("robust", synthesis(), [{"label": "dog"}, {"label": "cat"}])
    code = (
        "from cox.readers import CollectionReader\n"
        f"reader = CollectionReader({str(tmp_path)!r})\n"
        "print(reader.df('results')['label'].tolist())\n"
        "print(reader.df('metadata')[['eps', 'versions', 'seed', 'layer']].values.tolist())"
    )
    environment = {**os.environ, "ROBUST_REPS_EXT_DISABLE": "1"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == [
        "['dog', 'cat']",
        str([[3.0, {"torch": "2.0"}, 2**64 - 1, None]]),
    ]


def test_experiments_come_in_the_order_of_their_making(tmp_path):
    for name in ("b", "a", "c"):
        create(tmp_path, experiment=name).close()
    assert [one.metadata["experiment"] for one in read_results(tmp_path)] == ["b", "a", "c"]
    assert all(one.results.empty for one in read_results(tmp_path))


def test_what_was_reported_survives_a_kill(tmp_path):
    code = f"""
import os, signal, torch
from robust_reps_ext.results.synthesis import Synthesis
from robust_reps_ext.results.store import ExperimentStore
images, start, trace = torch.ones(1, 3, 8, 8), torch.ones(1, 3, 8, 8), torch.ones(1, 1)
made = Synthesis(images, start, torch.ones(1), trace, torch.zeros(1), {{}}, {{}})
store = ExperimentStore.create({str(tmp_path)!r}, experiment="invert", settings={{"eps": 1.0}})
store.add("robust", made, [{{"label": "dog"}}])
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    [found] = read_results(tmp_path)
    assert found.results["label"].tolist() == ["dog"]
    assert found.metadata["eps"] == 1.0
    assert Synthesis.load(found.tensors["robust"]).images.min() == 1
    assert not list(found.path.glob("*tmp*"))


def test_places_that_cannot_hold_results_are_left_alone(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"cannot make .*file"):
        create(tmp_path / "file")
    with pytest.raises(InputError, match="cannot make"):
        create("/proc/robust_reps_ext")
    assert (tmp_path / "file").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("limit", [1_000_000, 2_099_500])
def test_a_full_disk_at_the_start_leaves_nothing(tmp_path, limit):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(InputError, match=r"store\.h5 cannot be written"):
            create(tmp_path / "new" / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_later_keeps_what_was_there(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with create(tmp_path) as store:
        store.add("first", synthesis())
        store._next_view = 0.0
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        try:
            with pytest.raises(InputError, match=r"large\.safetensors.*too large"):
                store.add("large", synthesis(n=8, size=64))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert not list(store.path.rglob("*large*"))
        # Images and record fit, and so they are kept; the cox store does not.
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
        try:
            with pytest.raises(InputError, match=r"store\.h5 cannot be .*too large.*store rebuild"):
                store.add("large", synthesis(n=8, size=64))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        [problem] = faults(store.path)
        assert "store.h5 has 3 rows, the records 11: robust-reps store rebuild" in problem
    assert not faults(store.path)
    [found] = read_results(tmp_path)
    assert list(found.tensors) == ["first", "large"]
    assert len(found.results) == 10


def test_no_room_for_the_images_is_said_before_anything_is_written(tmp_path, monkeypatch):
    with create(tmp_path) as store:
        here = sorted(store.path.iterdir())
        usage = type("usage", (), {"free": 2**20})
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
        with pytest.raises(InputError, match=r"robust\.safetensors: 1 MiB are free"):
            store.add("robust", synthesis())
        assert sorted(store.path.iterdir()) == here


def test_an_experiment_that_fails_before_its_first_result_is_removed(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with create(tmp_path / "out"):
            _ = 1 / 0
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()

    def fail_after_a_result():
        with create(tmp_path / "out") as store:
            store.add("robust", synthesis())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_a_result()
    assert len(read_results(tmp_path / "out")[0].results) == 2


def test_wrong_use_is_named_and_writes_nothing(tmp_path):
    with pytest.raises(InputError, match=r"experiment '\.\./x' cannot name a file"):
        create(tmp_path, experiment="../x")
    with pytest.raises(ValueError, match="'seed' is both"):
        create(tmp_path, settings={"seed": 1}, provenance={"seed": 2})
    with create(tmp_path) as store:
        with pytest.raises(InputError, match="2 images and 1 rows"):
            store.add("robust", synthesis(), [{}])
        with pytest.raises(InputError, match="'/etc/x' cannot name a file"):
            store.add("/etc/x", synthesis())
        store.add("robust", synthesis())
        with pytest.raises(InputError, match="exists already"):
            store.add("robust", synthesis())
        figure = image_grid([Row(synthesis().images)])
        store.add_figure("grid.pdf", figure)
        with pytest.raises(InputError, match="exists already"):
            store.add_figure("grid.pdf", figure)
    assert len(read_results(tmp_path)[0].results) == 2


def test_whatever_is_said_of_an_image_can_be_stored(tmp_path):
    rows = [
        {"n": 1, "x": 1, "flag": True, "what": [1, (2,)], "path": tmp_path, "odd": 1},
        {"n": None, "x": 0.5, "flag": None, "what": {"a": torch.ones(2)}, "odd": "text"},
        {"n": 2**70, "x": math.inf, "flag": False, "what": None, "path": None, "odd": None},
    ]
    with create(tmp_path) as store:
        store.add("robust", synthesis(n=3), rows)
    table = read_results(tmp_path)[0].results
    assert table["n"].tolist() == [1, None, 2**70]
    assert table["x"].tolist() == [1.0, 0.5, math.inf]
    assert table["flag"].tolist() == [True, None, False]
    assert table["what"].tolist() == [[1, [2]], {"a": [1.0, 1.0]}, None]
    assert table["path"].tolist()[0] == str(tmp_path)
    assert table["odd"].tolist() == [1, "text", None]


def test_the_examples_are_right():
    finder = doctest.DocTestFinder()
    tests = finder.find(robust_reps_ext.results.store.ExperimentStore) + finder.find(difference)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in tests:
        test.globs.update(robust_reps_ext.results.store.__dict__)
        runner.run(test)
    assert runner.tries
    assert not runner.failures
