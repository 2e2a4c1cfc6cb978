"""`run_paper` makes every unit, and goes on where it was interrupted."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest
import torch
from PIL import Image
from robustness.datasets import DATASETS

import robust_reps_ext as rr
from robust_reps_ext.experiments.paper import run_paper
from robust_reps_ext.experiments.paper.units import ORDER, UNITS
from robust_reps_ext.report.page import write_report
from robust_reps_ext.results.reader import read_results
from robust_reps_ext.results.units import finished_units

pytestmark = pytest.mark.filterwarnings("ignore:the objective has no gradient")

TINY = {
    "images": 2,
    "pairs": 2,
    "steps": 2,
    "iterations": 2,
    "feature_iterations": 2,
    "addition_iterations": 2,
    "seeds": 2,
    "coordinates": 3,
    "radii": (2.0, 8.0),
    "tested": 6,
    "attack_steps": (1, 2),
}


@pytest.fixture(scope="module")
def pair():
    data = DATASETS["critters"]()
    torch.manual_seed(0)
    models = [rr.load_model(data.get_model("critters_resnet"), dataset=data) for _ in range(2)]
    return (*models, data)


class Stop(Exception):
    pass


def watching(made, stop_at=None):
    @contextmanager
    def watch(unit):
        if unit.id == stop_at:
            raise Stop
        yield False
        made.append(unit.id)

    return watch


@pytest.fixture(scope="module")
def interrupted(pair, tmp_path_factory):
    """A run interrupted at its third unit, and what the same call did afterwards."""
    out, first, second = tmp_path_factory.mktemp("paper"), [], []
    with pytest.raises(Stop):
        run_paper(*pair, out, watch=watching(first, UNITS[2].id), **TINY)
    kept = finished_units(out, ORDER)
    units = run_paper(*pair, out, watch=watching(second), **TINY)
    return out, first, kept, second, units


def test_an_interrupted_run_goes_on(interrupted):
    _, first, kept, second, units = interrupted
    ids = [unit.id for unit in UNITS]
    assert first == [unit.manifest["id"] for unit in kept] == ids[:2]
    assert second == ids[2:]
    assert [unit.manifest["id"] for unit in units] == ids
    assert [unit.path for unit in units[:2]] == [unit.path for unit in kept]


def test_finished_units_are_skipped_and_other_settings_are_not(interrupted, pair):
    out, *_ = interrupted
    made: list[str] = []
    run_paper(*pair, out, watch=watching(made), **TINY)
    assert made == []
    for change, difference in (
        ({"seed": 1}, r"seed=0 \(now 1\)"),
        ({"scale": "quick"}, r"scale.name='default' \(now 'quick'\)"),
        ({"eps": 2.0}, r"eps=0\.857.* \(now 2.0\)"),
    ):
        with pytest.raises(rr.InputError, match=f"made with .*{difference}.*--overwrite"):
            run_paper(*pair, out, watch=watching(made), **{**TINY, **change})
    assert made == []


def test_overwritten_figures_are_made_again(interrupted, pair, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(interrupted[0], out)
    made: list[str] = []
    with pytest.raises(Stop):
        run_paper(
            *pair, out, overwrite=True, watch=watching(made, UNITS[1].id), **{**TINY, "seed": 1}
        )
    assert made == [UNITS[0].id]
    assert [unit.manifest["study"]["seed"] for unit in finished_units(out, ORDER)] == [1]


def test_a_unit_without_its_manifest_is_not_finished(interrupted):
    out, *_, units = interrupted
    manifest = units[0].path / "unit.json"
    aside = manifest.rename(manifest.with_suffix(".aside"))
    try:
        assert [unit.path for unit in finished_units(out, ORDER)] == [
            unit.path for unit in units[1:]
        ]
    finally:
        aside.rename(manifest)


def test_a_finished_run_of_an_unfinished_unit_is_not_made_again(pair, tmp_path, monkeypatch):
    from robust_reps_ext.experiments.paper import figures

    calls, invert = [], figures.invert

    def counted(model, *given, **options):
        calls.append(model)
        if len(calls) == 2:
            raise Stop
        return invert(model, *given, **options)

    monkeypatch.setattr(figures, "invert", counted)
    for _ in range(2):
        with pytest.raises(Stop):
            run_paper(*pair, tmp_path, watch=watching([], UNITS[1].id), **TINY)
    # The robust model's run, the standard model's that failed, and that one again.
    assert [model is pair[0] for model in calls] == [True, False, False]
    assert [unit.manifest["id"] for unit in finished_units(tmp_path, ORDER)] == [UNITS[0].id]


def test_files_of_a_unit(interrupted, pair):
    out, *_, units = interrupted
    for unit in units:
        name = unit.manifest["id"]
        with Image.open(unit.path / f"{name}.png") as picture:
            assert picture.width > 100
        assert (unit.path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    inversion = rr.Synthesis.load(units[0].path / "robust.safetensors")
    again = rr.invert(pair[0], inversion.target_images, iterations=2)
    assert torch.equal(inversion.images, again.images)
    assert {one.metadata["experiment"] for one in read_results(out)} == {u.id for u in UNITS}


def test_numbers_of_the_units(interrupted):
    *_, units = interrupted
    metadata = {unit.manifest["id"]: unit.manifest["metadata"] for unit in units}
    assert metadata["fig12"]["weights"] == [0, 0.5, 1]
    assert metadata["fig4"]["radii"] == pytest.approx([2 * 64 / 224, 8 * 64 / 224])
    assert metadata["tables"]["eps"] == pytest.approx(3 * 64 / 224)
    assert metadata["tables"]["columns"] == ["clean", "PGD-1", "PGD-2"]
    assert metadata["tables"]["images"] == 6
    most, least = (metadata["fig8"]["values"][f"robust-{end}"] for end in ("most", "least"))
    assert all(a >= b for a, b in zip(most, least, strict=True))


def test_what_cannot_be_had_is_skipped_and_made_once_it_is_there(pair, tmp_path, monkeypatch):
    from robust_reps_ext.datasets import photographs

    strangers = [unit for unit in UNITS if unit.id == "fig14b"]
    monkeypatch.setattr("robust_reps_ext.experiments.paper.UNITS", strangers)
    with monkeypatch.context() as without:
        without.setattr(photographs, "find_spec", lambda name: None)
        (first,) = run_paper(*pair, tmp_path, **TINY)
        (again,) = run_paper(*pair, tmp_path, **TINY)
        assert "pip install 'scikit-image>=0.22'" in first.manifest["metadata"]["skipped"]
        assert again.path == first.path
        page = write_report(tmp_path, ORDER).read_text("utf-8")
        assert "Not made: the photographs are scikit-image" in page
    (made,) = run_paper(*pair, tmp_path, **TINY)
    assert made.manifest["metadata"]["labels"] == ["astronaut", "chelsea"]
    assert (made.path / "fig14b.png").exists()


def test_regularised_coordinates_are_those_of_the_plain_ones(interrupted):
    *_, units = interrupted
    metadata = {unit.manifest["id"]: unit.manifest["metadata"] for unit in units}
    chosen = metadata["fig7"]["coordinates"]
    runs = metadata["fig9"]["captions"]
    assert list(runs) == ["robust-0", "standard-1", "standard-2", "standard-3"]
    for run, captions in runs.items():
        numbers = [int(caption.split(":")[0]) for caption in captions]
        assert numbers == chosen[run.split("-")[0]]


def test_too_few_images_are_named_before_any_work(pair, tmp_path):
    with pytest.raises(rr.InputError, match="takes 5000 validation images, 'critters' has 1620"):
        run_paper(*pair, tmp_path / "out", **{**TINY, "tested": 5000})
    assert not (tmp_path / "out").exists()


def test_an_unknown_scale_is_one_line(pair, tmp_path):
    with pytest.raises(rr.InputError, match="scale='huge' is not known: choose quick, default"):
        run_paper(*pair, tmp_path, scale="huge")


def test_a_damaged_manifest_is_named(tmp_path):
    (tmp_path / "fig6-0").mkdir()
    (tmp_path / "fig6-0" / "unit.json").write_text("{")
    with pytest.raises(rr.InputError, match=r"unit\.json is damaged: .*; delete"):
        finished_units(tmp_path, ORDER)


def test_the_command_says_what_is_wrong(monkeypatch, capsys, tmp_path):
    from robust_reps_ext.cli import main

    given = ["paper", "--robust", "a.pt", "--standard", "b.pt", "--dataset", "critters"]
    for more, said in (
        (["--quick", "--full"], "--quick and --full: give one of them"),
        ([], "a.pt"),
    ):
        monkeypatch.setattr("sys.argv", ["robust-reps", *given, "--out", str(tmp_path), *more])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 2
        assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
