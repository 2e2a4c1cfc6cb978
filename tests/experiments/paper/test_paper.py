"""`run_paper` makes every unit, and goes on where it was interrupted."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from PIL import Image
from robustness.attacker import AttackerModel
from robustness.datasets import DATASETS

import robust_reps_ext as rr
from robust_reps_ext.cli.options import LoadOptions
from robust_reps_ext.datasets.critters.networks import CrittersResNet
from robust_reps_ext.datasets.wordnet import named, wordnet_ids
from robust_reps_ext.experiments.paper import run_paper
from robust_reps_ext.experiments.paper.study import SCALES
from robust_reps_ext.experiments.paper.units import ORDER, UNITS
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
        assert {unit.path for unit in finished_units(out, ORDER)} == {
            unit.path for unit in units[1:]
        }
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
        assert (unit.path / "fig5.png").exists() is (name == "fig4")
    inversion = rr.Synthesis.load(units[0].path / "robust.safetensors")
    again = rr.invert(pair[0], inversion.target_images, schedule="paper", iterations=2)
    assert torch.equal(inversion.images, again.images)
    assert len(inversion) == 4
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


def test_images_from_outside_are_there_in_a_plain_install(pair, monkeypatch):
    from robust_reps_ext.datasets import photographs
    from robust_reps_ext.experiments.paper.study import SCALES, Study

    study = Study({}, pair[2], (), SCALES["quick"], 1.0, None, 0)
    assert study.strangers(2)[0].names == ("astronaut", "chelsea")
    found = photographs.find_spec
    monkeypatch.setattr(
        photographs, "find_spec", lambda name: None if name == "skimage" else found(name)
    )
    samples, kind = study.strangers(16)
    assert samples.names == ("china", "flower", "grace hopper")
    assert samples.images.shape == (3, 3, 64, 64)
    assert kind == "photographs"


def test_figure_6_has_both_kinds(interrupted):
    *_, units = interrupted
    metadata = {unit.manifest["id"]: unit.manifest["metadata"] for unit in units}["fig6"]
    assert metadata["kinds"] == [["Test set", 2], ["Out-of-distribution: photographs", 2]]
    assert metadata["labels"][2:] == ["astronaut", "chelsea"]


def test_numbers_are_those_of_the_data_set(interrupted):
    *_, units = interrupted
    assert all(unit.manifest["numbers"].startswith("nearest to ") for unit in units)
    of = {unit.id: unit for unit in UNITS}
    assert of["fig7"].of("restricted_imagenet").numbers == "Figures 7, 19-21"
    assert of["fig7"].of("imagenet").numbers == "Figure 22"
    assert of["fig3"].of("imagenet").numbers == "Figure 16"
    assert of["tables"].of("imagenet").numbers == "Table 5"
    assert of["fig8"].of("imagenet").numbers == "nearest to Figure 8"


def test_figures_9_and_10_have_the_coordinates_of_the_paper(interrupted):
    *_, units = interrupted
    metadata = {unit.manifest["id"]: unit.manifest["metadata"] for unit in units}
    chosen = metadata["fig7"]["coordinates"]
    panels = metadata["fig9"]["panels"]
    assert [panel["coordinates"] for panel in panels] == [
        chosen["robust"], chosen["standard"], [0, 1, 2, 3], chosen["standard"],
    ]  # fmt: skip
    assert [[row["label"] for row in panel["rows"]] for panel in panels] == [
        ["no regulariser"],
        ["no regulariser", "jitter, rotation, scale, Fourier"],
        ["no regulariser", "jitter, rotation"],
        ["phase alone, Fel et al. 2023", "several resolutions, Fort and Whitaker 2025"],
    ]


def test_the_network_of_figure_9_may_know_other_classes(command, tmp_path, monkeypatch):
    imagenet = AttackerModel(CrittersResNet(1000), DATASETS["imagenet"](""))
    state = {f"module.{name}": value for name, value in imagenet.state_dict().items()}
    file = tmp_path / "thousand" / "checkpoint.pt.latest"
    file.parent.mkdir()
    torch.save({"model": state, "arch": "critters_resnet"}, file)
    # In float32: of a network with random weights, bfloat16 is too far off, which is a warning.
    short = replace(SCALES["quick"], feature_iterations=1, precision="float32")
    monkeypatch.setitem(SCALES, "quick", short)
    chosen = [unit for unit in UNITS if unit.id == "fig9"]
    monkeypatch.setattr("robust_reps_ext.experiments.paper.UNITS", chosen)
    load, loaded = LoadOptions.load, {}

    def noted(self, name, data):
        loaded[name] = load(self, name, data)
        return loaded[name]

    monkeypatch.setattr(LoadOptions, "load", noted)
    status, _, told = command(
        "paper", "--robust", "critters-robust", "--standard", "critters-standard",
        "--googlenet", file, "--dataset", "critters_fine", "--quick",
        "--mean", "0.1,0.2,0.3", "--std", "0.5,0.5,0.5", "--out", tmp_path / "out",
    )  # fmt: skip
    assert status == 0, told
    # What is said of the data set is not said of ImageNet.
    means = [one.normalizer.new_mean.flatten().tolist() for one in loaded.values()]
    assert [mean == pytest.approx([0.1, 0.2, 0.3]) for mean in means] == [True, True, False]
    [unit] = finished_units(tmp_path / "out", ["fig9"])
    called = {role: one["name"] for role, one in unit.manifest["study"]["models"].items()}
    assert (called["robust"], called["googlenet"]) == ("critters-robust", "thousand")
    _, ninth, tenth, later = unit.manifest["metadata"]["panels"]
    assert {one for row in ninth["rows"] + later["rows"] for one in row["predicted"]} <= {
        *named(wordnet_ids())
    }
    assert all(", " in one for row in tenth["rows"] for one in row["predicted"])


def test_one_coordinate_is_added_to_all_images(interrupted, pair):
    *_, units = interrupted
    found = next(unit for unit in units if unit.manifest["id"] == "fig11")
    additions = found.manifest["metadata"]["additions"]
    assert list(additions) == ["robust-selected", "robust-random"]
    chosen = [int(one["title"].split()[1]) for one in additions.values()]
    assert len(set(chosen)) == 2
    said = re.search(r"largest in (\d+) of (\d+) images", additions["robust-selected"]["title"])
    assert said is not None
    assert 1 <= int(said[1]) <= int(said[2])
    for (run, one), coordinate in zip(additions.items(), chosen, strict=True):
        images = rr.Synthesis.load(found.path / f"{run}.safetensors").images
        leads = (rr.representation(pair[0], images).argmax(dim=1) == coordinate).tolist()
        assert [said.startswith("leads") for said in one["said"]] == leads
        assert all(lead or said == "did not lead in 2 steps"
                   for lead, said in zip(leads, one["said"], strict=True))  # fmt: skip


def test_selected_coordinates_are_checked_before_any_work(pair, tmp_path):
    with pytest.raises(rr.InputError, match="99999"):
        run_paper(*pair, tmp_path / "out", selected=[3, 99999], **TINY)
    assert not (tmp_path / "out").exists()


def test_selected_coordinates_have_a_panel_and_are_added(pair, tmp_path, monkeypatch):
    chosen = [unit for unit in UNITS if unit.id in ("fig7", "fig11")]
    monkeypatch.setattr("robust_reps_ext.experiments.paper.UNITS", chosen)
    features, added = run_paper(*pair, tmp_path, selected=[7, 5], **TINY)
    assert list(features.manifest["metadata"]["coordinates"].items())[1] == (
        "robust-selected", [7, 5],
    )  # fmt: skip
    first = added.manifest["metadata"]["additions"]["robust-selected"]
    assert first["title"] == "coordinate 7 (selected)"


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


def test_the_command_says_what_is_wrong(command, tmp_path):
    given = ["paper", "--robust", "a.pt", "--standard", "b.pt", "--dataset", "critters"]
    for more, said in (
        (["--quick", "--full"], "--quick and --full: give one of them"),
        ([], "a.pt"),
    ):
        status, _, told = command(*given, "--out", tmp_path, *more)
        assert status == 2
        assert said in told
    assert list(tmp_path.iterdir()) == []
