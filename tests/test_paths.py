"""Where things stand: the rooms, the paths of version 0.1, and names that are still taken."""

from __future__ import annotations

import ast
import importlib
import re
import warnings
from pathlib import Path

import pytest
import torch
import torchvision

import robust_reps_ext as rr

PACKAGE = Path(rr.__file__).parent
ROOMS = "cli datasets experiments explore models report results runtime synthesis upstream"

# What README, docs, examples and benchmarks of version 0.1 imported.
SHOWN = {
    "atomic": "writing",
    "datasets.critters": "CrittersDataSet CrittersFineDataSet draw CLASSES",
    "datasets.critters_images": "CritterImages",
    "datasets.patterns": "kaleidoscope",
    "datasets.photographs": "photographs",
    "datasets.samples": "open_data_set training_set validation_samples validation_set",
    "datasets.shards": "Sample read_members shard_name write_shard",
    "experiments.accuracy": "attacked_network",
    "experiments.pairs": "near_pairs",
    "figures": "Row image_grid save_figure",
    "models.fast": "fast_network",
    "models.small": "ARCHITECTURES",
    "objectives": "CoordinateMaximization InterpolationTarget RepresentationMatching",
    "plots": "Line accuracy_figure curve_figure",
    "reading": "read_results",
    "settings": "Settings",
    "store": "ExperimentStore trusting",
    "synthesis": "noise synthesize",
    "upstream": "distributed",
    "upstream.distributed": "process_group",
    "upstream.image_files": "pil_loader",
    "upstream.precision": "is_fast",
    "upstream.rank_loaders": "parts_of",
}

# What its CONTRIBUTING named, its files hold, and its start-up file imports.
NAMED = {
    "errors": "InputError",
    "place": "described",
    "presets": "preset_names preset_path",
    "result": "Synthesis",
    "startup": "arm",
    "upstream.registration": "OBJECTIVES register_objective",
}


@pytest.mark.parametrize("path", [*SHOWN, *NAMED])
def test_paths_of_version_0_1_are_the_modules_that_stand_elsewhere_now(path):
    moved = rr._MOVED.get(path, path)
    old = importlib.import_module(f"robust_reps_ext.{path}")
    assert old is importlib.import_module(f"robust_reps_ext.{moved}")
    assert old.__name__ == old.__spec__.name == f"robust_reps_ext.{moved}"
    for name in (SHOWN | NAMED)[path].split():
        assert getattr(old, name) is not None


def test_the_table_of_moved_paths_has_what_has_moved_and_nothing_else():
    def stands(path):
        where = PACKAGE / path.replace(".", "/")
        return where.with_suffix(".py").is_file() or (where / "__init__.py").is_file()

    assert all(stands(new) and not stands(old) for old, new in rr._MOVED.items())
    assert {path for path in (*SHOWN, *NAMED) if not stands(path)} == set(rr._MOVED)


def test_every_public_name_is_there_and_listed():
    assert set(rr.__all__) <= set(dir(rr))
    assert all(getattr(rr, name) is not None for name in rr.__all__)


def test_there_are_ten_rooms():
    shown = {path.name for path in PACKAGE.iterdir()} - {"__pycache__"}
    assert shown == {*ROOMS.split(), "__init__.py", "__main__.py", "py.typed"}


@pytest.mark.parametrize("root", [PACKAGE, Path(__file__).parent], ids=["package", "tests"])
def test_no_file_is_long(root):
    long = {path: len(path.read_text("utf-8").splitlines()) for path in root.rglob("*.py")}
    assert {path: n for path, n in long.items() if n > 400} == {}


def test_names_of_rooms_upstairs_stand_in_the_registry_alone():
    address = re.compile(r"robust_reps_ext\.[a-z_.]+:\w+")
    described = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = set()
    for path in PACKAGE.rglob("*.py"):
        nodes = [*ast.walk(ast.parse(path.read_text("utf-8")))]
        strings = {one.value for one in nodes if isinstance(one, ast.Constant)}
        strings -= {ast.get_docstring(one, False) for one in nodes if isinstance(one, described)}
        if any(isinstance(one, str) and address.search(one) for one in strings):
            found.add(path.relative_to(PACKAGE).as_posix())
    assert found == {"upstream/registry.py"}


def test_place_is_snapshot_and_the_warning_names_the_callers_line(tmp_path):
    model = rr.load_model(torchvision.models.resnet18(num_classes=9), dataset="restricted_imagenet")
    images = torch.rand(1, 3, 32, 32)
    called = {"iterations": 2, "place": tmp_path / "run", "place_interval": 0}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        rr.invert(model, images, **called)
    said = [one for one in told if one.category is DeprecationWarning]
    assert {str(one.message) for one in said} == {
        "place= is called snapshot= now",
        "place_interval= is called snapshot_interval= now",
    }
    assert {one.filename for one in said} == {__file__}

    def interrupt(done, *_):
        if done > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), pytest.warns(DeprecationWarning, match="snapshot"):
        rr.invert(model, images, progress=interrupt, **{**called, "iterations": 3})
    assert (tmp_path / "run").is_file()
