"""Makes what lies here beside it: files of every kind that a run leaves, finished and half done.

``python make.py OUT`` with the version whose files are wanted. Everything is written in a
temporary folder under relative names, so that no file names a folder of this machine. What goes
into OUT is cut down: no pictures, no tensorboard; large files are packed with gzip.
"""

from __future__ import annotations

import functools
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import tiny
import torch
from robustness import train
from robustness.datasets import DATASETS
from safetensors.torch import save_file

import robust_reps_ext as rr
from robust_reps_ext import cli
from robust_reps_ext.experiments.paper import run_paper
from robust_reps_ext.experiments.paper_units import UNITS

HERE = Path(__file__).resolve().parent

INVERT = (
    "invert --model exact.safetensors --arch exact --dataset critters --n 3 --iterations 4 "
    "--step-size 0.5 --batch-size 1 --device cpu --out {}"
)
EVALUATE = (
    "evaluate --model exact.safetensors --model other.safetensors --arch exact "
    "--dataset critters --eps 1 --attack-steps 2 --device cpu --out evaluate"
)
ACTIVATIONS = (
    "activations --model exact.safetensors --arch exact --dataset critters --coordinates 1,3 "
    "--k 2 --iterations 3 --device cpu --out activations"
)
EVERY = (
    "activations --model exact.safetensors --arch exact --dataset critters --all --k 1 "
    "--device cpu --out activations-all"
)
CRITTERS = "critters critters --layout folder --size 24 --per-class 1 --seed 5"
TRAIN = (
    "--dataset critters --arch exact --adv-train 1 --constraint 2 --eps 0.5 --attack-lr 0.25 "
    "--attack-steps 2 --epochs 2 --batch-size 6 --workers 0 --seed 3 --lr 0.05 --out-dir training "
    "--data cache/robust-reps-ext --exp-name {}"
)
PAPER = {
    "images": 1, "pairs": 1, "steps": 2, "iterations": 4, "feature_iterations": 2,
    "addition_iterations": 2, "seeds": 2, "coordinates": 2, "radii": (2.0, 8.0), "tested": 6,
    "attack_steps": (1, 2),
}  # fmt: skip
AMOUNTS = {
    "images": 2, "gallery": 4, "pairs": 2, "steps": 2, "coordinates": 2, "starts": 2,
    "additions": 2, "iterations": 2, "addition_iterations": 2, "radii": (4.0, 16.0),
    "precision": "float32", "eps": 0.5,
}  # fmt: skip
ROBUSTIFY = {
    "n": 9, "shard_size": 3, "seed": 2, "iterations": 3, "schedule": "cosine-momentum",
}  # fmt: skip
INVERSION = {"iterations": 6, "step_size": 0.5, "batch_size": 1, "frames": 3, "seed": 4}

# Other experiments, which also keep their place: each on two small images.
CALLS = {
    "visualized": lambda model, x, **given: rr.visualize(
        model, coordinates=[2], seeds=x[:1], transform="jitter:2,rotate",
        parameterization="fourier", iterations=5, **given,
    ).synthesis,
    "added": lambda model, x, **given: rr.add_feature(
        model, x[:1], coordinate=2, iterations=5, step_size=0.05, **given
    ),
    "interpolated": lambda model, x, **given: rr.interpolate(
        model, x[:1], x[1:], steps=2, iterations=5, step_size=0.3, **given
    ).synthesis,
}  # fmt: skip

# Forward passes and steps after which the runs are interrupted.
AT = {
    "invert": 17, "evaluate": 18, "paper": 7, "robustify": 6, "scorecard": 20, "inversion": 9,
    "others": 3,
}  # fmt: skip
STEPS_IN_AN_EPOCH = tiny.N_TRAIN // 6


class Stop(Exception):
    """What a run is left with that keeps whole parts only."""


def data():
    return DATASETS["critters"]()


def network(seed, data_set):
    classes = data_set.num_classes
    return rr.load_model(tiny.Exact(classes, seed), dataset=data_set)


def targets():
    images = data().make_loaders(0, 2, only_val=True, shuffle_val=False)[1]
    return next(iter(images))[0][..., ::2, ::2]


# -- how runs are left -----------------------------------------------------------------------------


@contextmanager
def interrupted(passes):
    """SIGINT at the forward pass of that number."""
    forward, began = tiny.Exact.forward, tiny.Exact.passes

    # Its call stays what it was: it is looked at, and recorded.
    @functools.wraps(forward)
    def counted(self, *given, **options):
        found = forward(self, *given, **options)
        if tiny.Exact.passes == began + passes:
            os.kill(os.getpid(), signal.SIGINT)
        return found

    tiny.Exact.forward = counted
    try:
        yield
    finally:
        tiny.Exact.forward = forward


def command(line, status=0):
    sys.argv = ["robust-reps", *line.split()]
    try:
        cli.main()
    except SystemExit as end:
        if (end.code or 0) == status:
            return
    raise AssertionError(line)


def left_at(told, error=None):
    """A progress that ends the run when it is told for that time."""
    times = []

    def progress(*now):
        times.append(now)
        if len(times) == told:
            if error is not None:
                raise error
            os.kill(os.getpid(), signal.SIGINT)

    return progress


def left(call, *errors):
    try:
        call()
    except errors:
        return
    raise AssertionError("it was not left")


def train_until(step, number, words):
    """robustness.main, which gets a signal at the training step of that number; 0 for none."""
    steps, upstream = [], train.train_model

    def hook(model, at, loop_type, images, labels):
        if loop_type == "train":
            steps.append(at)
            if len(steps) == step:
                os.kill(os.getpid(), number)

    def train_model(args, *rest, **named):
        args.iteration_hook = hook
        return upstream(args, *rest, **named)

    train.train_model = train_model
    sys.exit(tiny.main(words))


def training(name, step, number):
    """Train in another process, whose command line, which is recorded, names no folder."""
    words = ["python", "-m", "make", "--train", str(step), str(int(number))]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": found}
    ended = subprocess.run([*words, *TRAIN.format(name).split()], env=environment)
    expected = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, 0: 0}[number]
    assert ended.returncode == expected, ended.returncode


# -- what is made ----------------------------------------------------------------------------------


def paper(out, watch=None):
    found = data()
    pair = [network(seed, found) for seed in (1, 2)]
    return run_paper(*pair, found, out, watch=watch, **PAPER)


def scorecard(trials, progress=None):
    found = DATASETS["critters_fine"]()
    robust, standard, judge = (network(seed, found) for seed in (1, 2, 3))
    return rr.scorecard(
        robust, standard, found, judge=judge, trials=trials, progress=progress, **AMOUNTS
    )


def robustify(out, progress=False):
    found = data()
    return rr.robustify(network(1, found), found, out, progress=progress, **ROBUSTIFY)


def invert(place=None, progress=False):
    found = data()
    given = {} if place is None else {"place": place}
    return rr.invert(network(1, found), targets(), progress=progress, **INVERSION, **given)


def watching(stop_at, told):
    @contextmanager
    def watch(unit):
        yield left_at(told) if unit.id == stop_at else False

    return watch


def make_all():
    """In the current folder."""
    for seed, name in enumerate(("exact", "other")):
        save_file(tiny.Exact(9, seed).state_dict(), f"{name}.safetensors")

    command(INVERT.format("invert"))
    with interrupted(AT["invert"]):
        command(INVERT.format("invert-interrupted"), 130)
    with interrupted(AT["evaluate"]):
        command(EVALUATE, 130)
    command(ACTIVATIONS)
    command(EVERY)
    command(CRITTERS)

    left(lambda: paper("paper", watching(UNITS[1].id, AT["paper"])), KeyboardInterrupt)
    left(
        lambda: scorecard("scorecard/trials", left_at(AT["scorecard"], Stop())),
        Stop,
    )
    left(lambda: robustify("robust_data", left_at(AT["robustify"], Stop())), Stop)

    Path("synthesis").mkdir()
    invert().save("synthesis/inversion.safetensors")
    left(
        lambda: invert("synthesis/inversion.place", left_at(AT["inversion"])),
        KeyboardInterrupt,
    )

    for name, call in CALLS.items():
        left(
            lambda name=name, call=call: call(
                network(1, data()),
                targets(),
                place=f"synthesis/{name}.place",
                progress=left_at(AT["others"]),
            ),
            KeyboardInterrupt,
        )

    training("between", STEPS_IN_AN_EPOCH + 1, signal.SIGKILL)
    training("midway", STEPS_IN_AN_EPOCH + 2, signal.SIGINT)


def numbers(tensor):
    return {
        "sum": float(tensor.double().sum()),
        "norm": float(tensor.double().norm()),
        "some": tensor.flatten()[:: max(1, tensor.numel() // 8)].tolist(),
    }


def expected():
    """What undisturbed runs end with."""
    found = {"torch": torch.__version__, "version": rr.__version__}

    [store] = Path("invert").iterdir()
    runs = [rr.Synthesis.load(path) for path in sorted(store.glob("*.safetensors"))]
    whole = rr.Synthesis.joined(runs)
    found["invert"] = {"objective": whole.objective.tolist()}

    run = rr.Synthesis.load("synthesis/inversion.safetensors")
    found["synthesis"] = {"objective": run.objective.tolist(), "images": numbers(run.images)}

    found["others"] = {
        name: call(network(1, data()), targets()).objective.tolist() for name, call in CALLS.items()
    }

    units = paper("whole-paper")
    found["paper"] = {
        "units": [unit.manifest["id"] for unit in units],
        "objectives": {
            unit.manifest["id"]: {
                name: rr.Synthesis.load(unit.path / f"{name}.safetensors").objective.tolist()
                for name in unit.manifest["runs"]
            }
            for unit in units[:3]
        },
        "eps": next(u for u in units if u.manifest["id"] == "tables").manifest["facts"]["eps"],
    }

    card = scorecard("whole-scorecard")
    card.save("scorecard/finished")
    found["scorecard"] = {
        "trials": {
            path.name: json.loads(path.read_text("utf-8"))
            for path in sorted(Path("whole-scorecard").glob("*-*.json"))
        },
        "verdicts": card.verdicts(),
    }

    index = robustify("whole-robust_data")
    found["robust_data"] = {
        "shards": [shard.name for shard in index.shards],
        "images": index.images,
        "distance": index.distance,
    }

    training("whole", 0, 0)
    kept = torch.load("training/whole/checkpoint.pt.latest", weights_only=True)
    found["training"] = {
        "model": {name: numbers(one) for name, one in kept["model"].items()},
        "log": {name: value for name, value in kept["log"].items() if name != "time"},
    }

    command(EVALUATE.replace("--out evaluate", "--out whole-evaluate"))
    record = next(Path("whole-evaluate").glob("*/records/accuracy.json"))
    rows = json.loads(record.read_text("utf-8"))["rows"]
    found["evaluate"] = [
        {name: row[name] for name in ("model", "attack", "correct", "n")} for row in rows
    ]
    return found


# -- into OUT --------------------------------------------------------------------------------------

FOLDERS = (
    "activations", "activations-all", "critters", "evaluate", "invert", "invert-interrupted",
    "paper", "robust_data", "scorecard", "synthesis", "training",
)  # fmt: skip
LEFT_OUT = (
    "*.png", "*.pdf", "*.html", "tensorboard", "report", "train", "val", "whole", "*_checkpoint.pt",
    "checkpoint.pt.best",
)  # fmt: skip


def pack(out):
    for name in FOLDERS:
        shutil.rmtree(out / name, ignore_errors=True)
        shutil.copytree(name, out / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.rmtree(out / "cache", ignore_errors=True)
    shutil.copytree("cache/robust-reps-ext", out / "cache" / "robust-reps-ext")
    for name in ("exact.safetensors", "other.safetensors"):
        shutil.copy(name, out)
    for name in (*FOLDERS, "cache"):
        for path in [one for one in (out / name).rglob("*") if one.is_file()]:
            if path.stat().st_size > 2**13 and path.name != "checkpoint.pt.latest":
                packed = path.with_name(f"{path.name}.gz")
                packed.write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
                path.unlink()


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    out = out.resolve()
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        os.environ |= {
            "XDG_CACHE_HOME": str(Path(work, "cache")),
            "MPLBACKEND": "Agg",
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
        }
        torch.set_num_threads(1)
        DATASETS.update(tiny.TINY)
        make_all()
        (out / "expected.json").write_text(json.dumps(expected(), indent=1) + "\n")
        pack(out)
        os.chdir(out)


if __name__ == "__main__":
    if sys.argv[1] == "--train":
        DATASETS.update(tiny.TINY)
        train_until(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    else:
        main(Path(sys.argv[1]))
