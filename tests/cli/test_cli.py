"""The command line: what it prints, what it leaves behind, and how it fails."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cox_stores import read

import robust_reps_ext as rr
from robust_reps_ext import cli
from robust_reps_ext.cli.doctor import examine
from robust_reps_ext.datasets.critters.imagenet_layout import write_plain_layout
from robust_reps_ext.datasets.critters.networks import ARCHITECTURES
from robust_reps_ext.datasets.samples import open_data_set, validation_samples
from robust_reps_ext.upstream.training import presets

ARCH = "critters_resnet"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "network.pt"
    torch.manual_seed(0)
    torch.save(ARCHITECTURES[ARCH](num_classes=9).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two validation images of each animal, as a folder of files and a cache of critters."""
    root = tmp_path_factory.mktemp("data")
    write_plain_layout(root / "critters", per_class=1, val_per_class=2, size=64)
    return root / "critters"


@pytest.fixture(scope="module")
def few_critters(tmp_path_factory):
    """`critters` with few images, so that drawing them takes no time."""
    from robustness.datasets import DATASETS

    def few(whole):
        options = {"n_train": 162, "n_val": 162}
        return lambda data_path: whole(data_path, custom_class_args=options)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("critters", "critters_fine"):
            patch.setitem(DATASETS, name, few(DATASETS[name]))
        yield tmp_path_factory.mktemp("few")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['robust-reps', 'invert', '--help']\n"
        "from robust_reps_ext.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "robust-reps invert --model critters-robust" in done.stdout


def test_as_a_module():
    shown = subprocess.check_output(
        [sys.executable, "-m", "robust_reps_ext", "--version"], text=True, timeout=120
    )
    assert shown == f"robust-reps {rr.__version__}\n"


def test_every_command_shows_an_example(command):
    _, out, _ = command("--help")
    names = [one.name or one.callback.__name__ for one in cli.app.registered_commands]
    assert set(names) >= {"invert", "critters", "preset", "doctor"}
    for name in names:
        assert name in out
        assert f"robust-reps {name}" in command(name, "--help")[1]


def test_preset(command):
    assert command("preset")[1].split() == list(presets.preset_names())
    status, out, _ = command("preset", "critters_robust")
    assert status == 0
    assert json.loads(Path(out.strip()).read_text())["dataset"].startswith("critters")


def test_critters(command, tmp_path):
    status, out, err = command(
        "critters", tmp_path / "drawn", "--layout", "folder", "--per-class", 2, "--size", 32
    )
    assert (status, out.strip()) == (0, str(tmp_path / "drawn"))
    assert "27/27" in err
    assert len(list((tmp_path / "drawn/train").rglob("*.png"))) == 18


def test_invert(command, checkpoint, few_critters, tmp_path):
    status, out, err = command(
        "invert", "--model", checkpoint, "--dataset", "critters", "--data", few_critters,
        "--n", 3, "--iterations", 4, "--seed", 5, "--out", tmp_path / "out",
    )  # fmt: skip
    assert status == 0, err
    (store,) = (tmp_path / "out").iterdir()
    result = rr.Synthesis.load(store / "inversion.safetensors")
    for file in ("inversion.safetensors", "inversion.png"):
        assert str(store / file) in out
    for distance in result.objective.tolist():
        assert f"{distance:.3f}" in out
    assert "Inverting: 4/4 steps in " in err

    model = rr.load_model(checkpoint, dataset="critters")
    samples = validation_samples(open_data_set("critters", few_critters), 3, seed=5)
    again = rr.invert(model, samples.images, iterations=4, seed=5)
    torch.testing.assert_close(result.images, again.images)

    settings, rows = read(tmp_path / "out", "metadata"), read(tmp_path / "out", "results")
    assert settings["iterations"].tolist() == [4]
    assert settings["arch"].tolist() == [ARCH]
    assert rows["label"].tolist() == list(samples.names)
    assert rows["objective"].tolist() == pytest.approx(result.objective.tolist())


def test_invert_from_other_images(command, checkpoint, few_critters, tmp_path):
    status, _, err = command(
        "invert", "--model", checkpoint, "--dataset", "critters", "--data", few_critters,
        "--n", 2, "--start", "images", "--iterations", 1, "--eps", 0, "--out", tmp_path,
    )  # fmt: skip
    assert status == 0, err
    (store,) = tmp_path.iterdir()
    result = rr.Synthesis.load(store / "inversion.safetensors")
    sources = validation_samples(open_data_set("critters", few_critters), 2, skip=2)
    torch.testing.assert_close(result.images, sources.images)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"--eps": -1}, "eps=-1.0 is negative"),
        ({"--iterations": 0}, "iterations=0"),
        ({"--n": 163}, "n=163: the validation set of 'critters' has 162 images"),
        ({"--n": 100, "--start": "images"}, "n=100 beside 100 others"),
        ({"--n": 0}, "n=0"),
        ({"--dataset": "crutters"}, "unknown data set 'crutters': try critters"),
        ({"--dataset": "restricted_imagenet"}, "has no val/ folder"),
        ({"--dataset": "critters_fine"}, "9 classes, dataset 'critters_fine' has 162"),
        ({"--model": "absent.pt"}, "no checkpoint at absent.pt"),
        ({"--model": __file__}, "test_cli.py"),
        ({"--arch": "resnet18"}, "does not fit resnet18"),
        ({"--layer": "nowhere"}, "layer 'nowhere' is not in"),
        ({"--device": "abacus"}, "unknown device 'abacus'"),
        ({"--out": __file__}, "test_cli.py"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    command, checkpoint, few_critters, tmp_path, options, says
):
    given = {
        "--model": checkpoint,
        "--dataset": "critters",
        "--data": few_critters,
        "--n": 1,
        "--iterations": 1,
        "--out": tmp_path / "out",
    } | options
    status, _, err = command("invert", *(word for pair in given.items() for word in pair))
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (status, len(lines)) == (2, 1), err
    assert says in lines[0]
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_a_damaged_image_is_named(command, checkpoint, folder, tmp_path):
    broken = sorted((folder / "val").rglob("*.png"))[0]
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.MonkeyPatch.context() as patch:
        from robustness.datasets import CIFAR, DATASETS

        class Folder(CIFAR):
            def __init__(self, data_path, **kwargs):
                super().__init__(data_path)
                self.custom_class = None
                self.num_classes = 9

        patch.setitem(DATASETS, "folder", Folder)
        status, _, err = command(
            "invert", "--model", checkpoint, "--dataset", "folder", "--data", folder,
            "--n", 18, "--iterations", 1, "--out", tmp_path / "out",
        )  # fmt: skip
    assert status == 2
    assert broken.name in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "run/x.pt"), 2, "no space is left for"),
        (KeyboardInterrupt(), 130, ""),
        (rr.InputError("value 3 is bad: give 4"), 2, "error: value 3 is bad: give 4"),
    ],
)
def test_how_a_command_ends(command, monkeypatch, error, status, says):
    def fail():
        raise error

    monkeypatch.setattr(presets, "preset_names", fail)
    ended, out, err = command("preset")
    assert (ended, out) == (status, "")
    assert says in err


def test_a_bug_shows_its_traceback(monkeypatch):
    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr(presets, "preset_names", fail)
    monkeypatch.setattr(sys, "argv", ["robust-reps", "preset"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_doctor(command):
    status, out, _ = command("doctor")
    found = examine()
    assert status == 0
    assert found.healthy
    assert f"{len(found.mends)} mends, 0 failed; robust-reps doctor --mends lists them" in out
    assert len(out.splitlines()) < 50
    status, out, _ = command("doctor", "--mends")
    for one in found.mends:
        assert one.name in out
    assert f"{len(found.mends)} mends, 0 failed" in out
    assert {one.module for one in found.mends} >= {"cox.store", "robustness.attacker"}
    status, out, _ = command("doctor", "--json")
    told = json.loads(out)
    assert told["versions"]["robust-reps-ext"] == rr.__version__
    assert len(told["mends"]) == len(found.mends)


def test_doctor_fails_with_a_mend(command, monkeypatch):
    from robust_reps_ext.cli import doctor

    sick = doctor.Remedy("cox.utils", "mkdirp", "utils.py:1", "why", "failed: KeyError()")
    monkeypatch.setattr(doctor, "_remedies", lambda: (sick,))
    status, out, _ = command("doctor")
    assert status == 1
    assert "mkdirp" in out
    assert "1 mends, 1 failed" in out
