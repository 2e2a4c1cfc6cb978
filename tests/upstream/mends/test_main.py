"""``python -m robustness.main``: options, presets, resuming, evaluation, and one-line errors."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from cox_stores import read
from PIL import Image

import robust_reps_ext  # noqa: F401
from robust_reps_ext.upstream import mend

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # upstream's word about apex
    from robustness import defaults, main, model_utils, train
    from robustness.attacker import AttackerModel

    from robust_reps_ext.upstream.training.command import run
    from robust_reps_ext.upstream.training.options import GROUPS, entries
from training_command import DotsData

LATEST = "checkpoint.pt.latest"


def words(out, **changed):
    """A command line; None leaves an option out, True gives it bare."""
    options = {
        "dataset": "dots",
        "arch": "linear",
        "workers": 0,
        "adv-train": 1,
        "constraint": "2",
        "eps": "1/2",
        "attack-lr": "0.2",
        "attack-steps": 2,
        "log-iters": 1,
        "out-dir": out,
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    line = []
    for name, value in options.items():
        if value is not None:
            line += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return line


def command(line, capsys, status=0):
    """Run a command line in this process; what it wrote on stdout, or the error it ended with."""
    with pytest.raises(SystemExit) as ended:
        run(line)
    captured = capsys.readouterr()
    assert (ended.value.code or 0) == status, captured.err
    if status == 0:
        return captured.out
    error = captured.err.strip().splitlines()[-1]
    assert error.startswith(("error: ", "python -m robustness.main: error: ")), captured.err
    return error


def test_train_resume_evaluate(tmp_path, capsys):
    out = tmp_path / "runs"
    said = command(words(out, seed=3), capsys)
    (experiment,) = out.iterdir()
    assert "=> after epoch 2: clean accuracy" in said
    assert "adversarial accuracy" in said
    assert "(constraint 2, eps 0.5, 2 steps of 0.2)" in said
    assert {LATEST, "checkpoint.pt.best", "1_checkpoint.pt"} <= {
        path.name for path in experiment.iterdir()
    }

    said = command(words(out, epochs=3, resume=True), capsys)
    assert "going on with the run" in said
    assert list(out.iterdir()) == [experiment]
    logs = read(out, "logs")
    assert logs["epoch"].tolist() == [1, 2, 3]
    checkpoint = torch.load(experiment / LATEST, weights_only=True)
    assert (checkpoint["epoch"], checkpoint["seed"]) == (3, 3)
    assert (checkpoint["arch"], checkpoint["dataset"]) == ("linear", "dots")

    metadata = read(out, "metadata")
    assert metadata["epochs"].tolist() == [2, 3]
    assert metadata["seed"].tolist()[0] == 3
    assert metadata["eps"].tolist() == [0.5, 0.5]
    assert metadata["version"].tolist()[0].startswith("1.2")
    assert metadata["torch_version"].tolist()[0] == torch.__version__
    assert set(metadata) >= {"robust_reps_ext_version", "command_line", "arch", "resume"}

    # The command that trained it, with --eval-only, evaluates with the same adversary.
    said = command(words(None, resume=experiment, eval_only=1), capsys)
    assert f"on 12 images: clean accuracy {logs['nat_prec1'].iloc[-1]:.2f}%" in said
    assert f"adversarial accuracy {logs['adv_prec1'].iloc[-1]:.2f}%" in said
    line = ["--dataset", "dots", "--arch", "linear", "--eval-only", "1", "--workers", "0"]
    said = command([*line, "--resume", str(experiment / LATEST)], capsys)
    assert "clean accuracy" in said
    assert "adversarial" not in said.splitlines()[-1]
    assert list(out.iterdir()) == [experiment]

    model, dataset, args = model_utils.model_dataset_from_store((str(out), experiment.name))
    assert isinstance(model, AttackerModel)
    assert isinstance(dataset, DotsData)
    assert (args.arch, args.eps, args.custom_lr_multiplier) == ("linear", 0.5, None)
    weights = model.state_dict()
    assert all(torch.equal(v, checkpoint["model"][f"module.{k}"]) for k, v in weights.items())
    first, _, _ = model_utils.model_dataset_from_store((str(out), experiment.name), which=1)
    assert not torch.equal(first.state_dict()["model.fc.bias"], weights["model.fc.bias"])


def test_a_finished_run_leaves_no_new_directory(tmp_path, capsys):
    command(words(tmp_path, exp_name="a"), capsys)
    path = tmp_path / "a" / LATEST
    said = command(words(tmp_path, resume=path), capsys)
    assert "nothing left to train" in said
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_second_run_of_a_name_is_refused_or_replaces_the_first(tmp_path, capsys):
    said = command(words(tmp_path, exp_name="a"), capsys)
    folder = tmp_path / "a"
    assert said.splitlines()[-1] == f"=> the network: {folder.absolute() / 'checkpoint.pt.best'}"
    before = (folder / LATEST).read_bytes()
    error = command(words(tmp_path, exp_name="a"), capsys, status=2)
    assert "holds checkpoints of an earlier run" in error
    assert "--overwrite" in error
    assert (folder / LATEST).read_bytes() == before
    # Of another run's checkpoint it does not go on either.
    (tmp_path / "b").mkdir()
    shutil.copy(folder / LATEST, tmp_path / "b")
    error = command(words(tmp_path, exp_name="a", resume=tmp_path / "b"), capsys, status=2)
    assert "holds checkpoints of an earlier run" in error
    (folder / "mine.txt").touch()
    command([*words(tmp_path, exp_name="a", epochs=1), "--overwrite"], capsys)
    assert read(tmp_path, "logs")["epoch"].tolist() == [1]
    assert (folder / "mine.txt").exists()
    assert torch.load(folder / LATEST, weights_only=True)["epoch"] == 1


def test_resuming_elsewhere_takes_the_weights_alone(tmp_path, capsys):
    command(words(tmp_path / "old", exp_name="a"), capsys)
    path = tmp_path / "old" / "a" / LATEST
    said = command(words(tmp_path / "new", exp_name="b", resume=path), capsys)
    assert "starting anew from the weights" in said
    assert read(tmp_path / "new", "logs")["epoch"].tolist() == [1, 2]
    said = command(
        words(tmp_path / "new", exp_name="c", resume=path, resume_optimizer=1, epochs=4), capsys
    )
    logs = read(tmp_path / "new", "logs")
    assert logs[logs["exp_id"] == "c"]["epoch"].tolist() == [3, 4]


def test_an_evaluation_can_be_kept(tmp_path, capsys):
    command(words(tmp_path / "runs", exp_name="a"), capsys)
    path = tmp_path / "runs" / "a"
    command(words(tmp_path / "evaluations", eval_only=1, resume=path, adv_eval=0), capsys)
    logs = read(tmp_path / "evaluations", "logs")
    assert logs["epoch"].tolist() == [0]
    assert np.isnan(logs["adv_prec1"].tolist()[0])


def test_a_preset_fills_what_the_command_line_leaves(tmp_path, capsys):
    preset = tmp_path / "preset.json"
    preset.write_text(
        json.dumps(
            {
                "adv_train": "0",
                "adv-eval": True,
                "epochs": 1.0,
                "eps": 0.25,
                "constraint": 2,
                "lr": 1,
                "custom_lr_multiplier": [[0, 1], [1, 0.5]],
                "step_lr": None,
            }
        )
    )
    line = words(tmp_path / "runs", adv_train=None, constraint=None, config_path=preset)
    command(line, capsys)
    metadata = read(tmp_path / "runs", "metadata").iloc[0]
    assert (metadata["adv_train"], metadata["adv_eval"], metadata["epochs"]) == (0, 1, 1)
    assert (metadata["eps"], metadata["constraint"], metadata["lr"]) == (0.5, "2", 1.0)
    assert metadata["custom_lr_multiplier"] == "[[0, 1], [1, 0.5]]"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, "unknown option 'epoch': did you mean epochs?"),
        ({"adv_train": "yes"}, "adv_train='yes' is wrong: give one of 0, 1"),
        ({"adv_train": 2}, "give one of 0, 1"),
        ({"epochs": True}, "epochs=True is wrong: give a whole number"),
        ({"epochs": 1.5}, "give a whole number"),
        ({"lr": "fast"}, "give a number"),
        ({"lr": [1]}, "give a number"),
        ({"eps": {"a": 1}}, "give text or a number"),
        ({"config_path": "x"}, "unknown option 'config_path'"),
        ([1], "is no JSON object"),
        ("{", "is not JSON"),
        (None, "No such file"),
        (b"\xff\xfe\x00", "is not text"),
    ],
)
def test_a_bad_preset_is_named(content, message, tmp_path, capsys):
    preset = tmp_path / "preset.json"
    if isinstance(content, bytes):
        preset.write_bytes(content)
    elif content is not None:
        preset.write_text(content if content == "{" else json.dumps(content))
    assert message in command(words(tmp_path / "runs", config_path=preset), capsys, status=2)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dataset": None}, "--dataset is required"),
        ({"dataset": "dotz"}, "invalid choice: 'dotz'"),
        ({"dataset": "custom_imagenet"}, "only Python can give"),
        ({"dataset": "a2b"}, "--data /tmp/: path must end in one of"),
        ({"dataset": "imagenet", "data": "/nowhere"}, "no folder /nowhere"),
        ({"arch": None}, "--arch is required"),
        ({"arch": "lineal"}, "no architecture 'lineal'"),
        ({"out_dir": None}, "--out-dir is required"),
        ({"eps": None}, "--eps is required"),
        ({"eps": "__import__('os').abort()"}, "is not a number"),
        ({"attack_lr": "-0.5"}, "is below 0"),
        ({"custom_eps_multiplier": "os.abort()"}, "is not a schedule"),
        ({"custom_lr_multiplier": "os.abort()"}, "is not a schedule"),
        ({"lr": "nan"}, "--lr=nan is not finite"),
        ({"epochs": 0}, "--epochs=0 is below 1"),
        ({"batch_size": 0}, "--batch-size=0 is below 1"),
        ({"workers": -1}, "--workers=-1 is below 0"),
        ({"seed": -1}, "--seed=-1 is below 0"),
        ({"resume": True}, "leave --resume out to start one"),
        ({"resume": True, "exp_name": "a"}, "has no checkpoint.pt.latest"),
        ({"resume": "nowhere.pt"}, "no checkpoint at nowhere.pt"),
        ({"resume": "."}, "has no checkpoint.pt.latest"),
        ({"ema": 1}, "--ema=1: give a number below 1"),
        ({"minutes": "nan"}, "--minutes=nan is not finite"),
        ({"image_sizes": "[(0.5, 4), (0, 2)]"}, "--image-sizes="),
        ({"label_smoothing": -1}, "--label-smoothing=-1.0 is below 0"),
        ({"eps_warmup": -1}, "--eps-warmup=-1.0 is below 0"),
        ({"label_smoothing": 1.5}, "--label-smoothing=1.5 is above 1"),
        ({"eps_warmup": 7}, "--eps-warmup=7.0 is above 1"),
        ({"minutes": 0}, "--minutes=0 leaves no time to train"),
        ({"eval_only": 1}, "--eval-only needs a model"),
        ({"eval_only": 1, "resume": True, "out_dir": None}, "give --out-dir or a path"),
        ({"adv_objective": "nothing"}, "unknown objective 'nothing'"),
    ],
)
def test_a_bad_command_is_named_and_leaves_nothing(changed, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in command(words("runs/deep", **changed), capsys, status=2)
    assert list(tmp_path.iterdir()) == []


def test_an_out_dir_that_is_a_file_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("kept")
    assert str(tmp_path / "file") in command(words(tmp_path / "file"), capsys, status=2)
    assert (tmp_path / "file").read_text() == "kept"


def test_an_interrupt_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    upstream = train.train_model

    def interrupted(args, *rest, **named):
        def hook(model, info):
            raise KeyboardInterrupt

        args.epoch_hook = hook
        return upstream(args, *rest, **named)

    monkeypatch.setattr(train, "train_model", interrupted)
    with pytest.raises(SystemExit) as ended:
        run(words(tmp_path, exp_name="a"))
    assert ended.value.code == 130
    assert "--exp-name a --resume" in capsys.readouterr().err
    monkeypatch.undo()
    assert torch.load(tmp_path / "a" / LATEST, weights_only=True)["epoch"] == 1


def test_help_lists_every_option(capsys):
    with pytest.raises(SystemExit) as ended:
        run(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: python -m robustness.main")
    listed = [f"--{entry[0]} " for group in GROUPS for entry in entries(group)]
    assert {"--seed ", "--adv-objective ", "--trust-checkpoint "} < set(listed)
    assert all(option in said for option in listed)


@pytest.mark.slow
def test_the_documented_command_in_a_process_of_its_own(tmp_path):
    from robust_reps_ext.datasets.restricted_imagenet import sub_classes

    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for wnids in sub_classes().values():
            folder = tmp_path / "data" / split / wnids[0]
            folder.mkdir(parents=True)
            pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "one.JPEG")
    line = [
        *("--dataset", "restricted_imagenet", "--data", str(tmp_path / "data")),
        *("--arch", "resnet18", "--adv-train", "1", "--constraint", "2", "--eps", "3"),
        *("--attack-lr", "0.5", "--attack-steps", "1", "--epochs", "1", "--batch-size", "9"),
        *("--workers", "0", "--out-dir", str(tmp_path / "runs")),
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "robustness.main", *line],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "after epoch 1: clean accuracy" in done.stdout
    assert read(tmp_path / "runs", "logs")["epoch"].tolist() == [1]
    (experiment,) = (tmp_path / "runs").iterdir()
    assert (experiment / LATEST).is_file()


@pytest.mark.parametrize("module", ["defaults", "train", "model_utils", "main"])
def test_every_mend_of_training_applied(module):
    found = [one for one in mend.outcomes() if one.module == f"robustness.{module}"]
    assert found
    assert {one.status for one in found} == {"applied"}
    # Those who import a name from upstream get ours, with upstream's parameters.
    assert main.train_model is train.train_model
    assert main.check_and_fill_args is defaults.check_and_fill_args
    assert list(inspect.signature(train.train_model).parameters) == [
        *("args", "model", "loaders", "checkpoint", "dp_device_ids", "store"),
        *("update_params", "disable_no_grad"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        *([], ["--nosuch"], ["--dataset"], ["--dataset", "nosuch"], ["--eps"], ["surplus"]),
        ["--adv-train", "2"],
        ["--config-path", "missing.json"],
    ],
)
def test_a_slip_on_the_command_line_is_one_line(capsys, line):
    with pytest.raises(SystemExit, match="2"):
        run(line)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_data_set_that_is_nowhere_is_one_line(tmp_path, capsys):
    line = ["--dataset", "cifar", "--arch", "resnet18", "--data", str(tmp_path / "images")]
    line += ["--adv-train", "0", "--out-dir", str(tmp_path / "runs"), "--workers", "0"]
    with pytest.raises(SystemExit, match="2"):
        run(line)
    (said,) = capsys.readouterr().err.splitlines()
    assert "cannot be fetched: put them there" in said
