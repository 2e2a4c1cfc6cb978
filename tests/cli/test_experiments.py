"""The commands for the paper's experiments, run in this process on a tiny untrained network."""

from __future__ import annotations

import json
import re
from functools import partial

import pytest
import torch
from cox_stores import read
from PIL import Image
from robustness.datasets import DATASETS
from robustness.model_utils import make_and_restore_model

import robust_reps_ext as rr
from robust_reps_ext.experiments.accuracy import Accuracy
from robust_reps_ext.models.zoo import bundled

VALIDATION_IMAGES = 24
COORDINATES = 1024


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A file as training writes it, of an untrained network."""
    torch.manual_seed(0)
    model, _ = make_and_restore_model(arch="critters_resnet", dataset=DATASETS["critters_fine"]())
    path = tmp_path_factory.mktemp("run") / "checkpoint.pt.latest"
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"model": state, "epoch": 3}, path)
    return path


@pytest.fixture(scope="module")
def critters(tmp_path_factory):
    return tmp_path_factory.mktemp("critters")


@pytest.fixture
def few(monkeypatch):
    """Critters with a small validation set."""
    data_set = partial(DATASETS["critters_fine"], custom_class_args={"n_val": VALIDATION_IMAGES})
    monkeypatch.setitem(DATASETS, "critters_fine", data_set)


@pytest.fixture
def run(command, few, checkpoint, critters, tmp_path):
    """Call an experiment, which must succeed; its store's directory, metadata and results."""

    def call(name, *arguments):
        out = tmp_path / "out"
        given = name == "evaluate" or "--iterations" in arguments
        steps = () if given else ("--iterations", 2)
        status, said, err = command(
            name, "--model", checkpoint, "--dataset", "critters_fine", "--data", critters,
            "--out", out, *steps, *arguments,
        )  # fmt: skip
        assert status == 0, err
        [directory] = out.iterdir()
        assert str(directory) in said
        metadata, results = read(out, "metadata"), read(out, "results")
        assert metadata["experiment"].tolist() == [name]
        return directory, metadata.iloc[0], results

    return call


def picture(path):
    with Image.open(path) as image:
        return len(image.convert("RGB").getcolors(10**7))


def test_steps_and_batches_can_be_left_to_the_run(run):
    still = ("--step-size", 0, "--iterations", "auto", "--batch-size", "auto")
    directory, _, _ = run("invert", "--n", 2, *still)
    [found] = directory.glob("*.safetensors")
    settings = rr.Synthesis.load(found).settings
    assert (settings["patience"], settings["iterations"]) == (100, 10_000)
    assert settings["batch_size"] in (1, 2)


def test_curve(run):
    directory, metadata, results = run("curve", "--n", 2, "--radii", "0,1,4", "--seed", 5)
    found = rr.Synthesis.load(directory / "images.safetensors")
    assert list(metadata["radii"]) == [0, 1, 4]
    assert results["radius"].tolist() == results["eps"].tolist() == [0, 0, 1, 1, 4, 4]
    moved = (found.images - found.start).flatten(1).norm(dim=1)
    assert (moved <= torch.tensor(results["radius"]) + 1e-4).all()
    assert results["objective"].tolist() == pytest.approx(found.objective.tolist())
    assert len({*results["target_index"], *results["source_index"]}) == 4
    assert picture(directory / "images.png") > 1000
    assert picture(directory / "curve.png") > 20
    assert (directory / "curve.svg").read_text().rstrip().endswith("</svg>")


def test_pairs(run):
    directory, _, results = run("pairs", "--n", 2, "--iterations", 3)
    found = rr.Synthesis.load(directory / "pairs.safetensors")
    assert len({*results["target_index"], *results["source_index"]}) == 4
    for name, to in (("apart", found.target_images), ("moved", found.start)):
        away = (found.images - to).flatten(1).norm(dim=1)
        assert results[name].tolist() == pytest.approx(away.tolist())
    assert picture(directory / "pairs.png") > 1000


def test_interpolate(run):
    directory, metadata, results = run("interpolate", "--n", 2, "--steps", 3)
    assert metadata["steps"] == 3
    assert results["lambda"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1] * 2)
    assert results["iterations"].tolist() == [2] * 8
    # Both ends are where they should be from the start.
    ends = results[results["lambda"].isin([0.0, 1.0])]
    assert (ends["objective"] < 1e-4).all()
    assert picture(directory / "interpolation.png") > 1000


def test_visualize(run):
    directory, metadata, results = run("visualize", "--n", 1, "--coordinates", "3,50", "--paper")
    assert list(metadata["coordinates"]) == [3, 50]
    assert results["coordinate"].tolist() == [3, 50, 3, 50]
    assert results["seed_image"].tolist()[:2] == ["noise", "noise"]
    assert results["step_size"].tolist() == pytest.approx([64 / 224] * 4)
    assert picture(directory / "features.png") > 1000


def test_visualize_with_regularizers_draws_coordinates_by_the_seed(run):
    _, metadata, results = run(
        "visualize", "--n", 1, "--coordinates", "random:3", "--seed", 7,
        "--transform", "jitter:4,rotate", "--parameterization", "fourier",
    )  # fmt: skip
    order = torch.randperm(COORDINATES, generator=torch.Generator().manual_seed(7))
    assert list(metadata["coordinates"]) == sorted(order[:3].tolist())
    assert metadata["transform"] == "jitter:4,rotate"
    assert metadata["parameterization"] == "fourier"
    assert len(results) == 6


def test_add_feature(run):
    directory, _, results = run("add-feature", "--n", 3, "--coordinate", 3, "--paper")
    found = rr.Synthesis.load(directory / "added.safetensors")
    assert results["coordinate"].tolist() == [3, 3, 3]
    assert results["step_size"].tolist() == pytest.approx([0.1 * 64 / 224] * 3)
    assert (found.objective > found.trace[0]).all()
    assert results["said"].tolist() == ["did not lead in 2 steps"] * 3
    assert picture(directory / "added.png") > 1000


def test_activations_of_the_whole_validation_set(run, checkpoint, critters):
    directory, _, results = run("activations", "--coordinates", "3,50", "--k", 2)
    assert results["seen"].tolist() == [VALIDATION_IMAGES] * 2
    data = DATASETS["critters_fine"](critters)
    _, loader = data.make_loaders(0, VALIDATION_IMAGES, only_val=True, shuffle_val=False)
    images, _ = next(iter(loader))
    latent = rr.representation(rr.load_model(checkpoint), images)
    for _, row in results.iterrows():
        values = latent[:, row["coordinate"]]
        for end, largest in (("most", True), ("least", False)):
            # By value: of the least, several may be 0.
            expected = values.topk(2, largest=largest).values.tolist()
            assert row[f"{end}_value"] == pytest.approx(expected, rel=1e-3, abs=1e-6)
            there = values[list(row[f"{end}_index"])].tolist()
            assert there == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert picture(directory / "activations.png") > 1000


def test_activations_of_some_images_name_their_places(run):
    _, metadata, results = run("activations", "--coordinates", "3", "--k", 1, "--n", 5, "--seed", 2)
    order = torch.randperm(VALIDATION_IMAGES, generator=torch.Generator().manual_seed(2))
    assert results["seen"].tolist() == [metadata["n"]] == [5]
    assert results["most_index"][0][0] in order[:5].tolist()


def test_activations_of_all_coordinates_are_a_page_to_browse(run, monkeypatch):
    """Found in three parts; a second call finds them finished and says the same."""
    monkeypatch.setattr("robust_reps_ext.experiments.sweeps.ACTIVATIONS_PART", 10)
    wanted = ("activations", "--all", "--k", 2, "--n", 23, "--batch-size", 23)
    directory, metadata, results = run(*wanted)
    assert (metadata["coordinates"], metadata["n"]) == ("all", 23)
    assert results["coordinate"].tolist() == list(range(1024))
    assert set(results["seen"]) == {23}
    text = (directory / "activations.html").read_text()
    facts = json.loads(re.search(r'id="facts">(.*?)</script>', text, re.S)[1])
    assert facts["models"][0]["coordinates"] == list(range(1024))
    assert facts["models"][0]["raised"] == []
    (directory / "activations.html").unlink()
    monkeypatch.setattr("robust_reps_ext.experiments.latents.representation", None)
    assert run(*wanted)[2].equals(results)
    assert (directory / "activations.html").read_text() == text


def test_what_raises_every_coordinate_stands_beside_its_images(run):
    wanted = ("--all", "--raised", "--k", 1, "--n", 4, "--layer", "body.1:mean")
    directory, metadata, results = run("activations", *wanted, "--iterations", 1)
    facts = json.loads(
        re.search(r'id="facts">(.*?)</script>', (directory / "activations.html").read_text(), re.S)[
            1
        ]
    )
    count = results["coordinate"].nunique()
    assert metadata["raised"]
    runs = [rr.Synthesis.load(path) for path in directory.glob("raised*.safetensors")]
    assert sum(map(len, runs)) == count < 1024
    assert len({*facts["models"][0]["raised"]}) > 1
    assert len(facts["models"][0]["raised"]) == count


def test_evaluate(run, checkpoint, tmp_path):
    other = tmp_path / "other.pt"
    other.write_bytes(checkpoint.read_bytes())
    directory, metadata, results = run(
        "evaluate", "--model", other, "--attack-steps", "1,2", "--n", 10
    )
    assert metadata["eps"] == pytest.approx(3 * 64 / 224)
    assert set(metadata["models"]) == {str(checkpoint), str(other)}
    assert len(results) == 2 * 2 * 3
    assert results["labels"].unique().tolist() == ["162 classes", "9 animals"]
    assert results["attack"].tolist()[:3] == ["clean", "PGD-1", "PGD-2"]
    for _, row in results.iterrows():
        same = Accuracy(row["attack"], row["correct"], row["n"])
        assert (row["n"], row["accuracy"]) == (10, same.share)
        pairs = [(hits, n) for hits, n in json.loads(row["by_class"])]
        assert len(pairs) == (162 if row["labels"] == "162 classes" else 9)
        assert [sum(one) for one in zip(*pairs, strict=True)] == [row["correct"], 10]
        assert row["balanced"] == Accuracy("", 0, 0, tuple(pairs)).balanced
        assert (row["low"], row["high"]) == pytest.approx(same.interval())
    # The same weights under two names.
    first, second = (one for _, one in results.groupby("model", sort=False))
    assert first["correct"].tolist() == second["correct"].tolist()
    assert picture(directory / "accuracy.png") > 20


def test_models_lists_what_is_bundled(command, tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "_FOLDER", str(tmp_path))
    assert json.loads(command("models", "--json")[1])["bundled"] == {}
    card = {
        "arch": "critters_resnet",
        "dataset": "critters_fine",
        "eps": 1.5,
        "accuracies": {"critters clean": {"accuracy": 0.975}},
    }
    (tmp_path / "a-model.safetensors").touch()
    (tmp_path / "a-model.json").write_text(json.dumps(card))
    status, said, _ = command("models")
    assert status == 0
    for part in (
        "a-model",
        "critters_resnet",
        "critters_resnet 97.5",
        "resnet50_l2_eps3",
    ):
        assert part in " ".join(said.split())
    assert json.loads(command("models", "--json")[1])["bundled"] == {"a-model": card}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("curve --radii 8,2", "not ascending"),
        ("curve --radii=-1,2", "none negative"),
        ("curve --radii 2,x", "--radii '2,x': give numbers"),
        ("curve --n 13", "n=13 pairs are 26 images: the validation set of 'critters_fine' has 24"),
        ("curve --eps 3", "eps is what radii give"),
        ("interpolate --steps 0", "steps=0: give a whole number, 1 or more"),
        ("interpolate --iterations 0", "iterations=0"),
        ("visualize --coordinates 3,9999", "coordinate 9999 is out of range"),
        ("visualize --coordinates 3;4", "--coordinates '3;4'"),
        ("visualize --coordinates random:0", "--coordinates 'random:0'"),
        ("visualize --coordinates random:9999", "R(x) has 1024 coordinates"),
        ("visualize --transform jitter:64", "transform 'jitter:64': give 0 to 63"),
        ("visualize --transform rotate:200", "transform 'rotate:200': give 0 to 180"),
        ("add-feature --coordinate -1", "coordinate -1 is out of range"),
        ("activations --k 0 --n 3", "k=0"),
        ("activations --coordinates 3 --k 5 --n 3", "give more data or a smaller k"),
        ("activations --n 0", "n=0"),
        ("activations --n 25", "n=25"),
        ("invert --channels 0,1", "channels=(0, 1): give three of 0 to 2"),
        ("activations --coordinates 3 --channels 3 --n 3", "channels=(3,): give three of 0 to 2"),
        ("evaluate --attack-steps 0", "attack_steps=0"),
        ("evaluate --attack-steps 20,", "--attack-steps '20,'"),
        ("evaluate --eps=-1", "eps=-1.0"),
        ("evaluate --model nowhere.pt", "nowhere.pt"),
        ("evaluate --batch-size 0", "batch_size=0"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    command, few, checkpoint, critters, tmp_path, arguments, message
):
    name, *given = arguments.split()
    steps = [] if name == "evaluate" or "--iterations" in given else ["--iterations", 1]
    status, _, err = command(
        name, "--model", checkpoint, "--dataset", "critters_fine", "--data", critters,
        "--out", tmp_path / "out", *steps, *given,
    )  # fmt: skip
    assert status == 2
    [line] = [line for line in err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert err.rstrip().endswith(line)
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_one_line(command, checkpoint, tmp_path):
    (tmp_path / "val").mkdir()
    status, _, err = command(
        "evaluate", "--model", checkpoint, "--dataset", "restricted_imagenet",
        "--data", tmp_path, "--out", tmp_path / "out",
    )  # fmt: skip
    assert status == 2
    assert err.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out").exists()
