"""Files that version 0.1.0 has left, finished and half done, are read and gone on with.

They are made by `legacy/make.py`; `legacy/README.md` says what each of them is.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from cox_stores import read
from legacy_files import (
    ACTIVATIONS,
    AMOUNTS,
    CALLS,
    EVALUATE,
    EVERY,
    EXPECTED,
    INVERSION,
    INVERT,
    LEGACY,
    PAPER,
    ROBUSTIFY,
    TRAIN,
    agree,
    close,
    files,
    page_of,
    unchanged,
    unpacked,
)
from robustness.datasets import DATASETS
from robustness.tools.helpers import InputNormalize

import robust_reps_ext as rr

pytestmark = pytest.mark.filterwarnings("ignore:the objective has no gradient")


@pytest.fixture(scope="module")
def tiny(one_thread):
    """The small data sets and networks of `legacy/tiny.py`."""
    importlib.import_module("matplotlib.font_manager")  # while its cache is where it was
    spec = importlib.util.spec_from_file_location("legacy_tiny", LEGACY / "tiny.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def place(tiny, undrawn, tmp_path, monkeypatch):
    """A folder to be in, with the models and the drawn images, which stay as they are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("exact.safetensors", "other.safetensors"):
        shutil.copy(LEGACY / name, tmp_path)
    drawn = files(unpacked("cache"))
    for name, kind in tiny.TINY.items():
        monkeypatch.setitem(DATASETS, name, kind)
    # A run goes on with the torch that it began with only; its numbers hold for others, too.
    version = type(torch.__version__)(EXPECTED["torch"])
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setattr(InputNormalize, "forward", tiny.without_bounds)
    yield
    assert unchanged(drawn)


@pytest.fixture
def succeed(tiny, command):
    """Call the program, which must succeed; what it printed, and its forward passes."""

    def call(line):
        began = tiny.Exact.passes
        status, said, told = command(*line.split())
        assert status == 0, told
        return said, tiny.Exact.passes - began

    return call


# -- the commands ----------------------------------------------------------------------------------


def test_a_finished_inversion_is_read_and_not_made_again(succeed):
    before = files(unpacked("invert"))
    assert close(read("invert", "results")["objective"].tolist(), EXPECTED["invert"]["objective"])
    assert read("invert", "metadata")["model"].tolist() == ["exact.safetensors"]
    said, passes = succeed(INVERT.format("invert"))
    assert unchanged(before)
    assert "invert-" in said
    [store] = Path("invert").iterdir()
    assert (store / "inversion.png").is_file()
    assert "3 finished, all as recorded" in succeed("store check invert")[0]
    assert passes < succeed(INVERT.format("anew"))[1] / 3


def test_an_interrupted_inversion_goes_on(succeed):
    unpacked("invert")
    loading = succeed(INVERT.format("invert"))[1]
    each = (succeed(INVERT.format("anew"))[1] - loading) / 3  # of the three images
    begun = unpacked("invert-interrupted")
    [store] = begun.iterdir()
    [place] = store.glob("places/*.safetensors")
    first = files(store, "inversion-0000000*") | files(store, "metadata.json")
    assert len(first) == 3
    assert len(read(begun, "results")) == 1
    passes = succeed(INVERT.format(begun))[1]
    # One image is there, and the second is not begun again.
    assert loading + each < passes < loading + 2 * each
    assert unchanged(first)
    assert not place.exists()
    assert list(store.glob("*/*.safetensors")) == []
    assert list(begun.iterdir()) == [store]
    found = read(begun, "results")
    assert found["image"].tolist() == [0, 1, 2]
    assert close(found["objective"].tolist(), EXPECTED["invert"]["objective"])
    [finished] = Path("invert").iterdir()
    for name in (f"inversion-{k:07d}.safetensors" for k in range(3)):
        images = (rr.Synthesis.load(folder / name).images for folder in (finished, store))
        torch.testing.assert_close(*images, rtol=0, atol=1e-3)
    assert "3 finished, all as recorded" in succeed(f"store check {begun}")[0]


def test_an_interrupted_evaluation_goes_on(succeed):
    [store] = unpacked("evaluate").iterdir()
    before = files(store / "records", "[!.]*")
    assert len(before) == 2
    succeed(EVALUATE)
    assert unchanged(before)
    found = read("evaluate", "results")[["model", "attack", "correct", "n"]]
    # Networks have short names now.
    expected = [{**row, "model": Path(row["model"]).stem} for row in EXPECTED["evaluate"]]
    assert found.to_dict("records") == expected


@pytest.mark.parametrize(
    ("line", "out", "page"),
    [
        (ACTIVATIONS, "activations", "activations.png"),
        (EVERY, "activations-all", "activations.html"),
    ],
)
def test_finished_activations_are_read_and_shown(line, out, page, succeed):
    before = files(unpacked(out))
    read(out, "results")
    succeed(line)
    [store] = Path(out).iterdir()
    assert unchanged(before)
    assert (store / page).is_file()


def test_a_folder_of_critters_is_replaced_by_the_same(succeed):
    unpacked("critters")
    record = Path("critters", "critters.json")
    before = json.loads(record.read_text("utf-8"))
    succeed("critters critters --layout folder --size 24 --per-class 1 --seed 5")
    assert json.loads(record.read_text("utf-8")) == before
    assert all(Path("critters", name).is_file() for name in before["images"])


# -- from Python -----------------------------------------------------------------------------------


@pytest.fixture
def network(tiny):
    """A network of one of the data sets."""

    def make(seed, data):
        return rr.load_model(tiny.Exact(data.num_classes, seed), dataset=data)

    return make


def test_a_saved_synthesis_is_loaded():
    unpacked("synthesis")
    found = rr.Synthesis.load("synthesis/inversion.safetensors")
    assert agree(found.images, EXPECTED["synthesis"]["images"])
    assert close(found.objective.tolist(), EXPECTED["synthesis"]["objective"])
    assert found.frame_steps.tolist() == [0, 1, 6]
    assert found.frames.shape == (3, 2, 3, 12, 12)
    assert (found.settings["iterations"], found.settings["step_size"]) == (6, 0.5)
    assert found.provenance["versions"]["robust-reps-ext"] == EXPECTED["version"]


@pytest.fixture
def gone_on(network):
    """Call an experiment on two images; what it gives, and the progress that it tells."""

    def call(experiment, **given):
        data = DATASETS["critters"]()
        loader = data.make_loaders(0, 2, only_val=True, shuffle_val=False)[1]
        targets = next(iter(loader))[0][..., ::2, ::2]
        told = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the keyword's old name
            found = experiment(
                network(1, data), targets, progress=lambda *now: told.append(now[:2]), **given
            )
        return found, told

    return call


def test_an_interrupted_call_goes_on_from_its_place(gone_on):
    unpacked("synthesis")
    place = Path("synthesis", "inversion.place")
    found, told = gone_on(rr.invert, place=place, **INVERSION)
    # The first image, and two steps of the second, had been made.
    assert told == [(9, 12), (10, 12), (11, 12), (12, 12), (12, 12)]
    assert not place.exists()
    kept = rr.Synthesis.load("synthesis/inversion.safetensors")
    torch.testing.assert_close(found.images, kept.images, rtol=0, atol=1e-3)
    torch.testing.assert_close(found.trace, kept.trace, rtol=1e-3, atol=1e-3)
    assert close(found.objective.tolist(), EXPECTED["synthesis"]["objective"])
    # Version 0.1 did not say what had computed.
    assert found.settings == {**kept.settings, "computed_in": "float32"}


@pytest.mark.parametrize("name", CALLS)
def test_other_experiments_go_on_from_their_places(name, gone_on):
    unpacked("synthesis")
    place = Path("synthesis", f"{name}.place")
    found, told = gone_on(CALLS[name], place=place)
    assert told == [(4, 5), (5, 5), (5, 5)]
    assert not place.exists()
    assert close(found.objective.tolist(), EXPECTED["others"][name])


def test_an_interrupted_paper_goes_on(network):
    from robust_reps_ext.experiments.paper import run_paper
    from robust_reps_ext.experiments.paper.units import UNITS

    begun = unpacked("paper")
    [first] = begun.glob("fig6-*")
    [kept] = begun.glob(".claims/*/robust.safetensors")
    robust = rr.Synthesis.load(kept).images
    before = files(first)
    data = DATASETS["critters"]()
    told = {}

    @contextmanager
    def watch(unit):
        told[unit.id] = []
        yield lambda *now: told[unit.id].append(now[:2])

    units = run_paper(network(1, data), network(2, data), data, begun, watch=watch, **PAPER)
    assert unchanged(before)
    made = {unit.manifest["id"]: unit for unit in units}
    # Fig. 2 has come, and what was Fig. 14b is in Fig. 6.
    assert list(made) == [unit.id for unit in UNITS]
    assert list(told) == list(made)[1:]
    assert made["fig6"].path == begun / first.name
    # Of the second figure one run was there, and two steps of the other.
    assert told["fig3"] == [(3, 4), (4, 4), (4, 4)]
    found = rr.Synthesis.load(made["fig3"].path / "robust.safetensors")
    assert torch.equal(found.images, robust)
    assert not kept.exists()
    for name, runs in EXPECTED["paper"]["objectives"].items():
        for role, objective in runs.items():
            run = rr.Synthesis.load(made[name].path / f"{role}.safetensors")
            assert close(run.objective.tolist(), objective), (name, role)
    assert close(made["tables"].manifest["metadata"]["eps"], EXPECTED["paper"]["eps"])
    assert "Figures 6, 13b, 15" in page_of(begun)


def test_an_interrupted_scorecard_goes_on(network):
    trials = unpacked("scorecard") / "trials"
    before = files(trials)
    assert sorted(path.stem for path in before) == [
        "robust-0", "robust-1", "settings", "standard-0",
    ]  # fmt: skip
    data = DATASETS["critters_fine"]()
    robust, standard, judge = (network(seed, data) for seed in (1, 2, 3))
    told = []
    card = rr.scorecard(
        robust, standard, data, judge=judge, trials=trials,
        progress=lambda *now: told.append(now), **AMOUNTS,
    )  # fmt: skip
    assert unchanged(before)
    each, whole = told[0]
    assert whole == 6 * each
    assert [done for done, _ in told] == [each, 2 * each, *range(3 * each, whole + 1)]
    for name, expected in EXPECTED["scorecard"]["trials"].items():
        measured = json.loads((trials / name).read_text("utf-8"))
        assert measured.keys() == expected.keys()
        # Units that are off at a start are pushed since: the features of a new trial may differ.
        same = [key for key in expected if not key.startswith("same from every start")]
        for key in same:
            assert close(measured[key], expected[key]), (name, key)
    assert card.verdicts() == EXPECTED["scorecard"]["verdicts"]


def test_a_finished_scorecard_is_shown():
    before = files(unpacked("scorecard"))
    assert "The claims, tested" in page_of("scorecard/finished")
    assert unchanged(before)


def test_an_interrupted_robust_data_set_goes_on(network):
    begun = unpacked("robust_data")
    before = files(begun)
    assert sorted(path.name for path in before) == ["robustified.json", "shard-000000.tar"]
    data = DATASETS["critters"]()
    told = []
    index = rr.robustify(
        network(1, data), data, begun, progress=lambda *now: told.append(now), **ROBUSTIFY
    )
    assert unchanged(before)
    assert told[0][:2] == (4, 9)  # three images were there, and a third of three steps is made
    assert [shard.name for shard in index.shards] == EXPECTED["robust_data"]["shards"]
    assert index.images == EXPECTED["robust_data"]["images"]
    assert math.isclose(index.distance, EXPECTED["robust_data"]["distance"], rel_tol=1e-2)
    train, val = DATASETS["webshards"](str(begun)).make_loaders(0, 9)
    assert [len(loader.dataset) for loader in (train, val)] == [9, 12]
    assert next(iter(train))[0].shape == (9, 3, 24, 24)


# -- training --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """Both runs gone on with, in one other process; what they printed, and what was there."""
    here = tmp_path_factory.mktemp("trained")
    unpacked("training", here)
    drawn = unpacked("cache", here) / "robust-reps-ext"
    before = files(here, "checkpoint.pt.latest")
    kept = {path: torch.load(path, weights_only=True) for path in before}
    rows = files(here, "logs-*.json") | files(drawn)
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    lines = " ; ".join(TRAIN.format(name) for name in ("between", "midway"))
    done = subprocess.run(
        [sys.executable, str(LEGACY / "tiny.py"), *lines.split()],
        env=environment, cwd=here, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert unchanged(rows)
    return here, kept, done.stdout


@pytest.mark.parametrize("name", ["between", "midway"])
def test_a_stopped_training_goes_on(name, trained):
    """Killed after its first epoch; interrupted in the midst of the second."""
    here, kept, said = trained
    checkpoint = here / "training" / name / "checkpoint.pt.latest"
    begun = kept[checkpoint]
    assert begun["epoch"] == 1
    assert ("place" in begun) == (name == "midway")
    assert f"going on with the run of training/{name}" in said
    logs = read(here / "training", "logs")
    assert logs[logs["exp_id"] == name]["epoch"].tolist() == [1, 2]
    found = torch.load(checkpoint, weights_only=True)
    assert found["epoch"] == 2
    assert found["model"].keys() == EXPECTED["training"]["model"].keys()
    for key, tensor in found["model"].items():
        assert agree(tensor, EXPECTED["training"]["model"][key]), key
    for key, value in EXPECTED["training"]["log"].items():
        assert close(found["log"][key], value), key
