"""Whether images exist whose R(x) lies between two: ``python benchmarks/interpolation.py``.

For pairs of validation images, the targets lambda R(x1) + (1 - lambda) R(x2) of equation (6) are
sought from other starts, with more steps, and without the bounds [0, 1] of pixels. Beside them
stand how near the images' own R(x) is reached, and how far real images are from the targets. All
distances are relative, as in equation (4): the mean over targets, and the least and largest.
"""

from __future__ import annotations

import argparse

import torch
from timing import machine
from torch import Tensor

import robust_reps_ext as rr
from robust_reps_ext.datasets.samples import open_data_set, validation_samples
from robust_reps_ext.synthesis import noise
from robust_reps_ext.synthesis.run import optimize
from robust_reps_ext.synthesis.settings import Settings

# Start, schedule, and how many times `--steps`.
RUNS = (
    ("pixel blend", "paper", 2.0),
    ("pixel blend", "lbfgs", 0.5),
    ("pixel blend", "lbfgs", 2.0),
    ("left image", "lbfgs", 1.0),
    ("right image", "lbfgs", 1.0),
    ("noise", "lbfgs", 1.0),
    ("nearest real image", "lbfgs", 1.0),
)


def relative(found: Tensor, target: Tensor) -> Tensor:
    return (found - target).norm(dim=-1) / target.norm(dim=-1)


def told(name: str, distances: Tensor) -> None:
    low, high = distances.aminmax()
    print(f"{name:58s} {distances.mean():.3f} ({low:.3f} to {high:.3f})", flush=True)


def unbounded(model: object, start: Tensor, target: Tensor, steps: int) -> Tensor:
    """Distances after Adam on the pixels, which may leave [0, 1]."""
    images = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([images], lr=0.02)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        _, found = model(images, with_latent=True)[0]  # type: ignore[operator]
        (gradient,) = torch.autograd.grad(relative(found, target).sum(), images)
        images.grad = gradient
        optimizer.step()
        fall.step()
    with torch.no_grad():
        _, found = model(images, with_latent=True)[0]  # type: ignore[operator]
    return relative(found, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="critters-robust")
    parser.add_argument("--dataset", default="critters_fine")
    parser.add_argument("--data", help="folder of the data set")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--real", type=int, default=500, help="other images to compare with")
    parser.add_argument("--weights", type=float, nargs="+", default=(0.25, 0.5, 0.75))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    data = open_data_set(given.dataset, given.data)
    model = rr.load_model(given.model, dataset=data)
    pairs = 2 * given.pairs
    every = validation_samples(data, pairs + given.real, seed=given.seed).images
    images, real = every[:pairs], every[pairs:]
    left, right = images.chunk(2)
    ends = [rr.representation(model, one) for one in (left, right)]
    shares = torch.tensor(given.weights)
    target = torch.cat([one * ends[0] + (1 - one) * ends[1] for one in shares])
    print(f"{machine()}; {given.model}, {given.pairs} pairs, seed {given.seed}")
    print(f"{target.shape[1]} coordinates, {left[0].numel()} pixel values an image")

    known = torch.cat([rr.representation(model, one) for one in real.split(100)])
    away = torch.cdist(target, known) / target.norm(dim=1, keepdim=True)
    both = torch.cat(ends)
    others = torch.cdist(both, known) / both.norm(dim=1, keepdim=True)
    blend = torch.cat([one * left + (1 - one) * right for one in shares])
    apart = torch.stack([relative(one.repeat(len(shares), 1), target) for one in ends])
    told("targets, from the nearer end", apart.amin(0))
    told(
        "targets, from the R of the pixel blend", relative(rr.representation(model, blend), target)
    )
    told(f"targets, from the nearest of {len(known)} real images", away.amin(1))
    told(f"images' own R, from the nearest of {len(known)} others", others.amin(1))

    starts = {
        "pixel blend": blend,
        "left image": left.repeat(len(shares), 1, 1, 1),
        "right image": right.repeat(len(shares), 1, 1, 1),
        "noise": noise(blend),
        "nearest real image": real[away.argmin(1)],
    }

    def sought(start: Tensor, aim: Tensor, schedule: str, steps: int) -> tuple[Tensor, Tensor]:
        settings = Settings.paper(start, {"schedule": schedule, "iterations": steps}, use_best=True)
        found = optimize(
            model, rr.RepresentationMatching(), target=aim, start=start, settings=settings
        )
        return found.objective, rr.representation(model, found.images)

    reached, where = [], []
    for name, schedule, times in RUNS:
        steps = round(times * given.steps)
        distance, found = sought(starts[name], target, schedule, steps)
        told(f"targets, from the {name}, {schedule}, {steps} steps", distance)
        reached.append(distance)
        where.append(found)
    told("targets, the best of all of these", torch.stack(reached).amin(0))
    spread = torch.stack([relative(one, other) for i, one in enumerate(where[3:])
                          for other in where[3 + i + 1 :]])  # fmt: skip
    told("R of what two starts found, from each other", spread)
    told(f"targets, from the pixel blend, no bounds, Adam, {given.steps} steps",
         unbounded(model, blend, target, given.steps))  # fmt: skip
    told(f"ends' own R, from noise, lbfgs, {given.steps} steps",
         sought(noise(images), both, "lbfgs", given.steps)[0])  # fmt: skip
    told(f"ends' own R, from the other end, lbfgs, {given.steps} steps",
         sought(torch.cat([right, left]), both, "lbfgs", given.steps)[0])  # fmt: skip


if __name__ == "__main__":
    main()
