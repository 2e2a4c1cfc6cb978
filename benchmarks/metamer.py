"""Inversions beside plenoptic's Metamer: ``OMP_NUM_THREADS=2 python benchmarks/metamer.py``.

Both minimise the L2 distance of the penultimate representation to that of the same critters, from
the same noise, with as many steps, all images in one batch; plenoptic (see `requirements.txt`) by
its own default, Adam. Distances are recomputed in float32, relative to the target's length.
``--resnet50`` times a few steps on a ResNet-50 with random weights at 224 pixels instead.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import warnings
from collections.abc import Callable
from functools import partial

import plenoptic
import torch
from robustness.attacker import AttackerModel
from timing import in_turns, machine, random_resnet50, table
from torch import Tensor, nn

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.runtime.precision import is_fast
from robust_reps_ext.synthesis import noise

SCHEDULES = ("paper", "cosine-momentum", "lbfgs")


class Representation(nn.Module):
    """R of images in [0, 1], as plenoptic wants a model."""

    def __init__(self, model: AttackerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.model(x, with_latent=True)[0][1]
        return found


def distance(found: Tensor, target: Tensor) -> Tensor:
    """||R(x) - target|| of each image, summed: no image's step depends on the others."""
    return torch.linalg.vector_norm(found - target, dim=1).sum()


def metamer(model: nn.Module, targets: Tensor, start: Tensor, steps: int) -> Tensor:
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        made = plenoptic.Metamer(targets, model, loss_function=distance)
        made.setup(initial_image=start)
        made.synthesize(max_iter=steps, stop_criterion=0.0)
    found: Tensor = made.metamer.detach().clamp(0, 1)
    return found


def ours(
    model: AttackerModel, targets: Tensor, schedule: str, precision: str, steps: int
) -> Tensor:
    return rr.invert(
        model, targets, schedule=schedule, precision=precision, iterations=steps,
        batch_size=len(targets),
    ).images  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=8, help="targets")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--resnet50", action="store_true", help="time --steps on a ResNet-50")
    given = parser.parse_args()
    if given.resnet50:
        model = rr.load_model(random_resnet50(), normalize=((0.5,) * 3, (0.25,) * 3))
    else:
        model = rr.load_model("critters-robust")
    size = 224 if given.resnet50 else 64
    targets = critters.draw(given.n, seed=1, size=size).images / 255
    start = noise(targets)
    plain = Representation(model).eval()
    plenoptic.remove_grad(plain)
    sides: dict[str, Callable[[], Tensor]] = {
        "plenoptic Metamer": partial(metamer, plain, targets, start, given.steps)
    }
    for schedule in SCHEDULES:
        for precision in ("float32", "bfloat16") if is_fast(targets.device) else ("float32",):
            name = f"{schedule}, {precision}"
            sides[name] = partial(ours, model, targets, schedule, precision, given.steps)
    wanted = rr.representation(model, targets)
    for name, invert in sides.items():
        off = (rr.representation(model, invert()) - wanted).norm(dim=1) / wanted.norm(dim=1)
        print(f"{name:28s} mean distance {off.mean():.4f}, largest {off.max():.4f}")
    times = in_turns(sides, given.rounds, warm=True)
    print(f"{machine()}; {given.n} images of {size} pixels, {given.steps} steps")
    table(times, "plenoptic Metamer")


if __name__ == "__main__":
    main()
