"""``python -m robustness.main``: options, presets, resuming, evaluation, and one-line errors."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import warnings
from argparse import Namespace

import numpy as np
import pytest
import torch
from cox.readers import CollectionReader
from cox.store import Store
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.upstream import mend

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # upstream's word about apex
    from robustness import datasets, defaults, main, model_utils, train
    from robustness.attacker import AttackerModel

    from robust_reps_ext.upstream.mends.main import run

LATEST = "checkpoint.pt.latest"


class Dots(Dataset):
    """Two classes: bright and dark 4x4 images."""

    def __init__(self, root, train, download, transform):
        self.targets = [index % 2 for index in range(12)]
        self.data = torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(int(train)))

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return (self.data[index] + self.targets[index]) / 2, self.targets[index]


class Linear(nn.Module):
    """A linear classifier with upstream's forward call."""

    def __init__(self, classes):
        super().__init__()
        self.fc = nn.Linear(48, classes)

    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        flat = x.flatten(1)
        return (self.fc(flat), flat) if with_latent else self.fc(flat)


class DotsData(datasets.DataSet):
    """A user's own data set, made as upstream's documentation says."""

    def __init__(self, data_path, **kwargs):
        super().__init__(
            "dots",
            data_path,
            **{
                "num_classes": 2,
                "mean": torch.full((3,), 0.5),
                "std": torch.full((3,), 0.5),
                "custom_class": Dots,
                "transform_train": None,
                "transform_test": None,
                **kwargs,
            },
        )

    def get_model(self, arch, pretrained):
        return {"linear": Linear}[arch](self.num_classes)


@pytest.fixture(autouse=True)
def dots(monkeypatch):
    """The data set registered as upstream's documentation says, after everything is imported."""
    monkeypatch.setitem(datasets.DATASETS, "dots", DotsData)
    entry = {"epochs": 2, "batch_size": 6, "weight_decay": 0.0, "step_lr": 1}
    monkeypatch.setitem(defaults.TRAINING_DEFAULTS, DotsData, entry)
    choices = defaults.MODEL_LOADER_ARGS[0][1]
    choices.append("dots")
    yield
    choices.remove("dots")


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


def table(out, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = CollectionReader(str(out))
    try:
        return reader.df(name)
    finally:
        reader.close()


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
    logs = table(out, "logs")
    assert logs["epoch"].tolist() == [1, 2, 3]
    checkpoint = torch.load(experiment / LATEST, weights_only=True)
    assert (checkpoint["epoch"], checkpoint["seed"]) == (3, 3)
    assert (checkpoint["arch"], checkpoint["dataset"]) == ("linear", "dots")

    metadata = table(out, "metadata")
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


def test_resuming_elsewhere_takes_the_weights_alone(tmp_path, capsys):
    command(words(tmp_path / "old", exp_name="a"), capsys)
    path = tmp_path / "old" / "a" / LATEST
    said = command(words(tmp_path / "new", exp_name="b", resume=path), capsys)
    assert "starting anew from the weights" in said
    assert table(tmp_path / "new", "logs")["epoch"].tolist() == [1, 2]
    said = command(
        words(tmp_path / "new", exp_name="c", resume=path, resume_optimizer=1, epochs=4), capsys
    )
    logs = table(tmp_path / "new", "logs")
    assert logs[logs["exp_id"] == "c"]["epoch"].tolist() == [3, 4]


def test_an_evaluation_can_be_kept(tmp_path, capsys):
    command(words(tmp_path / "runs", exp_name="a"), capsys)
    path = tmp_path / "runs" / "a"
    command(words(tmp_path / "evaluations", eval_only=1, resume=path, adv_eval=0), capsys)
    logs = table(tmp_path / "evaluations", "logs")
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
    metadata = table(tmp_path / "runs", "metadata").iloc[0]
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
        ({"eval_only": 1}, "--eval-only needs a model"),
        ({"eval_only": 1, "resume": True, "out_dir": None}, "give --out-dir or a path"),
        ({"adv_objective": "nothing"}, "invalid choice: 'nothing'"),
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
    for entries in (defaults.TRAINING_ARGS, defaults.PGD_ARGS, defaults.MODEL_LOADER_ARGS):
        assert all(f"--{entry[0]} " in said for entry in entries)
    assert {"--seed ", "--adv-objective ", "--trust-checkpoint "} <= {
        f"--{entry[0]} "
        for entries in (defaults.TRAINING_ARGS, defaults.PGD_ARGS, defaults.MODEL_LOADER_ARGS)
        for entry in entries
    }


# -- defaults --------------------------------------------------------------------------------------


def filled(ds_class, **given):
    args = Namespace(out_dir="x", adv_train=1, constraint="2", eps=3, attack_lr=0.5, **given)
    for entries in (defaults.TRAINING_ARGS, defaults.PGD_ARGS):
        args = defaults.check_and_fill_args(args, entries, ds_class)
    return args


def test_restricted_imagenet_trains_as_in_the_paper():
    args = filled(datasets.RestrictedImageNet)
    assert (args.epochs, args.lr, args.momentum, args.weight_decay) == (110, 0.1, 0.9, 5e-4)
    assert args.custom_lr_multiplier == "[(0, 1), (30, 0.1), (60, 0.01)]"
    assert (args.step_lr, args.random_start, args.attack_steps) == (None, 1, 7)
    assert defaults.TRAINING_DEFAULTS[datasets.RestrictedImageNet]["batch_size"] == 256


def test_asking_for_step_drops_sets_the_schedule_of_the_data_set_aside():
    args = filled(datasets.RestrictedImageNet, step_lr=10)
    assert (args.step_lr, args.custom_lr_multiplier) == (10, None)


def test_other_defaults_are_upstreams_and_subclasses_have_them():
    class Mine(datasets.CIFAR):
        pass

    args = filled(Mine)
    assert (args.epochs, args.step_lr, args.weight_decay, args.random_start) == (150, 50, 5e-4, 0)


def test_a_data_set_without_defaults_says_what_to_give():
    with pytest.raises(InputError, match=r"--epochs is required.*no entry for DataSet"):
        filled(datasets.DataSet)
    args = filled(datasets.DataSet, epochs=1, weight_decay=0.0, step_lr=1)
    assert args.momentum == 0.9


# -- models ----------------------------------------------------------------------------------------


def test_models_are_made_by_position_and_by_name():
    data = DotsData("")
    model, checkpoint = model_utils.make_and_restore_model("linear", data)
    assert isinstance(model, AttackerModel)
    assert checkpoint is None
    model, _ = model_utils.make_and_restore_model(arch=Linear(2), dataset=data, parallel=True)
    assert isinstance(model, nn.DataParallel)
    with pytest.raises(TypeError):
        model_utils.make_and_restore_model("linear", data, None, False, False, False, True)


def test_a_classifier_with_a_plain_forward_is_wrapped_and_restored(tmp_path):
    plain = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    data = DotsData("")
    model, _ = model_utils.make_and_restore_model(arch=plain, dataset=data, add_custom_forward=True)
    images = torch.rand(2, 3, 4, 4)
    expected = model(images)[0]
    weights = {f"module.{k}": v for k, v in model.state_dict().items()}
    torch.save({"model": weights, "epoch": 1}, tmp_path / "plain.pt")
    fresh = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    again, checkpoint = model_utils.make_and_restore_model(
        arch=fresh, dataset=data, resume_path=tmp_path / "plain.pt", add_custom_forward=True
    )
    torch.testing.assert_close(again(images)[0], expected)
    assert checkpoint["epoch"] == 1
    assert checkpoint["model"].keys() == weights.keys()


def test_weights_that_do_not_fit_are_named(tmp_path):
    model, _ = model_utils.make_and_restore_model("linear", DotsData(""))
    weights = {f"module.{k}": v for k, v in model.state_dict().items()}
    torch.save({"model": weights, "epoch": 1}, tmp_path / "two.pt")
    with pytest.raises(
        InputError, match=r"two.pt does not fit linear.*fc.weight is 2x48, not 3x48"
    ):
        model_utils.make_and_restore_model(
            "linear", DotsData("", num_classes=3), tmp_path / "two.pt"
        )


def test_the_normaliser_of_a_checkpoint_wins(tmp_path, capsys):
    trained, _ = model_utils.make_and_restore_model("linear", DotsData(""))
    weights = {f"module.{k}": v for k, v in trained.state_dict().items()}
    torch.save({"model": weights, "epoch": 1}, tmp_path / "half.pt")
    other = DotsData("", mean=torch.full((3,), 0.1), std=torch.full((3,), 0.9))
    model, _ = model_utils.make_and_restore_model("linear", other, tmp_path / "half.pt")
    assert "instead of the data set's" in capsys.readouterr().out
    images = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(model(images)[0], trained(images)[0])
    assert torch.equal(model.attacker.normalize.new_mean, model.normalizer.new_mean)


def test_unknown_architectures_are_answered_with_near_names():
    with pytest.raises(InputError, match=r"no architecture 'resnet5': try resnet50"):
        model_utils.make_and_restore_model("resnet5", datasets.CIFAR("/tmp/"))
    with pytest.raises(InputError, match=r"no architecture 'vgg61'.*vgg16"):
        model_utils.make_and_restore_model("vgg61", datasets.ImageNet("/tmp/"))


def test_feature_extractor_leaves_the_model_as_it_was():
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Identity())
    before = set(network.state_dict())
    extractor = model_utils.FeatureExtractor(
        network, [lambda model: model[1], lambda model: model[0]]
    )
    x = torch.randn(5, 4)
    out, rectified, linear = extractor(x)
    torch.testing.assert_close(out, network(x))
    torch.testing.assert_close(linear, network[0](x))
    torch.testing.assert_close(rectified, linear.relu())
    assert set(network.state_dict()) == before
    assert not any(module._forward_hooks for module in network.modules())
    unused = nn.Linear(1, 1)
    with pytest.raises(InputError, match=r"layer 0 .* did not run"):
        model_utils.FeatureExtractor(network, [lambda model: unused])(x)


def test_a_store_without_metadata_is_named(tmp_path):
    Store(str(tmp_path), "empty").close()
    with pytest.raises(InputError, match="no metadata"):
        model_utils.model_dataset_from_store((str(tmp_path), "empty"))
    with pytest.raises(InputError, match="which='newest'"):
        model_utils.model_dataset_from_store((str(tmp_path), "empty"), which="newest")


# -- the real road ---------------------------------------------------------------------------------


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
    assert table(tmp_path / "runs", "logs")["epoch"].tolist() == [1]
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
