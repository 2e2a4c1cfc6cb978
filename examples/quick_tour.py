"""The paper in five calls: invert, constrain, interpolate, visualise, add a feature.

    python examples/quick_tour.py --model CHECKPOINT --out tour

takes minutes on two cores; `--iterations 2000` and more makes the pictures better.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.figures import Row, image_grid, save_figure
from robust_reps_ext.synthesis import noise


def main() -> None:
    """Draw some critters and run every experiment on them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a checkpoint of --dataset critters_fine")
    parser.add_argument("--out", type=Path, default=Path("tour"), help="folder for the pictures")
    parser.add_argument("--iterations", type=int, default=300, help="PGD steps of each experiment")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    model = rr.load_model(args.model, dataset="critters_fine")
    drawn = critters.draw(18, seed=7)
    images = drawn.images.float() / 255
    left, right = images[:4], images[4:8]
    steps = args.iterations

    inverse = rr.invert(model, images[:8], iterations=steps)
    save_figure(inverse.figure(), args.out / "inversion.png")

    curve = rr.invert_within(model, left, right, radii=(0.5, 2, 8, 32), iterations=steps)
    rows = [Row(right, "source")]
    rows += [
        Row(found, f"radius {radius:g}")
        for radius, found in zip(curve.radii, curve.images, strict=True)
    ]
    save_figure(image_grid([*rows, Row(left, "target")]), args.out / "radii.png")

    path = rr.interpolate(model, left[:1], right[:1], steps=6, iterations=steps)
    rows = [Row(path.blend[0], "pixel blend"), Row(path.images[0], "representation")]
    save_figure(image_grid(rows), args.out / "interpolation.png")

    seeds = torch.cat([noise(left[:1]), left[:1]])
    features = rr.visualize(model, coordinates=range(8), seeds=seeds, iterations=steps)
    rows = [
        Row(row, "from noise" if not s else "from image") for s, row in enumerate(features.images)
    ]
    save_figure(image_grid(rows), args.out / "features.png")

    added = rr.add_feature(model, images[:8], coordinate=3, iterations=steps)
    save_figure(added.figure(), args.out / "added.png")
    print(f"pictures are in {args.out.resolve()}")


if __name__ == "__main__":
    main()
