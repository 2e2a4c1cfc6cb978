"""The examples run as their first lines say, with few steps, and do what they claim."""

from __future__ import annotations

import importlib.util
import re
import runpy
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from cox.readers import CollectionReader
from PIL import Image
from robustness import train

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.synthesis.settings import Settings
from robust_reps_ext.upstream import registry

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(monkeypatch):
    def call(name, *arguments):
        monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")

    return call


@pytest.fixture(scope="module")
def own_objective():
    spec = importlib.util.spec_from_file_location("own_objective", EXAMPLES / "own_objective.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_pictures(folder, *names):
    """Exactly these pictures are there, and something is on them."""
    assert sorted(path.name for path in folder.glob("*.png")) == sorted(names)
    for name in names:
        with Image.open(folder / name) as picture:
            assert len(picture.convert("RGB").getcolors(10**7)) > 100


def numbers(text, pattern):
    return [float(value) for value in re.search(pattern, text).groups()]


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_an_example_tells_what_it_takes(run, name, capsys):
    with pytest.raises(SystemExit) as end:
        run(name, "--help")
    assert not end.value.code
    assert name in capsys.readouterr().out


def test_quick_tour(run, tmp_path):
    run("quick_tour.py", "--out", tmp_path, "--iterations", 2)
    pictures = ("inversion", "radii", "interpolation", "features", "activations", "added")
    assert_pictures(tmp_path, *(f"{name}.png" for name in pictures))


@pytest.mark.slow
def test_robust_dataset(run, tmp_path, capsys, monkeypatch):
    wanted = (
        "robust_dataset.py", "--out", tmp_path, "--images", 27, "--iterations", 1, "--epochs", 1,
        "--seeds", 0, "--val", 9,
    )  # fmt: skip
    run(*wanted)
    assert_pictures(tmp_path, "images.png")
    first = re.findall(r"^(?:originals|robustified): .*", capsys.readouterr().out, re.M)
    assert len(first) == 2 * 2 * 4
    monkeypatch.setattr(train, "train_model", None)
    run(*wanted)  # nothing is made or trained again
    assert re.findall(r"^(?:originals|robustified): .*", capsys.readouterr().out, re.M) == first


@pytest.mark.slow
def test_constructed_data_sets(run, tmp_path, capsys, monkeypatch):
    wanted = (
        "constructed_data_sets.py", "--out", tmp_path, "--images", 27, "--iterations", 1,
        "--epochs", 2, "--seeds", 0, "--val", 9, "--eps", 0.5,
    )  # fmt: skip
    run(*wanted)
    lines = r"^(?:originals|robust|non-robust|random|next|robust-network): (?:clean|eps 0.5): .*"
    first = re.findall(lines, capsys.readouterr().out, re.M)
    assert len(first) == 6 * 2
    monkeypatch.setattr(train, "train_model", None)
    run(*wanted)  # nothing is made or trained again
    assert re.findall(lines, capsys.readouterr().out, re.M) == first


@pytest.mark.slow
def test_own_checkpoint(run, tmp_path, capsys):
    run(
        "own_checkpoint.py", "--out", tmp_path, "--images", 54, "--epochs", 1, "--iterations", 10,
    )  # fmt: skip
    assert_pictures(tmp_path, "inversion.png")
    said = capsys.readouterr().out
    assert "critters_resnet, 9 classes, {'mean': [0.5096, 0.5063, 0.5037]" in said
    (early,) = numbers(said, r"ResNet-18, layer1: relative distance ([\d.]+)")
    assert early < 0.5  # noise is about as far from the target as the target from zero


def test_own_checkpoint_takes_yours(run, tmp_path, monkeypatch):
    bundled = Path(rr.__file__).parent / "models/zoo/weights/critters-robust.safetensors"
    run("own_checkpoint.py", "--out", tmp_path, "--checkpoint", bundled, "--iterations", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["inversion.png"]


def test_own_objective(run, tmp_path, capsys):
    run("own_objective.py", tmp_path / "directions.png", "--iterations", 8, "--n", 18)
    assert_pictures(tmp_path, "directions.png")
    said = capsys.readouterr().out
    for label in ("more green", "more stripes", "more crab"):
        before, after = numbers(said, rf"{label}: (\S+) to (\S+)")
        assert after > before + 1


def test_own_objective_is_the_projection_on_the_direction(own_objective):
    """On R(x) = x the best image in a ball is the start plus the radius along v."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    model = rr.load_model(network, normalize=((0, 0, 0), (1, 1, 1)))
    start = torch.full((2, 3, 2, 2), 0.5)
    direction = torch.tensor([1.0, -1.0] * 6).repeat(2, 1)
    settings = Settings(eps=0.4, step_size=0.1, iterations=8)
    found = rr.synthesize(model, own_objective.Direction(), direction, start, settings)
    best = start + 0.4 * direction.view_as(start) / 12**0.5
    torch.testing.assert_close(found.images, best)
    torch.testing.assert_close(found.objective, torch.full((2,), 0.4))


def test_own_objective_trains(own_objective, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "own_objective", own_objective)
    monkeypatch.setattr(registry, "OBJECTIVES", dict(registry.OBJECTIVES))
    registry.register_objective("direction", "own_objective:Direction")
    drawn = critters.draw(9, size=32)
    batches = [(drawn.images / 255, drawn.labels)]
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 9))
    model = rr.load_model(network, dataset="critters")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train.train_model(
        Namespace(
            out_dir=str(tmp_path), epochs=1, lr=0.1, momentum=0.9, weight_decay=0.0, log_iters=1,
            adv_train=1, adv_objective="direction", constraint="2", eps=1.0, attack_lr=0.5,
            attack_steps=2, random_restarts=0, use_best=0,
        ),
        model,
        (batches, batches),
    )  # fmt: skip
    after = model.state_dict()
    assert not torch.equal(before["model.module.1.weight"], after["model.module.1.weight"])


@pytest.mark.slow
def test_train_robust(run, tmp_path, capsys):
    run(
        "train_robust.py", "--out", tmp_path, "--images", 54, "--epochs", 2, "--pairs", 2,
        "--iterations", 2,
    )  # fmt: skip
    assert_pictures(tmp_path, "curve.png")
    said = capsys.readouterr().out
    logs = CollectionReader(str(tmp_path)).df("logs")
    for name in ("robust", "standard"):
        assert (tmp_path / name / "checkpoint.pt.latest").exists()
        assert (logs["exp_id"] == name).sum() == 2
        (clean,) = numbers(said, rf"{name}: ([\d.]+)% clean")
        assert 0 <= clean <= 100


@pytest.mark.slow
def test_train_objectives(run, tmp_path, capsys, monkeypatch):
    attacks, options = [], []
    train_model = train.train_model

    def watched(args, model, loaders):
        model.attacker.register_forward_hook(
            lambda _, given, how, end: attacks.append(how.get("custom_loss")), with_kwargs=True
        )
        options.append((args.adv_train, args.adv_objective))
        return train_model(args, model, loaders)

    monkeypatch.setattr(train, "train_model", watched)
    run(
        "train_objectives.py", "--out", tmp_path, "--images", 54, "--epochs", 1, "--iterations", 2,
    )  # fmt: skip
    assert_pictures(tmp_path, "objectives.png")
    names = ["representation_matching", "interpolation_target", "coordinate_maximization"]
    assert options == [(0, None), (1, None), *((1, name) for name in names)]
    assert {one.name for one in attacks if hasattr(one, "name")} >= set(names)
    said = capsys.readouterr().out
    for name in ("none", "class", *names):
        clean, attacked, _ = numbers(
            said, rf"{name}: ([\d.]+)% clean, ([\d.]+)% under PGD; .* to ([\d.]+),"
        )
        assert 0 <= attacked <= clean <= 100


@pytest.mark.slow
def test_compare_models(run, tmp_path):
    run(
        "compare_models.py", "--out", tmp_path, "--iterations", 2, "--pairs", 2, "--n", 9,
    )  # fmt: skip
    pictures = ("inversion.png", "curve.png", "accuracy.png")
    assert_pictures(tmp_path, *pictures, "comparison.png")
    heights = [height_of(tmp_path / name) for name in pictures]
    assert height_of(tmp_path / "comparison.png") == sum(heights)


def height_of(picture):
    with Image.open(picture) as opened:
        return opened.height
