"""Time to the distance that upstream's 1,000 steps reach: ``python benchmarks/schedules.py``.

Inversions of critters on the bundled robust network. `robustness`' own attacker makes 1,000 steps
of constant length; then each schedule, number of steps and precision makes its own inversions of
the same targets from the same noise. Distances are recomputed in float32.
"""

from __future__ import annotations

import argparse
import time

import torch
from timing import machine
from upstream_attacker import upstream_attacker, without_cuda

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.synthesis import noise

RUNS = (
    ("paper", 100, "float32"),
    ("cosine-momentum", 100, "float32"),
    ("cosine-momentum", 100, "auto"),
    ("lbfgs", 60, "float32"),
    ("lbfgs", 100, "float32"),
    ("lbfgs", 60, "auto"),
    ("lbfgs", 100, "auto"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=32, help="targets")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=1000, help="upstream's steps")
    given = parser.parse_args()
    model = rr.load_model("critters-robust")
    targets = critters.draw(given.n, seed=1).images / 255
    representations, start = rr.representation(model, targets), noise(targets)
    statistics = argparse.Namespace(
        mean=model.normalizer.new_mean.flatten(), std=model.normalizer.new_std.flatten()
    )
    theirs = upstream_attacker().AttackerModel(model.model, statistics).eval()
    objective = rr.RepresentationMatching()
    size = targets.shape[-1] / 224
    begun = time.perf_counter()
    with without_cuda():
        found = torch.cat(
            [
                theirs.attacker(
                    start[rows], representations[rows], constraint="2", eps=1000.0 * size,
                    step_size=size, iterations=given.steps, targeted=True, use_best=False,
                    custom_loss=objective,
                )
                for rows in torch.arange(given.n).split(given.batch)
            ]
        )  # fmt: skip
    upstream = time.perf_counter() - begun
    reached = (rr.representation(model, found) - representations).norm(dim=1)
    reached = reached / representations.norm(dim=1)
    print(f"{machine()}; {given.n} targets, batch {given.batch}")
    print(
        f"robustness, {given.steps} steps: mean distance {reached.mean():.4f}, {upstream:.1f} s, "
        f"{1000 * upstream / given.steps:.1f} ms a step"
    )
    for schedule, steps, precision in RUNS:
        begun = time.perf_counter()
        result = rr.invert(
            model, targets, schedule=schedule, iterations=steps, precision=precision,
            batch_size=given.batch,
        )  # fmt: skip
        seconds = time.perf_counter() - begun
        print(
            f"{schedule:16s} {steps:5d} steps, {precision:8s}: mean distance "
            f"{result.objective.mean():.4f}, {seconds:.1f} s, "
            f"1/{upstream / seconds:.1f} of the time"
        )


if __name__ == "__main__":
    main()
