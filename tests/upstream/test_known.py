"""A copy of upstream that someone has edited keeps its own ways; the published one is mended."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cox
import pytest
import robustness

from robust_reps_ext.upstream import known

PACKAGES = {"robustness": Path(robustness.__file__).parent, "cox": Path(cox.__file__).parent}
SGD = "optimizer = SGD(param_list"
ADAMW = f"{SGD[:12]}ch.optim.AdamW(param_list) if args.optimizer == 'adamw' else {SGD[12:]}"
TRAIN = """
import torch
from argparse import Namespace
from robustness import attacker, datasets, defaults, train
from robustness.tools import helpers
names = ("custom_eps_multiplier", "custom_lr_multiplier", "step_lr", "mixed_precision")
args = Namespace(
    optimizer="adamw", adv_train=1, adv_eval=0, epochs=1, out_dir={out!r}, log_iters=1, lr=0.01,
    momentum=0.9, weight_decay=0.0, attack_steps=1, eps=1.0, constraint="2", use_best=1,
    attack_lr=0.5, random_restarts=0, random_start=0, save_ckpt_iters=-1, **dict.fromkeys(names),
)
class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(48, 2)
    def forward(self, x, **_):
        return self.fc(x.flatten(1))
made = []
upstream = train.make_optimizer_and_schedule
def noted(*arguments):
    made.append(upstream(*arguments))
    return made[-1]
train.make_optimizer_and_schedule = noted
data = Namespace(mean=torch.zeros(3), std=torch.ones(3))
model = attacker.AttackerModel(Network(), data)
batches = [(torch.rand(4, 3, 4, 4), torch.tensor([0, 1, 0, 1]))]
train.train_model(args, model, (batches, batches))
print(type(made[0][0]).__name__)
ours = lambda one: "robust_reps_ext" in one.__module__
print(*map(ours, (attacker.Attacker.forward, helpers.accuracy, defaults.check_and_fill_args)))
print(ours(train.train_model), ours(upstream), ours(train.eval_model))
"""


def copied(folder, package="robustness", **edits):
    """A copy of a package in `folder`; in each file named, some text is put for another."""
    place = folder / package
    shutil.copytree(PACKAGES[package], place, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (old, new) in edits.items():
        file = place / (name.replace("__", "/") + ".py")
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
    return folder


def python(folder, *words, status=0, **variables):
    """What Python prints with `folder` first on its path, and the lines that stderr gets."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]), **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("robust_reps_ext: ")]
    return done.stdout, told


def test_the_published_ones_are_known():
    assert known.digests([*PACKAGES.values()]).keys() == known.DIGESTS.keys()
    for file, each in known.digests([*PACKAGES.values()]).items():
        assert set(each) <= set(known.DIGESTS[file])
    assert not known.left_alone("robustness")
    assert not known.left_alone("cox")
    relied = {one for each in known.RELIES_ON.values() for one in each}
    assert relied | known.RELIES_ON.keys() <= known.MENDED.keys()


def test_the_digest_is_of_the_text_not_of_how_its_lines_end(tmp_path):
    copied(tmp_path)
    for file in (tmp_path / "robustness").rglob("*.py"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"  \r\n"))
    found = known.digests([tmp_path / "robustness"])
    assert found == known.digests([PACKAGES["robustness"]])


def test_training_with_an_optimizer_of_ones_own(tmp_path):
    folder = copied(tmp_path, train=(SGD, ADAMW))
    code = TRAIN.format(out=str(tmp_path))
    out, told = python(folder, "-c", code, ROBUST_REPS_EXT_CUDA_NOOP="1")
    assert out.splitlines()[-3:] == ["AdamW", "True True True", "False False False"]
    told = [line for line in told if "CUDA_NOOP" not in line]
    assert len(told) == 1
    assert ", robustness/train.py is not as published" in told[0]
    assert "without mends: robustness.train, robustness.main (" in told[0]


@pytest.mark.slow
def test_the_command_of_a_copy_is_its_own(tmp_path):
    folder = copied(tmp_path, train=(SGD, ADAMW))
    out, told = python(folder, "-m", "robustness.main", "--help")
    assert "--resume" in out
    assert "--seed" not in out
    assert len(told) == 1


@pytest.mark.slow
def test_what_relies_on_an_edited_file_is_left_alone_with_it(tmp_path):
    folder = copied(
        tmp_path, attacker=("class Attacker(", "EDITED = 1\nclass Attacker("),
        imagenet_models__vgg=("class VGG(", "EDITED = 1\nclass VGG("),
    )  # fmt: skip
    code = """
import robustness.main
from robustness import attacker, train, datasets, model_utils, imagenet_models
from robustness.tools import helpers
from robust_reps_ext.upstream import known
print(*known.left_alone("robustness"))
print("robust_reps_ext" in helpers.accuracy.__module__, attacker.Attacker.forward.__module__)
import robust_reps_ext as rr, torch
try:
    rr.load_model(torch.nn.Identity())
except rr.InputError as error:
    print(error)
"""
    out, told = python(folder, "-c", code)
    left, mended, refused = out.splitlines()
    assert left.split() == [
        *("robustness.imagenet_models", "robustness.attacker", "robustness.train"),
        *("robustness.model_utils", "robustness.main"),
    ]
    assert mended == "True robustness.attacker"
    assert "robustness.attacker" in refused
    assert "robustness/attacker.py is not as published" in refused
    assert len(told) == 1
    assert "attacker.py" in told[0]
    assert "vgg.py" in told[0]


def test_an_edited_cox(tmp_path):
    folder = copied(tmp_path, "cox", utils=("class Parameters", "EDITED = 1\nclass Parameters"))
    code = """
import cox.utils, cox.store, cox.readers
from robust_reps_ext.upstream import known
print(cox.utils.mkdirp.__module__, cox.store.Store.__init__.__module__)
print(*known.left_alone("cox"), "robustness.main" in known.left_alone("robustness"))
"""
    out, told = python(folder, "-c", code)
    left = "cox.utils cox.store cox.readers cox.tensorboard_view True"
    assert out.splitlines() == ["cox.utils cox.store", left]
    assert len(told) == 1
    assert "cox/utils.py is not as published" in told[0]


@pytest.mark.slow
def test_the_doctor_names_what_is_left_alone(tmp_path):
    folder = copied(tmp_path, train=(SGD, ADAMW))
    out, _ = python(folder, "-m", "robust_reps_ext", "doctor", "--json")
    found = json.loads(out)
    left = {one["module"]: one["why"] for one in found["mends"] if one["status"] == "left alone"}
    assert left.keys() == {"robustness.train", "robustness.main"}
    assert left["robustness.train"] == "robustness/train.py is not as published"
    assert found["healthy"]
    assert {"robustness.attacker", "robustness.datasets"} <= {
        one["module"] for one in found["mends"] if one["status"] == "applied"
    }


def test_a_function_replaced_in_cox_before_us_stays_replaced(tmp_path):
    code = f"""
import sys; sys.path[:] = {sys.path!r}
sys.meta_path[:] = [one for one in sys.meta_path if type(one).__name__ != "_Waiting"]
import cox.utils
def mine(*args): return "mine"
cox.utils.mkdirp = mine
from robust_reps_ext.upstream import hook
hook.install()
print(cox.utils.mkdirp is mine, cox.utils.override_json.__module__)
"""
    out, told = python(tmp_path, "-S", "-c", code)
    assert out.split() == ["True", "cox.utils"]
    assert len(told) == 1
    assert "mkdirp was replaced before robust_reps_ext was imported" in told[0]


@pytest.mark.slow
@pytest.mark.parametrize("patched", [True, False])
def test_what_was_replaced_before_us_stays_replaced(tmp_path, patched):
    site = f"import sys; sys.path[:] = {sys.path!r}\nimport importlib"
    code = f"""
{site}
names = {[*known.MENDED][:-1]!r}
import robust_reps_ext.upstream.mends.torchvision_models_utils as stand_in
sys.meta_path[:] = [one for one in sys.meta_path if type(one).__name__ != "_Waiting"]
sys.modules["torchvision.models.utils"] = stand_in
for name in names:
    importlib.import_module(name)
from robustness import attacker, train
def mine(*args): return "mine"
if {patched}:
    train.make_optimizer_and_schedule = mine
    attacker.AttackerModel.forward = mine
from robust_reps_ext.upstream import hook, known
hook.install()
print(*known.left_alone("robustness"))
print(train.make_optimizer_and_schedule.__module__, attacker.AttackerModel.forward.__module__)
"""
    out, told = python(tmp_path, "-S", "-c", code)
    left, whose = out.splitlines()[-2:]
    if patched:
        assert left.split() == [
            *("robustness.attacker", "robustness.train", "robustness.model_utils"),
            "robustness.main",
        ]
        assert whose == "__main__ __main__"
        assert len(told) == 1
        assert "make_optimizer_and_schedule was replaced before robust_reps_ext" in told[0]
    else:
        assert (left, told) == ("", [])
        assert whose.count("robust_reps_ext") == 2
