"""The paper in six calls: invert, constrain, interpolate, visualise, activations, add a feature.

    python examples/quick_tour.py --out tour

writes one picture of each. One sees a robust network's representation drawn back into images:
the targets again, from noise; one animal turning into another; what single coordinates stand for.
With `--model critters-standard` most of it is noise. A minute on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.results.figures import Row, image_grid, save_figure
from robust_reps_ext.synthesis import noise


def main() -> None:
    """Draw some critters and run every experiment on them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="critters-robust", help="a bundled model or a file")
    parser.add_argument("--out", type=Path, default=Path("tour"), help="folder for the pictures")
    parser.add_argument("--iterations", type=int, default=100, help="PGD steps of each experiment")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    model = rr.load_model(args.model, dataset="critters_fine")
    images = critters.draw(8, seed=7).images / 255
    left, right = images[:4], images[4:]
    steps = args.iterations

    inverse = rr.invert(model, images, iterations=steps)
    save_figure(inverse.figure(), args.out / "inversion.png")

    curve = rr.invert_within(model, left, right, radii=(0.5, 2, 8, 32), iterations=steps)
    rows = [
        Row(found, f"radius {radius:g}")
        for radius, found in zip(curve.radii, curve.images, strict=True)
    ]
    save_figure(
        image_grid([Row(right, "source"), *rows, Row(left, "target")]), args.out / "radii.png"
    )

    path = rr.interpolate(model, left[:1], right[:1], steps=6, iterations=steps)
    rows = [Row(path.blend[0], "pixel blend"), Row(path.images[0], "representation")]
    save_figure(image_grid(rows), args.out / "interpolation.png")

    # The eight coordinates that differ most between these images.
    varied = rr.representation(model, images).std(dim=0).topk(8).indices.tolist()
    seeds = torch.cat([noise(left[:1]), left[:1]])
    features = rr.visualize(model, coordinates=varied, seeds=seeds, iterations=steps)
    captions = [f"coordinate {i}" for i in varied]
    rows = [Row(features.images[0], "from noise"), Row(features.images[1], "from image", captions)]
    save_figure(image_grid(rows), args.out / "features.png")

    many = critters.draw(256, seed=8).images / 255
    found = rr.most_activating(model, many.split(64), coordinates=varied, k=3)
    rows = [Row(found.most.images[:, k], f"most {k + 1}") for k in range(3)]
    rows += [Row(found.least.images[:, k], f"least {k + 1}") for k in range(3)]
    save_figure(image_grid(rows), args.out / "activations.png")

    added = rr.add_feature(model, images, coordinate=varied[0], iterations=steps)
    save_figure(added.figure(), args.out / "added.png")
    print(f"pictures are in {args.out.resolve()}")


if __name__ == "__main__":
    main()
