"""Adversarial training, beside upstream's: ``OMP_NUM_THREADS=2 python benchmarks/training.py``.

PGD-7 by `robustness`' own training loop, attacker, network and loaders, and by ours, in turns: an
epoch of critters on the architecture of the bundled networks, data loading included, and some
batches in memory on a ResNet-50 at 224 pixels. ``--accuracy`` trains one epoch on both sides from
the same weights on the same batches, for several seeds, and compares what comes out; ``--go-on``
begins with the weights of `critters-robust` and their 162 labels, instead of nine animals and none.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import torch
from cox.utils import Parameters
from robustness import attacker, imagenet_models, train
from timing import in_turns, machine, table
from torch import nn
from torchvision import transforms
from upstream_attacker import upstream_module, without_cuda

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import CrittersDataSet, CrittersFineDataSet
from robust_reps_ext.datasets.critters.images import CritterImages
from robust_reps_ext.runtime.precision import is_fast

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ADVERSARY = {"constraint": "2", "attack_steps": 7, "random_start": 1, "random_restarts": 0}
# The presets critters_fine_robust and restricted_imagenet_robust.
CRITTERS = {**ADVERSARY, "eps": 4.0, "attack_lr": 1.6, "use_best": 0, "lr": 0.04}
RESNET = {**ADVERSARY, "eps": 3.0, "attack_lr": 0.5, "use_best": 1, "lr": 0.01}


class Side:
    """One loop's model and optimizer; a call trains for an epoch."""

    def __init__(
        self,
        loop: Callable[..., Any],
        wrapper: ModuleType,
        network: nn.Module,
        dataset: Any,
        options: dict[str, Any],
        loader: Iterable[Any],
    ) -> None:
        self.loop, self.loader = loop, loader
        # A `Parameters` answers None for what is absent; upstream asks that way.
        self.args = Parameters({"mixed_precision": 0, **options})
        self.model = wrapper.AttackerModel(network, dataset).to(DEVICE)
        if self.args.fast:
            self.model.to(memory_format=torch.channels_last)
        self.parallel = nn.DataParallel(self.model)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), options["lr"], momentum=0.9, weight_decay=5e-4
        )

    def __call__(self) -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            self.loop(self.args, "train", self.loader, self.parallel, self.optimizer, 0, True, None)


def sides(
    make: Callable[[ModuleType | None], nn.Module],
    dataset: Any,
    options: dict[str, Any],
    loaders: tuple[Iterable[Any], Iterable[Any]],
    *,
    fast_0: bool = False,
) -> dict[str, Side]:
    """Both sides from the same weights; `make` is given upstream's architectures for its side."""
    theirs = make(upstream_module("imagenet_models"))
    weights = theirs.state_dict()

    def ours(**more: Any) -> Side:
        network = make(None)
        network.load_state_dict(copy.deepcopy(weights))
        return Side(train._model_loop, attacker, network, dataset, {**options, **more}, loaders[1])

    loop, wrapper = upstream_module("train")._model_loop, upstream_module("attacker")
    found = {"robustness": Side(loop, wrapper, theirs, dataset, options, loaders[0])}
    if fast_0:
        found["robust_reps_ext, --fast 0"] = ours(fast=0)
    found["robust_reps_ext, float32"] = ours(fast=1)
    if is_fast(DEVICE):
        found["robust_reps_ext, mixed"] = ours(fast=1, mixed_precision=1)
    return found


def report(found: dict[str, Side], images: int, given: argparse.Namespace) -> None:
    """Time the sides in turns and print their table."""
    clock, what = time.perf_counter, "wall time"
    if given.processor_time:
        clock, what = time.process_time, "processor time"
    with without_cuda():
        times = in_turns(found, given.rounds, clock=clock)
    print(f"{machine()}; {what}, medians of {given.rounds} rounds")
    table(times, "robustness")
    for name, seconds in times.items():
        ratios = sorted(a / b for a, b in zip(seconds, times["robustness"], strict=True))
        print(
            f"{name:28s} {images / statistics.median(seconds):8.1f} images/s; of robustness, round "
            f"by round: {ratios[0]:.3f} to {ratios[-1]:.3f}"
        )


def critters(given: argparse.Namespace) -> None:
    dataset = CrittersFineDataSet()
    plain = transforms.Compose([
        transforms.RandomCrop(64, padding=4, padding_mode="reflect"),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
    ])  # fmt: skip
    size = {"fine": True, "n_train": given.images}
    with contextlib.redirect_stdout(io.StringIO()):
        theirs, _ = upstream_module("loaders").make_loaders(
            given.workers, given.batch, (plain, transforms.ToTensor()), "",
            custom_class=CritterImages, custom_class_args=size,
        )  # fmt: skip
        ours, _ = CrittersFineDataSet(custom_class_args=size).make_loaders(
            given.workers, given.batch
        )
    print(
        f"critters, {given.images} images, batch {given.batch}, {given.workers} workers, PGD-7, "
        "critters_resnet"
    )
    torch.manual_seed(0)
    network = dataset.get_model("critters_resnet")
    report(
        sides(lambda _: copy.deepcopy(network), dataset, CRITTERS, (theirs, ours),
              fast_0=given.fast_0),
        given.images,
        given,
    )  # fmt: skip


def resnet(given: argparse.Namespace) -> None:
    print(
        f"ResNet-50 at 224 pixels, {given.resnet_batches} batches of {given.resnet_batch} in "
        "memory, PGD-7"
    )
    torch.manual_seed(0)
    batches = [
        (torch.rand(given.resnet_batch, 3, 224, 224), torch.randint(9, (given.resnet_batch,)))
        for _ in range(given.resnet_batches)
    ]
    statistics_ = argparse.Namespace(mean=torch.full((3,), 0.5), std=torch.full((3,), 0.25))
    report(
        sides(lambda theirs: (theirs or imagenet_models).resnet50(num_classes=9), statistics_,
              RESNET, (batches, batches), fast_0=given.fast_0),
        given.resnet_batch * given.resnet_batches,
        given,
    )  # fmt: skip


def accuracy(given: argparse.Namespace) -> None:
    """One epoch on both sides, from the same weights, on the same batches."""
    kind = CrittersFineDataSet if given.go_on else CrittersDataSet
    dataset = kind(custom_class_args={"n_train": given.images, "n_val": given.val_images})
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(given.seeds):
        torch.manual_seed(seed)
        network = dataset.get_model("critters_resnet")
        if given.go_on:
            network.load_state_dict(rr.load_model("critters-robust").model.state_dict())
        with contextlib.redirect_stdout(io.StringIO()):
            loader, val = dataset.make_loaders(0, given.batch)
        batches = list(loader)
        both = sides(lambda _, n=network: copy.deepcopy(n), dataset, CRITTERS, (batches, batches))
        for name, side in both.items():
            torch.manual_seed(seed)
            with without_cuda():
                side()
            model = attacker.AttackerModel(side.model.model, dataset)
            with contextlib.redirect_stderr(io.StringIO()):
                args = Parameters({**CRITTERS, "adv_eval": 1, "seed": 0})
                row = train.eval_model(args, model, val, None)
            pair = float(row["nat_prec1"]), float(row["adv_prec1"])
            found.setdefault(name, []).append(pair)
            print(f"seed {seed}, {name:28s} clean {pair[0]:.2f}%, PGD-7 {pair[1]:.2f}%", flush=True)
    print(
        f"{machine()}; one epoch of {given.images} images, {given.val_images} validation images, "
        f"means over {given.seeds} seeds"
    )
    for name, pairs in found.items():
        clean, robust = (statistics.mean(values) for values in zip(*pairs, strict=True))
        off = [
            statistics.mean(a[i] - b[i] for a, b in zip(pairs, found["robustness"], strict=True))
            for i in (0, 1)
        ]
        print(
            f"{name:28s} clean {clean:.2f}% ({off[0]:+.2f} points), PGD-7 {robust:.2f}% "
            f"({off[1]:+.2f} points)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=["critters", "resnet"], help="one of the two tables")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processor-time", action="store_true", help="for a busy machine")
    parser.add_argument("--images", type=int, default=1620, help="critters in an epoch")
    parser.add_argument("--batch", type=int, default=128, help="of critters")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--resnet-batches", type=int, default=2)
    parser.add_argument("--resnet-batch", type=int, default=4)
    parser.add_argument("--fast-0", action="store_true", help="time --fast 0, too")
    parser.add_argument("--accuracy", action="store_true", help="compare accuracies, not times")
    parser.add_argument("--go-on", action="store_true", help="from critters-robust's weights")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--val-images", type=int, default=1620)
    given = parser.parse_args()
    if given.accuracy:
        accuracy(given)
        return
    if given.only != "resnet":
        critters(given)
    if given.only != "critters":
        resnet(given)


if __name__ == "__main__":
    sys.exit(main())
