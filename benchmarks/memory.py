"""Peak memory: ``OMP_NUM_THREADS=2 python benchmarks/memory.py``.

Each number comes from a process of its own, which does one thing once: steps of an inversion on a
ResNet-50 at 224 pixels, by `robustness`' own attacker and by ours, its copy of the network
included; and the search for the most activating of 2,000 and of 20,000 drawn critters. On the CPU
it is the largest resident size, and what it grew by since the model and the images were made; on
CUDA, what torch had allocated at most.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import torch
from robustness.attacker import AttackerModel
from timing import machine, peak_memory, random_resnet50
from torch import Tensor
from upstream_attacker import upstream_attacker, without_cuda

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.models.fast import fast_network
from robust_reps_ext.runtime.precision import is_fast

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
STATISTICS = SimpleNamespace(mean=torch.full((3,), 0.5), std=torch.full((3,), 0.25))
MIB = 2**20


def inversion(side: str, batch: int) -> Callable[[], object]:
    torch.manual_seed(0)
    network = random_resnet50()
    model = AttackerModel(network, STATISTICS).to(DEVICE).eval()
    theirs = upstream_attacker().AttackerModel(network, STATISTICS).to(DEVICE).eval()
    start, image = torch.rand(2, batch, 3, 224, 224, device=DEVICE)
    with torch.no_grad():
        # One image: the search for the target must not be what takes most.
        target = rr.representation(model, image, batch_size=1)
    objective = rr.RepresentationMatching()
    options = {"constraint": "2", "eps": 1000.0, "step_size": 1.0, "targeted": True,
               "iterations": 2, "use_best": False, "custom_loss": objective}  # fmt: skip

    def run() -> None:
        if side == "robustness":
            with without_cuda():
                theirs.attacker(start, target, **options)
            return
        dtype = torch.bfloat16 if side == "bfloat16" else None
        x = model.normalizer(start[:2])
        fast = fast_network(network, x, lambda net: objective(net, x, target[:2]), dtype=dtype)
        model.attacker(start, target, **options, network=fast, mixed_precision=dtype is not None)

    return run


def activations(images: int) -> Callable[[], object]:
    model = rr.load_model("critters-robust").to(DEVICE)
    pool = critters.draw(162, seed=1, size=32).images / 255

    def loader() -> Iterator[Tensor]:
        """Each image once more in another light, so that no two are the same."""
        generator = torch.Generator().manual_seed(0)
        for rows in torch.arange(images).split(100):
            light = torch.rand(len(rows), 1, 1, 1, generator=generator)
            yield pool[rows % len(pool)] * (0.5 + light / 2)

    return lambda: rr.most_activating(model, loader(), coordinates=range(16), k=3)


def measure(what: str, batch: int) -> None:
    """Do one thing in this process and print what it took at most, in bytes."""
    kind, _, which = what.partition(":")
    run = activations(int(which)) if kind == "activations" else inversion(which, batch)
    before = peak_memory()
    run()
    after = peak_memory()
    print(json.dumps({"peak": after, "grown": after - before}))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", type=int, default=4, help="of the inversion")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--few", type=int, default=2_000, help="images searched, the lower number")
    parser.add_argument("--many", type=int, default=20_000, help="the higher number")
    parser.add_argument("--only", choices=["inversion", "activations"])
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.batch)
        return
    sides = ["robustness", "float32", *(["bfloat16"] if is_fast(DEVICE) else [])]
    tables = {
        "inversion": [f"inversion:{side}" for side in sides],
        "activations": [f"activations:{number}" for number in (given.few, given.many)],
    }
    print(f"{machine()}; medians of {given.rounds} processes each, batch {given.batch}")
    for kind in tables if given.only is None else [given.only]:
        found: dict[str, list[dict[str, int]]] = {what: [] for what in tables[kind]}
        for i in range(given.rounds):
            for what in tables[kind][:: 1 if i % 2 else -1]:
                command = [sys.executable, __file__, "--measure", what, "--batch", str(given.batch)]
                output = subprocess.check_output(command, text=True)
                found[what].append(json.loads(output.splitlines()[-1]))
        middle = {
            what: {part: statistics.median(run[part] for run in runs) for part in runs[0]}
            for what, runs in found.items()
        }
        first = middle[tables[kind][0]]
        for what, sizes in middle.items():
            peaks = [run["peak"] / MIB for run in found[what]]
            print(
                f"{what:28s} peak {sizes['peak'] / MIB:7.0f} MiB ({min(peaks):.0f} to "
                f"{max(peaks):.0f}), {sizes['peak'] / first['peak']:.3f} of the first; grown by "
                f"{sizes['grown'] / MIB:.0f} MiB, {sizes['grown'] / max(first['grown'], 1):.3f}"
            )


if __name__ == "__main__":
    main()
