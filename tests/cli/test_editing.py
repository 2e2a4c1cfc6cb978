"""The commands towards classes: what they keep, say and use again; images of one's own."""

from __future__ import annotations

from functools import partial

import pandas
import pytest
import torch
from PIL import Image
from robustness.datasets import DATASETS

import robust_reps_ext as rr
from robust_reps_ext.cli.edits_page import TITLES
from robust_reps_ext.experiments.paper.units import ORDER
from robust_reps_ext.report.sections import LEADS
from robust_reps_ext.results.reader import read_results
from robust_reps_ext.results.synthesis import Synthesis
from robust_reps_ext.results.units import finished_units

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def call(command, tmp_path, monkeypatch):
    """Run a command on a bundled network and few critters; its lines."""
    few = partial(DATASETS["critters_fine"], custom_class_args={"n_train": 324, "n_val": 18})
    monkeypatch.setitem(DATASETS, "critters_fine", few)
    monkeypatch.chdir(tmp_path)

    def run(name, *words):
        line = (name, "--model", "critters-robust", "--out", "out", "--iterations", 2, *words)
        status, said, err = command(*line)
        assert status == 0, err
        return said

    return run


def only(tmp_path, name):
    [folder] = (tmp_path / "out").glob(f"{name}-*")
    parts = [Synthesis.load(path) for path in sorted(folder.glob("*.safetensors"))]
    return folder, Synthesis.joined(parts)


def test_generated_are_of_the_classes_in_turn_from_gaussians_that_are_kept(call, tmp_path):
    call("generate", "--classes", "0,50", "--n", 3, "--batch-size", 2)
    folder, found = only(tmp_path, "generate")
    assert found.settings["classes"] == [0, 50, 0]
    assert (folder / "generated.png").exists()
    [kept] = (tmp_path / "out").glob("gaussians-*.safetensors")
    made = kept.stat().st_mtime_ns
    call("generate", "--classes", "7", "--n", 2)
    assert kept.stat().st_mtime_ns == made
    assert len([*(tmp_path / "out").glob("gaussians-*")]) == 1
    call("generate", "--classes", "7", "--n", 1, "--downsample", 8)
    assert len([*(tmp_path / "out").glob("gaussians-*")]) == 2


def test_parts_make_what_one_call_makes(call, tmp_path):
    call("generate", "--classes", "0,50", "--n", 3, "--start", "noise", "--batch-size", 2)
    _, parts = only(tmp_path, "generate")
    call("generate", "--classes", "0,50", "--n", 3, "--start", "noise", "--overwrite")
    _, whole = only(tmp_path, "generate")
    assert torch.equal(parts.start, whole.start)
    assert torch.allclose(parts.images, whole.images, atol=1e-4)


def test_a_judge_says_what_it_sees(call, tmp_path):
    said = call("translate", "--to-class", 3, "--n", 2, "--judge", "critters-vgg", "--page")
    folder, found = only(tmp_path, "translate")
    assert found.settings["classes"] == [3, 3]
    table = pandas.read_csv(folder / "judged.csv")
    assert list(table) == ["class", "judge_sees", "right"]
    assert ((table["class"] == table["judge_sees"]) == table["right"]).all()
    assert "judge sees the class" in said
    table_file, victim = folder / "judged.csv", tmp_path / "victim.txt"
    victim.write_text("kept")
    table_file.unlink()
    table_file.symlink_to(victim)
    call("translate", "--to-class", 3, "--n", 2, "--judge", "critters-vgg")
    assert victim.read_text() == "kept"
    assert not table_file.is_symlink()
    assert pandas.read_csv(table_file).equals(table)
    page = (tmp_path / "out" / "report" / "index.html").read_text("utf-8")
    assert "Translation" in page
    assert f"The judge sees the class asked for in {table['right'].sum()} of 2 images" in page
    assert "Not converged" not in page


@pytest.mark.parametrize(("name", "words"), [("inpaint", ("--hole", 9)), ("upscale", ())])
def test_the_truth_stands_beside_what_was_made_of_it(call, tmp_path, name, words):
    said = call(name, "--n", 2, *words)
    _, found = only(tmp_path, name)
    [read] = read_results(tmp_path / "out")
    apart = (found.images - found.target_images).flatten(1).norm(dim=1)
    assert read.results["apart"].tolist() == pytest.approx(apart.tolist(), rel=1e-5)
    assert "to the truth" in said
    again = call(name, "--n", 2, *words)  # all is there: nothing is made
    assert again.splitlines()[-1] == said.splitlines()[-1]


def test_the_label_is_the_class_where_it_is_asked_for(call, tmp_path):
    call("inpaint", "--n", 2, "--to-class", "label")
    _, found = only(tmp_path, "inpaint")
    [read] = read_results(tmp_path / "out")
    assert read.results["class"].tolist() == read.results["label"].tolist()
    assert len(found) == 2


def test_a_mask_is_the_hole_of_all(call, tmp_path):
    call("inpaint", "--n", 2, "--mask", "10,20,8,4")
    _, found = only(tmp_path, "inpaint")
    changed = (found.images != found.target_images).any(1).nonzero()
    assert changed[:, 1].unique().tolist() == [*range(20, 24)]
    assert changed[:, 2].unique().tolist() == [*range(10, 18)]


def test_images_of_ones_own(call, command, tmp_path):
    for i in range(2):
        Image.new("RGB", (80, 64), (90 * i, 120, 60)).save(tmp_path / f"{i}.png")
    call("generate", "--images", "0.png", "1.png", "--classes", "3")
    assert only(tmp_path, "generate")[1].settings["classes"] == [3, 3]
    call("upscale", "--images", "0.png")
    assert only(tmp_path, "upscale")[1].target_images is None
    line = ("inpaint", "--model", "critters-robust", "--out", "out", "--images", "0.png")
    status, _, err = command(*line, "--to-class", "label")
    assert status == 2
    assert "images of one's own have no labels" in err


def test_the_true_class_is_enhanced_and_the_table_says_how_hard_it_was_to_see(call, tmp_path):
    said = call("enhance", "--n", 2, "--iterations", 3)
    _, found = only(tmp_path, "enhance")
    [read] = read_results(tmp_path / "out")
    model = rr.load_model("critters-robust")
    rows = ([0, 1], found.settings["classes"])
    before, after = (model(some, with_image=False)[rows] for some in (found.start, found.images))
    assert read.results["class"].tolist() == read.results["label"].tolist()
    assert read.results["difficulty"].tolist() == pytest.approx((-before).tolist(), abs=1e-4)
    assert read.results["objective"].tolist() == pytest.approx(after.tolist(), abs=1e-4)
    assert (after > before).all()
    head = next(line for line in said.splitlines() if "difficulty" in line)
    assert head.split() == ["image", "label", "class", "difficulty", "logit"]


def test_a_ladder_of_radii_is_one_command_for_each_in_one_folder(call, tmp_path):
    for eps in ("0.5", "1"):
        call("enhance", "--n", 1, "--eps", eps, "--objective", "diverge", "--to-class", "3")
    names = [path.name for path in sorted((tmp_path / "out").iterdir())]
    assert names == [f"enhance-critters-robust-3-diverge-eps{eps}-n1" for eps in ("0.5", "1")]


def test_the_page_has_the_newest_images_whatever_made_them(call, tmp_path):
    """Also of settings that were there before."""
    for eps in ("0.5", "4", "0.5"):
        call("enhance", "--n", 1, "--eps", eps, "--page")
        [unit] = finished_units(tmp_path / "out", ["enhancement"])
        shown = Synthesis.load(unit.path / "critters-robust.safetensors")
        (folder,) = (tmp_path / "out").glob(f"enhance-*-eps{eps}-n1")
        (part,) = folder.glob("*.safetensors")
        assert torch.equal(shown.images, Synthesis.load(part).images)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("generate", "--start", "noise", "--downsample", "8"), "--start noise takes none"),
        (
            ("translate", "--to-class", 3, "--images", "own.png", "--judge", "critters-vgg"),
            "--judge critters-vgg has 162 classes, the model 59",
        ),
    ],
)
def test_what_would_be_of_no_use_is_refused(command, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64)).save("own.png")
    name, *rest = words
    model = "critters-robust" if name == "generate" else "photographs-robust"
    status, _, err = command(name, "--model", model, "--out", "out", *rest)
    assert (status, said in err) == (2, True), err
    assert not (tmp_path / "out").exists()


def test_of_ones_own_images_what_the_network_sees_is_enhanced(call, tmp_path):
    Image.new("RGB", (64, 64), (90, 120, 60)).save(tmp_path / "own.png")
    call("enhance", "--images", "own.png")
    _, found = only(tmp_path, "enhance")
    seen = rr.load_model("critters-robust")(found.start, with_image=False).argmax(1)
    assert found.settings["classes"] == seen.tolist()


def test_what_each_command_makes_has_its_place_and_its_words_on_the_page():
    made = {section for section, *_ in TITLES.values()}
    assert made <= {*ORDER} & {*LEADS}
