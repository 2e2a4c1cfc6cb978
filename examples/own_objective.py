"""Your own objective in ten lines: move images along a direction of the representation.

    python examples/own_objective.py directions.png

The directions are differences of mean representations: of green animals, of striped ones and of
crabs, to all animals. One sees parts of the same animals turn green, stripes grow on and around
them, and shapes rise at their sides where a crab has its claws. Under each stands how far along the
direction its representation came. 18 seconds on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.results.figures import Row, image_grid, save_figure
from robust_reps_ext.synthesis.settings import Settings


class Direction:
    """max R(x) . v / ||v||_2; the target is the direction v of each image, (N, k)."""

    name = "direction"
    targeted = False

    def __call__(self, model, inp, target):
        """The values (N,), and the representation (N, k)."""
        _, rep = model(inp, with_latent=True, fake_relu=True)
        return (rep * target).sum(dim=1) / target.norm(dim=1), rep

    def training_target(self, model, images, labels):
        """For adversarial training only: towards the next image of the batch."""
        (_, rep), _ = model(images, with_latent=True)
        return rep.roll(1, dims=0) - rep


def mean_representation(model, n: int, **which) -> torch.Tensor:
    """The mean of R over n critters of a kind, (k,)."""
    return rr.representation(model, critters.draw(n, seed=1, **which).images / 255).mean(dim=0)


def main() -> None:
    """Move eight animals along three directions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the PNG to write")
    parser.add_argument("--model", default="critters-robust", help="a bundled model or a file")
    parser.add_argument("--eps", type=float, default=12.0, help="how far images may move, L2")
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--n", type=int, default=64, help="images behind each mean")
    args = parser.parse_args()

    model = rr.load_model(args.model, dataset="critters_fine")
    start = critters.draw(8, seed=5).images / 255
    settings = Settings(eps=args.eps, step_size=args.eps / 12, iterations=args.iterations)
    everything = mean_representation(model, args.n)
    rows = [Row(start, "start")]
    for label, which in {
        "more green": {"hues": [critters.HUES.index("green")]},
        "more stripes": {"textures": [critters.TEXTURES.index("stripes")]},
        "more crab": {"classes": [critters.CLASSES.index("crab")]},
    }.items():
        direction = mean_representation(model, args.n, **which) - everything
        found = rr.synthesize(model, Direction(), direction.repeat(8, 1), start, settings)
        before, after = found.trace[0].tolist(), found.objective.tolist()
        captions = [f"{a:.1f} to {b:.1f}" for a, b in zip(before, after, strict=True)]
        rows.append(Row(found.images, label, captions))
        print(f"{label}: {sum(before) / 8:.2f} to {sum(after) / 8:.2f}")
    save_figure(image_grid(rows), args.out)


if __name__ == "__main__":
    main()
