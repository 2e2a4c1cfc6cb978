"""--images in the commands that need no labels, and --dataset folder from training to figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from robust_reps_ext.cli.own_images import names_of, with_repeated_flag
from robust_reps_ext.datasets.folder import FolderDataSet
from robust_reps_ext.results.reader import read_results
from robust_reps_ext.results.synthesis import Synthesis

pytestmark = pytest.mark.usefixtures("undrawn")

SHORT = ("--iterations", 2)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUST_REPS_EXT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photographs(tmp_path):
    for label, name in enumerate(("cat", "dog")):
        for i in range(5):
            path = tmp_path / "photographs" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(10 * label + i).integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(pixels).save(path)
    return tmp_path / "photographs"


@pytest.fixture
def checkpoint(photographs, tmp_path):
    """A file as training on the folder writes it, of an untrained network."""
    from robustness.model_utils import make_and_restore_model

    data = FolderDataSet(photographs, size=16)
    torch.manual_seed(0)
    model, _ = make_and_restore_model(arch="critters_resnet", dataset=data)
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    path = tmp_path / "checkpoint.pt.latest"
    torch.save({"model": state, "epoch": 1, "data_set": data.facts}, path)
    return path


@pytest.fixture
def run(command, checkpoint, tmp_path):
    def call(name, *arguments):
        status, said, err = command(
            name, "--model", checkpoint, "--out", tmp_path / "out", *arguments
        )
        assert status == 0, err
        [experiment] = read_results(tmp_path / "out")
        return experiment, said

    return call


@pytest.mark.parametrize(
    ("name", "more", "rows"),
    [
        ("invert", SHORT, 2),
        pytest.param("curve", ("--radii", "1,2", *SHORT), 2, marks=pytest.mark.slow),
        ("interpolate", ("--steps", 2, *SHORT), 3),
        ("visualize", ("--coordinates", "3", *SHORT), 4),
        pytest.param("add-feature", ("--coordinate", 3, *SHORT), 2, marks=pytest.mark.slow),
        ("activations", ("--coordinates", "3", "--k", 1, *SHORT), 1),
    ],
)
def test_files_are_enough(name, more, rows, run, photographs):
    files = (photographs / "cat" / "1.png", photographs / "dog" / "2.png")
    found, _ = run(name, "--images", *files, *more)
    assert len(found.results) == rows
    texts = found.results.select_dtypes(exclude="number").astype(str)
    assert texts.apply(lambda one: one.str.contains(r"\b[12]\b|cat/1|dog/2")).any(axis=None)
    assert found.metadata["files"] == [str(file) for file in files]


@pytest.mark.parametrize(
    ("name", "more", "taken"),
    [
        ("invert", (), ["0", "1"]),
        ("pairs", (), ["0", "1", "2", "3"]),
        ("activations", ("--coordinates", "3", "--k", 1), ["0", "1"]),
    ],
)
def test_the_first_n_are_taken(name, more, taken, run, photographs):
    found, _ = run(name, "--images", photographs / "cat", "--n", 2, *more, *SHORT)
    assert found.metadata["files"] == [str(photographs / "cat" / f"{i}.png") for i in taken]


def test_files_that_cannot_be_read_are_passed_over(run, photographs, caplog):
    damaged = photographs / "cat" / "2.png"
    damaged.write_bytes(damaged.read_bytes()[:100])
    skip = ("--images", photographs / "cat", "--on-bad-image", "skip", *SHORT)
    found, _ = run("invert", *skip)
    assert found.results["label"].tolist() == ["0", "1", "3", "4"]
    assert caplog.text.count("skipped image 1: cannot read the image") == 1


def test_nothing_is_left_of_files_that_cannot_be_read(command, checkpoint, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    status, _, told = command(
        "invert", "--model", checkpoint, "--images", tmp_path / "text.png",
        "--on-bad-image", "skip", "--out", tmp_path / "out",
    )  # fmt: skip
    assert (status, "none of 1 files can be read" in told) == (2, True)


def test_images_are_cut_to_the_size_of_the_training(run, photographs):
    found, _ = run("invert", "--images", str(photographs / "*" / "1.png"), *SHORT)
    assert found.results["label"].tolist() == ["cat/1", "dog/1"]
    assert Synthesis.load(found.tensors["inversion"]).images.shape == (2, 3, 16, 16)


def test_the_data_set_comes_back_from_the_checkpoint(run, photographs):
    found, _ = run("invert", "--dataset", "folder", "--data", photographs, "--n", 2, *SHORT)
    assert {*found.results["label"]} <= {"cat", "dog"}
    assert Synthesis.load(found.tensors["inversion"]).images.shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("visualize", ("--coordinates", "1", *SHORT)),
        ("activations", ("--coordinates", "1", "--k", 1, *SHORT)),
        ("curve", SHORT),
        ("translate", ("--to-class", "cat", *SHORT)),
        ("generate", ("--classes", "cat,dog", "--start", "noise", *SHORT)),
    ],
)
def test_every_command_asks_the_checkpoint_for_the_size(name, more, run, photographs):
    found, _ = run(name, "--dataset", "folder", "--data", photographs, "--n", 1, *more)
    assert Synthesis.load(next(iter(found.tensors.values()))).images.shape[-2:] == (16, 16)


def test_other_networks_beside_a_bundled_one_need_none_of_its_data(
    command, checkpoint, photographs, tmp_path
):
    for models in (("critters-robust", checkpoint), (checkpoint, "critters-robust")):
        out = tmp_path / models[0] if models[0] == "critters-robust" else tmp_path / "other"
        given = [word for one in models for word in ("--model", one)]
        status, _, told = command(
            "invert", *given, "--images", photographs / "cat", "--n", 1, *SHORT, "--out", out
        )
        assert status == 0, told
        assert len(read_results(out)) == 2


@pytest.mark.parametrize("kind", ["photographs", "kaleidoscope"])
def test_what_is_of_no_data_set_needs_none(kind, run):
    found, _ = run("invert", "--targets", kind, "--n", 2, *SHORT)
    assert Synthesis.load(found.tensors["inversion"]).target_images.shape == (2, 3, 16, 16)


@pytest.mark.parametrize("more", [(), ("--targets", "photographs", "--start", "images")])
def test_what_is_of_a_data_set_needs_one(more, command, checkpoint, tmp_path):
    status, _, told = command("invert", "--model", checkpoint, "--out", tmp_path / "out", *more)
    assert status == 2
    assert told.strip() == "error: give --dataset NAME, or --images FILE|DIR|GLOB"


def test_a_bundled_model_knows_its_critters(command, tmp_path):
    out = tmp_path / "out"
    status, _, told = command(
        "invert", "--model", "critters-standard", "--n", 1, *SHORT, "--out", out
    )
    assert status == 0, told
    assert read_results(out)[0].metadata["dataset"] == "critters_fine"


def test_a_bundled_network_on_a_folder_of_other_classes_hears_of_images(
    command, photographs, tmp_path
):
    status, _, told = command(
        "invert", "--model", "critters-robust", "--dataset", "folder", "--data", photographs,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert status == 2
    assert "error: critters-robust: fc.weight has 162 classes, dataset 'folder' has 2" in told
    assert "images of other classes need no data set: --images" in told


@pytest.mark.slow
def test_accuracy_on_a_folder(command, checkpoint, photographs, tmp_path):
    status, said, err = command(
        "evaluate", "--model", checkpoint, "--dataset", "folder", "--data", photographs,
        "--attack-steps", 1, "--out", tmp_path / "out",
    )  # fmt: skip
    assert status == 0, err
    assert "PGD-1" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --dataset NAME, or --images"),
        (("--images", "none*.png"), "none*.png: no image file"),
        (("--images", "{cat}", "--n", 6), "--n 6: give 1 to 5, as many images as --images has"),
        (("--images", "{cat}", "--n", 0), "--n 0: give 1 to 5"),
        (("--images", "{cat}", "--targets", "kaleidoscope"), "exclude each other"),
        (("--images", "{cat}", "--start", "images"), "give --start noise or grey"),
        (("--images", "{cat}", "--mean", "1,2"), "give both --mean and --std"),
        (("--dataset", "folder", "--data", "{cat}"), "has no class folders"),
        (("--dataset", "folder"), "is read from a folder"),
    ],
)
def test_what_cannot_be_is_one_line(arguments, message, command, checkpoint, photographs, tmp_path):
    words = [str(one).format(cat=photographs / "cat") for one in arguments]
    status, _, err = command(
        "invert", "--model", checkpoint, *words, *SHORT, "--out", tmp_path / "out"
    )
    assert status == 2
    assert message in err
    assert err.startswith("error: ") or "\nerror: " in err
    assert not (tmp_path / "out").exists()


def test_pairs_need_an_even_number(command, checkpoint, photographs, tmp_path):
    status, _, err = command(
        "curve", "--model", checkpoint, "--images", photographs / "cat", "--out", tmp_path / "out"
    )
    assert status == 2
    assert "5 are no pairs" in err


def test_names_are_as_long_as_tells_files_apart():
    assert names_of(["a/x.png", "b/y.jpg"]) == ("x", "y")
    assert names_of(["a/x.png", "b/x.png"]) == ("a/x", "b/x")
    assert names_of(["x.png", "x.jpg"]) == ("x.png", "x.jpg")


def test_the_flag_takes_what_a_shell_makes_of_a_pattern():
    words = ["invert", "--images", "a", "b", "--out", "c", "--images=d"]
    assert with_repeated_flag(words) == [
        "invert", "--images", "a", "--images", "b", "--out", "c", "--images=d",
    ]  # fmt: skip
