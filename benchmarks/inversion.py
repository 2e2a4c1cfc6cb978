"""Seconds a step of an inversion: ``OMP_NUM_THREADS=2 python benchmarks/inversion.py``.

A ResNet-50 with random weights at 224 pixels, batch 4, equation (4) with the straight-through
ReLU and steps of 1, by `robustness`' own attacker and by the copy of the network that
`robust_reps_ext` runs on. What it costs to make the copy is told apart. bfloat16 is timed where the
processor has instructions for it.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from types import SimpleNamespace

import torch
from robustness.attacker import AttackerModel
from timing import in_turns, machine, matmul_rate, random_resnet50, table
from upstream_attacker import upstream_attacker, without_cuda

import robust_reps_ext as rr
from robust_reps_ext.models.fast import fast_network
from robust_reps_ext.runtime.precision import is_fast

STATISTICS = SimpleNamespace(mean=torch.full((3,), 0.5), std=torch.full((3,), 0.25))
# Multiplications and additions of the convolutions, forward and backward to the image.
OPERATIONS = 2 * 2 * 4.09e9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3, help="steps of each timed run")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    torch.manual_seed(0)
    network = random_resnet50()
    model = AttackerModel(network, STATISTICS).eval()
    theirs = upstream_attacker().AttackerModel(network, STATISTICS).eval()
    start, image = torch.rand(2, given.batch, 3, 224, 224)
    target = rr.representation(model, image)
    objective = rr.RepresentationMatching()

    options = {"constraint": "2", "eps": 1000.0, "step_size": 1.0, "targeted": True,
               "iterations": given.steps, "use_best": False, "custom_loss": objective}  # fmt: skip
    sides = {"robustness": partial(theirs.attacker, start, target, **options)}
    x = model.normalizer(start)
    precisions = {"float32": torch.float32}
    if is_fast(x.device):
        precisions["bfloat16"] = torch.bfloat16
    for name, dtype in precisions.items():
        reduced = None if dtype is torch.float32 else dtype
        begun = time.perf_counter()
        fast = fast_network(network, x, lambda net: objective(net, x, target), dtype=reduced)
        print(f"copy for {name}: made in {time.perf_counter() - begun:.2f} s")
        sides[f"robust_reps_ext, {name}"] = partial(
            model.attacker,
            start,
            target,
            **options,
            network=fast,
            mixed_precision=reduced is not None,
        )

    with without_cuda():
        for steps in (1, given.steps):
            first, second = (
                sides[name](iterations=steps) for name in ("robustness", "robust_reps_ext, float32")
            )
            error = float((first - second).abs().max())
            print(f"largest difference of a pixel after step {steps} in float32: {error:.1e}")
        times = in_turns(sides, given.rounds)
    print(f"{machine()}; batch {given.batch}, {given.rounds} rounds of {given.steps} steps")
    table(times, "robustness", per=given.steps)
    for name, dtype in precisions.items():
        second = sorted(times[f"robust_reps_ext, {name}"])[given.rounds // 2] / given.steps
        reached, possible = OPERATIONS * given.batch / second, matmul_rate(dtype)
        print(
            f"{name}: {reached / 1e9:.0f} of {possible / 1e9:.0f} GFLOP/s that a matrix product "
            f"of 2048 reaches, {reached / possible:.0%}"
        )


if __name__ == "__main__":
    main()
