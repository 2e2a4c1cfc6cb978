"""Metamers beside plenoptic's: how near each comes to a layer's activations, when, in what memory.

    python benchmarks/metamers.py --images DIR --minutes 10 --out OUT
    python benchmarks/metamers.py --model photographs-robust --layer body.8,penultimate --n 4

The same network, layers, targets and starts for all. Ours are `rr.invert` as it comes, as
`rr.metamers` calls it, the same with 500 steps, and by ``schedule="feather"``, which is the
published way. plenoptic (see `requirements.txt`) is as it comes, as its page on Feather et al. 2023
makes metamers of a ResNet-50 (Adam, whose steps are halved every 3,000, or at the last stage from
longer ones every 5,000; 12,000 in all), and by the L-BFGS of its page of tips, one image after the
other. Its coarse-to-fine way is for models that have scales, which a layer has not.

One measure for all, of none of them: ||A(x) - A(target)|| / ||A(target)|| in float32, of images
clamped to [0, 1]; plenoptic penalises values outside instead, so its images are also measured as
it left them. Each side has a process of its own, begins its clock at its call, and is given up
after `--minutes`. ``--processor-time`` counts the processor's seconds, for a busy machine. With
`--out` the same command, also one with other sides or layers, goes on with what is there.

`--model` is a bundled model at 64 pixels. `--arch` is one of torchvision's networks, from the
checkpoint `--weights`, else with random weights. Images are files of `--images`, else critters.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from timing import machine

__all__ = ["main", "moments", "reached", "rows"]

SEED = 0
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
MIB = 2**20
LEVELS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
NAMES = {
    "invert": "`rr.invert`",
    "metamers": "`rr.metamers`",
    "longer": "`rr.metamers`, 500 steps",
    "feather": '`schedule="feather"`',
    "plenoptic": "plenoptic as it comes",
    "plenoptic-adam": "plenoptic, Adam of its page",
    "plenoptic-lbfgs": "plenoptic, L-BFGS of its tips",
}


def main() -> None:
    """A table and a figure for each layer."""
    given = asked()
    torch.set_num_threads(given.threads)
    if given.side:
        print(json.dumps(one_side(given, *given.side.split(":"))))
        return
    found = kept(given)
    print(f"{machine()}; {given.n} images, given up after {given.minutes} minutes")
    for layer in given.layer.split(","):
        there = {one["side"] for one in found.setdefault(layer, [])}
        for side in (one for one in given.sides.split(",") if one not in there):
            command = [sys.executable, __file__, *sys.argv[1:], "--side", f"{side}:{layer}"]
            output = subprocess.check_output(command, text=True)
            found[layer].append(json.loads(output.splitlines()[-1]))
            found[layer].sort(key=lambda one: [*NAMES].index(one["side"]))
            if given.out:
                given.out.mkdir(parents=True, exist_ok=True)
                told = {"machine": machine(), "made_with": made_with(given), "layers": found}
                given.out.joinpath("metamers.json").write_text(json.dumps(told), "utf-8")
        tables = [*rows(found[layer]), "", *moments(found[layer])]
        print(f"\n{layer}\n", *tables, sep="\n", flush=True)
    if given.out:
        figure(found, "processor " * given.processor_time + "seconds", given.out / "metamers.svg")


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a bundled model; default: --arch")
    parser.add_argument("--arch", default="resnet50", help="torchvision's name")
    parser.add_argument("--weights", help="checkpoint of --arch; default: random weights")
    parser.add_argument("--layer", default="layer3,penultimate", help="names, with commas")
    parser.add_argument("--images", type=Path, help="folder of image files; default: critters")
    parser.add_argument("--n", type=int, default=1, help="images")
    parser.add_argument("--size", type=int, help="default: 224, of a bundled model 64")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each side and layer")
    parser.add_argument("--sides", default=",".join(NAMES), help="some of the sides, with commas")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--out", type=Path, help="folder for metamers.json and metamers.svg")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    return parser.parse_args()


def made_with(given: argparse.Namespace) -> dict[str, Any]:
    """What decides the numbers, as JSON holds it."""
    apart = ("out", "side", "sides", "layer")
    return {name: str(value) for name, value in vars(given).items() if name not in apart}


def kept(given: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """What is there of the same command, by layer."""
    path = given.out and given.out / "metamers.json"
    if not path or not path.is_file():
        return {}
    told = json.loads(path.read_text("utf-8"))
    if told["made_with"] != made_with(given):
        raise SystemExit(f"{path} was made with {told['made_with']}: give another --out")
    found: dict[str, list[dict[str, Any]]] = told["layers"]
    return found


def one_side(given: argparse.Namespace, side: str, layer: str) -> dict[str, Any]:
    """In a process of its own: what loads torch's and plenoptic's parts comes before the clock."""
    from metamer_sides import THEIRS, measured

    import robust_reps_ext as rr
    from robust_reps_ext.datasets import critters

    if side in THEIRS:
        import plenoptic  # noqa: F401
    size = given.size or (64 if given.model else 224)
    if given.model:
        model = rr.load_model(given.model)
    elif given.weights:
        model = rr.load_model(given.weights, arch=given.arch, normalize=IMAGENET)
    else:
        import torchvision

        torch.manual_seed(SEED)
        model = rr.load_model(torchvision.models.get_model(given.arch), normalize=IMAGENET)
    if given.images:
        paths = sorted(path for path in given.images.rglob("*") if path.is_file())
        targets = rr.load_images(paths[:: max(1, len(paths) // given.n)][: given.n], size=size)
    else:
        targets = critters.draw(given.n, seed=1, size=size).images / 255
    clock = time.process_time if given.processor_time else time.perf_counter
    return measured(model, targets, side, layer, given.minutes, clock=clock, seed=SEED)


def reached(curve: Sequence[Sequence[float]], level: float) -> float | None:
    """Seconds after which the mean distance is first at most `level`."""
    return next((seconds for seconds, far in curve if far <= level), None)


def rows(found: Sequence[dict[str, Any]]) -> list[str]:
    """A table in Markdown; the last column is about the best of plenoptic's mean distances."""
    theirs = [one for one in found if one["side"].startswith("plenoptic")]
    best = min(theirs, key=lambda one: _mean(one["distance"]), default=None)
    level = None if best is None else _mean(best["distance"])
    lines = [
        "| | steps | seconds | mean distance | furthest | as it left them | values outside "
        "[0, 1] | peak MiB (grown) | plenoptic's best distance after |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        there = None if level is None else reached(one["curve"], level)
        after = "" if level is None else "not reached" if there is None else f"{there:.1f} s"
        if best is not None and there is not None and one not in theirs:
            whole = min(reached(best["curve"], level or 0.0) or best["seconds"], best["seconds"])
            after += f", 1/{whole / there:.1f} of its time"
        lines.append(
            f"| {NAMES[one['side']]} | {one['steps']}{' (given up)' * one['given up']} | "
            f"{one['seconds']:.1f} | {_mean(one['distance']):.4f} | {max(one['distance']):.4f} | "
            f"{_mean(one['as it left them']):.4f} | {100 * one['outside']:.1f}% | "
            f"{one['peak'] / MIB:.0f} ({one['grown'] / MIB:.0f}) | {after} |"
        )
    return lines


def moments(found: Sequence[dict[str, Any]]) -> list[str]:
    """A table in Markdown: after how many seconds each is at some mean distances."""
    levels = [one for one in LEVELS if any(reached(side["curve"], one) for side in found)]
    lines = [
        f"| seconds until | {' | '.join(map(str, levels))} |",
        "|---" * (len(levels) + 1) + "|",
    ]
    for one in found:
        there = (reached(one["curve"], level) for level in levels)
        cells = ("" if seconds is None else f"{seconds:.1f}" for seconds in there)
        lines.append(f"| {NAMES[one['side']]} | {' | '.join(cells)} |")
    return lines


def figure(found: dict[str, list[dict[str, Any]]], clock: str, path: Path) -> None:
    """Mean distance over time, a panel for each layer."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams["svg.fonttype"], rcParams["svg.hashsalt"] = "none", "metamers"
    drawn = Figure(figsize=(5 * len(found), 3.8), layout="constrained")
    for place, (layer, sides) in zip(
        drawn.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
    ):
        for one in sides:
            few = max(1, len(one["curve"]) // 80)
            seconds, far = zip(*one["curve"][::few], one["curve"][-1], strict=True)
            ours = not one["side"].startswith("plenoptic")
            name = NAMES[one["side"]].replace("`", "")
            place.plot(seconds, far, "-" if ours else "--", label=name, linewidth=1.5)
            place.plot(seconds[-1], far[-1], "k.", markersize=4)
        place.set(xscale="log", yscale="log", xlabel=clock, title=layer)
    drawn.axes[0].set_ylabel("mean distance, relative")
    drawn.axes[0].legend(fontsize="x-small")
    drawn.savefig(path, metadata={"Date": None})


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
