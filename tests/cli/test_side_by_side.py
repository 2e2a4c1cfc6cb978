"""Several networks in one command: a folder for each, one picture, one table; who collides."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from robustness.datasets import DATASETS
from robustness.model_utils import make_and_restore_model

import robust_reps_ext as rr
from robust_reps_ext.results.reader import read_results


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Files of training, of two untrained networks: of the same name, in folders of their own."""
    root = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("robust", "standard")):
        torch.manual_seed(seed)
        data_set = DATASETS["critters_fine"]()
        model, _ = make_and_restore_model(arch="critters_resnet", dataset=data_set)
        state = {f"module.{key}": value for key, value in model.state_dict().items()}
        (root / name).mkdir()
        torch.save({"model": state, "epoch": 1}, root / name / "checkpoint.pt.best")
    return [root / name / "checkpoint.pt.best" for name in ("robust", "standard")]


@pytest.fixture
def call(command, two, tmp_path, monkeypatch):
    """Run a command on both; its status, lines and error."""
    data_set = partial(DATASETS["critters_fine"], custom_class_args={"n_val": 18})
    monkeypatch.setitem(DATASETS, "critters_fine", data_set)

    def run(name, *words, models=two):
        models = [word for model in models for word in ("--model", model)]
        status, said, err = command(
            name, *models, "--dataset", "critters_fine", "--n", 2, "--out", tmp_path / "out", *words
        )
        return status, said, err

    return run


def names(tmp_path):
    return sorted(path.name for path in (tmp_path / "out").iterdir())


def rows(picture):
    """How many rows of images a picture has: stretches of lines that are not white."""
    with Image.open(picture) as image:
        grey = np.asarray(image.convert("L"))
    tall = (grey < 250).mean(1) > 0.5
    return int((tall[1:] & ~tall[:-1]).sum())


COMMANDS = {
    "invert": ((), "robust-noise-n2", ["inversion.png"]),
    "pairs": ((), "robust-n2", ["pairs.png"]),
    "curve": (("--radii", "1,4"), "robust-n2", ["curve.png", "curve.svg", "images.png"]),
    "interpolate": (("--steps", 2), "robust-n2", ["interpolation.png"]),
    "visualize": (("--coordinates", "3,50"), "robust-3-50-n2", ["features.png"]),
    "add-feature": (("--coordinate", 3), "robust-3-n2", ["added.png"]),
    "generate": (("--start", "noise"), "robust-all-noise-n2", ["generated.png"]),
    "translate": (("--to-class", 3), "robust-3-n2", ["translated.png"]),
    "inpaint": ((), "robust-n2", ["inpainted.png"]),
    "upscale": ((), "robust-x4-n2", ["upscaled.png"]),
    "enhance": (("--eps", 5), "robust-eps5-n2", ["enhanced.png"]),
    "activations": (("--coordinates", "3,50", "--k", 1), "robust-3-50-k1-n2", ["activations.png"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_has_a_folder_and_all_are_in_one_picture(call, tmp_path, name):
    words, folder, pictures = COMMANDS[name]
    status, said, err = call(name, "--iterations", 1, *words)
    assert status == 0, err
    both = folder.replace("robust-", "robust-standard-")
    other = folder.replace("robust-", "standard-")
    assert names(tmp_path) == sorted(
        [f"{name}-{folder}", f"{name}-{other}", *(f"{name}-{both}.{one}" for one in pictures)]
    )
    lines = [line for line in said.splitlines() if not line.startswith("==>")]
    assert lines[0].split()[0] == "model"
    assert {line.split()[0] for line in lines[1:3]} <= {"robust", "standard"}
    assert str(tmp_path / "out" / f"{name}-{both}.{pictures[-1]}") in said.replace("\n", "")
    weights = [one.metadata["weights"] for one in read_results(tmp_path / "out")]
    assert len({*weights}) == 2


def test_the_picture_has_a_row_for_each(call, tmp_path):
    call("invert", "--iterations", 1)
    assert rows(tmp_path / "out" / "invert-robust-standard-noise-n2.inversion.png") == 3


def test_one_network_after_the_other_is_what_both_together_are(call, two, tmp_path):
    call("invert", "--iterations", 2, models=two[:1])
    call("invert", "--iterations", 2, models=two[1:])
    assert names(tmp_path) == ["invert-robust-noise-n2", "invert-standard-noise-n2"]
    alone = (tmp_path / "out" / "invert-standard-noise-n2" / "inversion.png").read_bytes()
    status, _, err = call("invert", "--iterations", 2)
    assert (status, "Inverting" in err) == (0, False)  # nothing is made again
    assert names(tmp_path)[1] == "invert-robust-standard-noise-n2.inversion.png"
    assert (tmp_path / "out" / "invert-standard-noise-n2" / "inversion.png").read_bytes() == alone


def test_names_that_are_given(call, tmp_path):
    call("invert", "--iterations", 1, "--name", "eps 3", "--name", "eps 0")
    assert names(tmp_path)[0] == "invert-eps-0-noise-n2"
    status, _, err = call("invert", "--name", "a")
    assert (status, err) == (
        2,
        "error: --name is given 1 times and --model 2: give a name for each network\n",
    )


def test_only_a_collision_is_refused_and_says_what_differs(call, two, tmp_path):
    once = partial(call, "invert", models=two[:1])
    once("--iterations", 1)
    once("--iterations", 1, "--start", "grey")
    once("--iterations", 1, "--seed", 3)
    once("--iterations", 1, "--layer", "body.8")
    assert names(tmp_path) == [
        "invert-robust-grey-n2",
        "invert-robust-noise-body.8-n2",
        "invert-robust-noise-n2",
        "invert-robust-noise-n2-seed3",
    ]
    status, _, err = once("--iterations", 2)
    folder = tmp_path / "out" / "invert-robust-noise-n2"
    assert (status, err) == (2, (
        f"error: {folder} was made with iterations=1 (now 2): give these again to go on, another "
        "--out, or --overwrite (overwrite=True) to remove it and begin anew\n"
    ))  # fmt: skip
    status, _, err = once("--iterations", 2, "--overwrite")
    assert status == 0, err
    found = rr.Synthesis.load(folder / "inversion.safetensors")
    assert found.settings["iterations"] == 2
    assert len(names(tmp_path)) == 4  # the others stay


def test_other_weights_are_told_in_a_line(call, two, tmp_path):
    copy = tmp_path / "robust" / "checkpoint.pt.best"
    copy.parent.mkdir()
    copy.write_bytes(two[0].read_bytes())
    call("invert", "--iterations", 1, models=[copy])
    copy.write_bytes(two[1].read_bytes())
    status, _, err = call("invert", "--iterations", 1, models=[copy])
    assert status == 2
    assert "weights=" in err
    assert len(err.removesuffix("\n").splitlines()) == 1
    assert len(err) < 400


@pytest.mark.parametrize("name", ["robustify", "metamers"])
def test_a_command_for_one_network_says_so(call, name):
    status, _, err = call(name)
    assert (status, err) == (2, f"error: --model is given 2 times: {name} takes one network\n")


def test_paper_is_the_appendix(call, tmp_path, two):
    status, _, err = call("invert", "--paper", "--schedule", "lbfgs")
    told = "error: --paper and --schedule lbfgs exclude each other: give one\n"
    assert (status, err) == (2, told)
    call("invert", "--paper", "--iterations", 1, models=two[:1])
    [stored] = read_results(tmp_path / "out")
    assert stored.metadata["schedule"] == "paper"


def test_evaluate_names_networks_by_what_tells_them_apart(call, tmp_path):
    status, said, err = call("evaluate", "--attack-steps", "1", "--eps", "0.1")
    assert status == 0, err
    assert "checkpoint" not in said.replace(str(tmp_path), "")
    [found] = read_results(tmp_path / "out")
    assert found.results["model"].unique().tolist() == ["robust", "standard"]
    kept = sorted((found.path / "robustbench").iterdir())
    assert [path.name for path in kept] == ["robust.json", "standard.json"]
