"""What version 0.1 has left: its folders, the commands that go on with them, and how to compare."""

from __future__ import annotations

import gzip
import inspect
import json
import shutil
from pathlib import Path

import pytest

import robust_reps_ext as rr

LEGACY = Path(__file__).parent / "legacy"
EXPECTED = json.loads((LEGACY / "expected.json").read_text("utf-8"))

MODEL = "--model exact.safetensors --arch exact --dataset critters"
INVERT = (
    f"invert {MODEL} --paper --n 3 --iterations 4 --step-size 0.5 --batch-size 1 --device cpu "
    "--out {}"
)
EVALUATE = (
    "evaluate --model exact.safetensors --model other.safetensors --arch exact "
    "--dataset critters --eps 1 --attack-steps 2 --device cpu --out evaluate"
)
ACTIVATIONS = (
    f"activations {MODEL} --paper --coordinates 1,3 --k 2 --iterations 3 --device cpu "
    "--out activations"
)
EVERY = f"activations {MODEL} --paper --all --k 1 --device cpu --out activations-all"
TRAIN = (
    "--dataset critters --arch exact --adv-train 1 --constraint 2 --eps 0.5 --attack-lr 0.25 "
    "--attack-steps 2 --epochs 2 --batch-size 6 --workers 0 --seed 3 --lr 0.05 "
    "--out-dir training --data cache/robust-reps-ext --exp-name {} --resume"
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
# What 0.1 did by default.
INVERSION = {
    "schedule": "paper", "iterations": 6, "step_size": 0.5, "batch_size": 1, "frames": 3, "seed": 4,
}  # fmt: skip
CALLS = {
    "visualized": lambda model, x, **given: rr.visualize(
        model, coordinates=[2], seeds=x[:1], transform="jitter:2,rotate",
        parameterization="fourier", iterations=5, **given,
    ).synthesis,
    "added": lambda model, x, **given: rr.add_feature(
        model, x[:1], coordinate=2, schedule="paper", iterations=5, step_size=0.05, **given
    ),
    "interpolated": lambda model, x, **given: rr.interpolate(
        model, x[:1], x[1:], steps=2, schedule="paper", iterations=5, step_size=0.3, **given
    ).synthesis,
}  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore:the objective has no gradient")


def unpacked(name, where="."):
    """A copy, in a folder, of what is kept under that name."""
    copy = Path(shutil.copytree(LEGACY / name, Path(where, name)))
    for path in copy.rglob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    return copy


def files(folder, pattern="*"):
    """What must not change of what is finished: when each file was written, and its bytes."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in Path(folder).rglob(pattern)
        if path.is_file() and path.stat().st_size
    }


def unchanged(before):
    return before == {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in before}


def page_of(out):
    """The text of the page that shows what is finished in a folder."""
    from robust_reps_ext.report.page import write_report

    # Versions after 0.1.0 are told in which order.
    order = {"order": [*EXPECTED["paper"]["units"], "scorecard"]}
    asked = inspect.signature(write_report).parameters
    return write_report(out, **(order if "order" in asked else {})).read_text("utf-8")


def close(found, expected):
    """Nearly the same numbers: no two processors round alike."""
    return found == pytest.approx(expected, rel=1e-3, abs=1e-3)


def agree(tensor, expected):
    some = tensor.flatten()[:: max(1, tensor.numel() // 8)].tolist()
    said = {"sum": float(tensor.double().sum()), "norm": float(tensor.double().norm())}
    return close(some, expected["some"]) and all(close(said[k], expected[k]) for k in said)
