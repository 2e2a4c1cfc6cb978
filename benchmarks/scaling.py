"""Weak scaling: one process on one core against several, the same work for each process.

``python benchmarks/scaling.py train`` times steps of adversarial training (PGD-7 on the network of
the bundled models, critters' size, images in memory) in a process of its own and in as many as
torchrun starts, in turns, each process bound to one core. Efficiency is the one's time a step over
the other's; below 1 lies what averaging gradients costs, and what the cores share. What they share
is told by as many processes at once that know nothing of each other.

``python benchmarks/scaling.py sweep`` does the same with inversions by `critters-robust`, from the
first part that is claimed to the last that is on the disk; a step is then one of PGD.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from itertools import chain, pairwise
from pathlib import Path

import torch
from robustness import train
from robustness.attacker import AttackerModel
from timing import machine
from torch.utils.data import DataLoader, TensorDataset

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.datasets.critters import CrittersFineDataSet
from robust_reps_ext.results.store import ExperimentStore
from robust_reps_ext.upstream import distributed
from robust_reps_ext.upstream.distributed.batches import parts_of

WARM_UP = 3
# Of a sweep, for each process.
PARTS = 4
# The preset critters_fine_robust, with the attack of the paper's length.
TRAINING = {
    "epochs": 1,
    "lr": 0.04,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "seed": 0,
    "adv_train": 1,
    "constraint": "2",
    "eps": 4.0,
    "attack_lr": 1.6,
    "attack_steps": 7,
    "use_best": 0,
    "random_start": 1,
    "random_restarts": 0,
    "log_iters": 0,
    "save_interval": 0,
}


def launch(options: Namespace, torchrun: int = 1, apart: int = 1) -> float:
    """Do the work in processes of one run, or in runs of one; the median of a step's seconds."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(torchrun)]
    command = [sys.executable, *(launcher if torchrun > 1 else ()), __file__, options.what]
    command += ["--steps", str(options.steps), "--batch", str(options.batch)]
    command += ["--sync-bn", str(options.sync_bn)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as root:
        folders = [Path(root, str(core)) for core in range(apart)]
        runs = []
        for core, folder in enumerate(folders):
            folder.mkdir()
            places = ["--in", str(folder), "--core", str(core)]
            runs.append(
                subprocess.Popen([*command, *places], stderr=subprocess.DEVNULL, env=environment)
            )
        ends = [run.wait() for run in runs]
        if any(ends):
            raise SystemExit("a process failed")
        times = [json.loads((folder / "times.json").read_text()) for folder in folders]
        return statistics.median(chain.from_iterable(times))


def work(options: Namespace) -> None:
    """What one process does; the first notes the seconds of its steps."""
    torch.manual_seed(0)
    with distributed.process_group():
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[(options.core + distributed.rank()) % len(cores)]})
        torch.set_num_threads(1)
        times = {"train": training, "sweep": sweep}[options.what](options)
        if distributed.is_main():
            Path(options.folder, "times.json").write_text(json.dumps(times))


def training(options: Namespace) -> list[float]:
    """Train on this process' part of each batch, and note when each step ended."""
    dataset = CrittersFineDataSet()
    batch = options.batch * distributed.size()
    count = batch * (options.steps + WARM_UP)
    images = TensorDataset(torch.rand(count, 3, 64, 64), torch.randint(162, (count,)))
    few = TensorDataset(*images[: distributed.size()])
    loaders = parts_of((DataLoader(images, batch), DataLoader(few, batch)))
    ends: list[float] = []
    args = Namespace(
        **TRAINING,
        out_dir=options.folder,
        sync_bn=options.sync_bn,
        iteration_hook=lambda *call: ends.append(time.perf_counter()),
    )
    model = AttackerModel(dataset.get_model("critters_resnet"), dataset)
    train.train_model(args, model, loaders)
    times = [after - before for before, after in pairwise(ends)]
    return times[WARM_UP - 1 : WARM_UP - 1 + options.steps]


def sweep(options: Namespace) -> list[float]:
    """Invert parts of a whole until none is left, and note the time of a step of a part."""
    model = rr.load_model("critters-robust")
    images = critters.draw(options.batch, seed=1).images / 255
    given = {"step_size": 1.0, "batch_size": options.batch, "progress": False}
    rr.invert(model, images, iterations=WARM_UP, **given)
    total = PARTS * distributed.size() * options.batch
    distributed.wait_for_all()
    began = time.perf_counter()
    settings = {"iterations": options.steps, "n": total}
    with ExperimentStore.resume(options.folder, experiment="sweep", settings=settings) as store:
        with store.parts("inversion", total, options.batch) as parts:
            for part in parts:
                found = rr.invert(
                    model, images, iterations=options.steps, first=part.first, **given
                )
                store.add(part, found)
    return [(time.perf_counter() - began) / (PARTS * options.steps)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["train", "sweep"])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="launches of each side")
    parser.add_argument("--steps", type=int, default=20, help="steps that count, a launch")
    parser.add_argument("--batch", type=int, default=32, help="images of each process")
    parser.add_argument("--sync-bn", type=int, default=0, choices=[0, 1])
    parser.add_argument("--in", dest="folder", help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        work(options)
        return
    print(machine(), flush=True)
    n = options.processes
    sides = {
        "1 process": {},
        f"{n} processes of torchrun": {"torchrun": n},
        f"{n} processes, each by itself": {"apart": n},
    }
    times: dict[str, list[float]] = {side: [] for side in sides}
    for i in range(options.rounds):
        for side in list(sides)[:: 1 if i % 2 else -1]:
            times[side].append(launch(options, **sides[side]))
    alone, *several = times.values()
    for side, seconds in times.items():
        print(
            f"{side}: {1000 * statistics.median(seconds):.0f} ms a step of {options.batch} images "
            f"each ({1000 * min(seconds):.0f} to {1000 * max(seconds):.0f})"
        )
    for side, seconds in zip(list(times)[1:], several, strict=True):
        pairs = [one / many for one, many in zip(alone, seconds, strict=True)]
        print(
            f"efficiency of {side}: {statistics.median(pairs):.3f} "
            f"({min(pairs):.3f} to {max(pairs):.3f} over {options.rounds} pairs)"
        )


if __name__ == "__main__":
    main()
