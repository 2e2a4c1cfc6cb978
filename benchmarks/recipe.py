"""Robust accuracy against minutes of training, beside upstream's recipe.

    python benchmarks/recipe.py --data DIR --out OUT            # on the folder of Tiny ImageNet
    python benchmarks/recipe.py --data DIR --out OUT --minutes 12 --threads 1

Each run trains `photographs_resnet` from new weights, for so many minutes by the clock, the last of
a recipe for ``--minutes``, the others for a half to a sixteenth of them: by the
preset ``photographs_robust``, or as the paper does (Tables 2 and 3: SGD of 0.1, divided by ten
after 30 and 60 of 110 parts of the run, PGD-7 of eps / 6 from a random start, no averages, 64
pixels throughout), at the same radius, on the same batches of 128. Both attack the copy of the
network (``--fast 1``) that makes PGD cheap, so what differs is the recipe. The last point is that
of three seeds. PGD-20 of eps / 8 is tried on 1,000 validation images.

Runs that are finished are kept in OUT and not made again; the table and the figure are made of all
that are there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from robustness.attacker import AttackerModel
from robustness.train import train_model
from timing import machine

import robust_reps_ext as rr
from robust_reps_ext.datasets.photograph_networks import photographs_resnet
from robust_reps_ext.datasets.samples import open_data_set, validation_samples
from robust_reps_ext.upstream.training.presets import preset_path

EPS = 1.0
SHARES = {"ours": (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1), "upstream": (1 / 4, 1 / 2, 1)}
SEEDS = 3
BATCH = 128
TESTED = 1000
PARTS = 110  # epochs of Table 2
DROPS = ((0, 1.0), (30, 0.1), (60, 0.01))


class Part:
    """So many batches of a loader as an epoch, going on where the one before has ended."""

    def __init__(self, loader: Any, steps: int) -> None:
        self.loader, self.steps = loader, steps
        self.batches = self._endless()

    def _endless(self) -> Iterator[Any]:
        while True:
            yield from self.loader

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.steps):
            yield next(self.batches)


def main() -> None:
    """Make what is missing, then show all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", required=True, help="folder of Tiny ImageNet")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=list(SHARES), help="runs of one recipe")
    parser.add_argument("--minutes", type=float, default=24, help="of the longest runs")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    data = open_data_set("tiny_imagenet", args.data)
    for recipe in [args.only] if args.only else SHARES:
        for share in SHARES[recipe]:
            minutes = share * args.minutes
            for seed in range(SEEDS if share == 1 else 1):
                kept = args.out / f"{recipe}-{minutes:g}-{seed}.json"
                if not kept.exists():
                    found = one_run(data, recipe, minutes, seed) | {"machine": machine()}
                    kept.write_text(json.dumps(found, indent=2) + "\n")
                    print(json.dumps(found))
    show(args.out)


def one_run(data: Any, recipe: str, minutes: float, seed: int) -> dict[str, Any]:
    """Train for so many minutes, and try what comes out."""
    torch.manual_seed(seed)
    loaders = data.make_loaders(0, BATCH)
    model = AttackerModel(photographs_resnet(data.num_classes), data)
    model.to(memory_format=torch.channels_last)
    args = Namespace(
        **json.loads(Path(preset_path("photographs_robust")).read_text()),
        minutes=minutes, out_dir=tempfile.mkdtemp(), random_restarts=0, adv_eval=0,
        save_ckpt_iters=-1, fast=1,
    )  # fmt: skip
    args.seed, args.epochs, args.log_iters = seed, PARTS, PARTS + 1
    steps = len(loaders[0])
    if recipe == "upstream":
        vars(args).update(
            attack_steps=7, attack_lr=EPS / 6, lr=0.1, custom_lr_multiplier=str(list(DROPS)),
            random_radius="surface", nesterov=0, decay_norms=1, label_smoothing=0, ema=None,
            image_sizes=None, eps_warmup=0,
        )  # fmt: skip
        steps = max(1, round(60 * minutes / seconds_of_a_step(args, model, loaders) / PARTS))
        torch.manual_seed(seed)
        model.load_state_dict(
            AttackerModel(photographs_resnet(data.num_classes), data).state_dict()
        )
    begun = time.monotonic()
    with quiet():
        train_model(args, model, (Part(loaders[0], steps), Part(loaders[1], 1)))
    spent = time.monotonic() - begun
    tested = validation_samples(data, TESTED, seed=1)
    clean, attacked = rr.evaluate(
        model,
        list(zip(tested.images.split(BATCH), tested.labels.split(BATCH), strict=True)),
        eps=EPS,
        attack_steps=[20],
    )
    return {
        "recipe": recipe,
        "minutes": minutes,
        "spent": round(spent / 60, 2),
        "seed": seed,
        "clean": clean.share,
        "PGD-20": attacked.share,
    }


def seconds_of_a_step(args: Namespace, model: AttackerModel, loaders: Any) -> float:
    """What the schedule of a recipe that goes by epochs has to know beforehand."""
    few = Part(loaders[0], 4)
    begun = time.monotonic()
    with quiet():
        train_model(
            Namespace(**{**vars(args), "epochs": 1, "minutes": None}),
            model,
            (few, Part(loaders[1], 1)),
        )
    return (time.monotonic() - begun) / len(few)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the bars of upstream's loop."""
    with open("/dev/null", "w") as nothing, contextlib.redirect_stderr(nothing):
        yield


def show(out: Path) -> None:
    """The table, and the figure ``recipe.png``."""
    runs = [json.loads(path.read_text()) for path in sorted(out.glob("*-*-*.json"))]
    runs.sort(key=lambda run: (run["recipe"], run["minutes"], run["seed"]))
    print("| recipe | minutes | seed | clean | PGD-20 |\n|---|---|---|---|---|")
    for run in runs:
        shares = (f"{100 * run[name]:.1f}%" for name in ("clean", "PGD-20"))
        print(f"| {run['recipe']} | {run['minutes']:g} | {run['seed']} | {' | '.join(shares)} |")

    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    for recipe, mark, label in (
        ("ours", "o-", "photographs_robust"),
        ("upstream", "s--", "Tables 2 and 3"),
    ):
        points: dict[float, list[float]] = {}
        for run in runs:
            if run["recipe"] == recipe:
                points.setdefault(run["minutes"], []).append(100 * run["PGD-20"])
        means = {minutes: sum(some) / len(some) for minutes, some in points.items()}
        axes.plot(list(means), list(means.values()), mark, label=label)
        for minutes, some in points.items():
            axes.plot([minutes] * len(some), some, mark[0], color="grey", markersize=3)
    axes.set(xlabel="minutes of training", ylabel="accuracy under PGD-20 (%)")
    minutes = sorted({run["minutes"] for run in runs})
    axes.set(xscale="log", ylim=(0, None))
    axes.set_xticks(minutes, [f"{each:g}" for each in minutes])
    axes.set_xticks([], minor=True)
    axes.legend(frameon=False)
    figure.savefig(out / "recipe.png", dpi=200)
    print(out / "recipe.png")


if __name__ == "__main__":
    main()
