"""Two networks side by side: inverses from noise, the curve of Fig. 4, and accuracies.

    python examples/compare_models.py --out compared

writes `inversion.png`, `curve.png`, `accuracy.png`, and all in one, `comparison.png`. One sees what
a robust network's representation knows of an image and a standard one's does not, that it takes far
larger changes to match it, and what it costs in accuracy.
Some minutes on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.results.figures import Row, image_grid, save_figure
from robust_reps_ext.results.plots import Line, accuracy_figure, curve_figure

RADII = (0, 0.5, 1, 2, 4, 8, 16)


def stacked(pictures: list[Path], out: Path) -> None:
    """Pictures one under the other, on white."""
    shown = [Image.open(path).convert("RGB") for path in pictures]
    sheet = Image.new("RGB", (max(p.width for p in shown), sum(p.height for p in shown)), "white")
    for i, picture in enumerate(shown):
        sheet.paste(picture, (0, sum(above.height for above in shown[:i])))
    sheet.save(out)


def main() -> None:
    """Run three experiments with both networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("compared"), help="folder for pictures")
    parser.add_argument("--robust", default="critters-robust", help="a bundled model or a file")
    parser.add_argument("--standard", default="critters-standard", help="a bundled model or a file")
    parser.add_argument("--iterations", type=int, default=100, help="steps of the inversions")
    parser.add_argument("--pairs", type=int, default=8, help="for the curve, in 60 steps")
    parser.add_argument("--n", type=int, default=162, help="images for the accuracies")
    parser.add_argument("--seed", type=int, default=11, help="for the animals and the noise")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    targets = critters.draw(9, seed=args.seed).images / 255
    pairs = critters.draw(2 * args.pairs, seed=args.seed + 1).images / 255
    test = critters.draw(args.n, seed=args.seed + 2)
    batches = [(test.images / 255, test.fine_labels)]
    steps = {"iterations": args.iterations, "seed": args.seed}
    rows, curves, accuracies = [Row(targets, "target")], [], []
    for label, name in (("robust", args.robust), ("standard", args.standard)):
        model = rr.load_model(name, dataset="critters_fine")
        found = rr.invert(model, targets, progress=True, **steps)
        captions = [f"{value:.2f}" for value in found.objective.tolist()]
        rows.append(Row(found.images, f"{label}\nfrom noise", captions))

        curve = rr.invert_within(model, *pairs.chunk(2), radii=RADII, iterations=60)
        curves.append(curve.line(label))

        # Accuracy on the nine animals; the bundled robust network was trained at eps 4.
        group = critters.coarse_labels()
        shares = rr.evaluate(model, batches, eps=4.0, attack_steps=[20], group=group)
        low, high = zip(*(one.interval() for one in shares), strict=True)
        accuracies.append(Line([one.share for one in shares], low, high, label=label))
    save_figure(image_grid(rows), args.out / "inversion.png")
    save_figure(curve_figure(RADII, curves), args.out / "curve.png")
    save_figure(accuracy_figure(["clean", "PGD-20, eps 4"], accuracies), args.out / "accuracy.png")
    names = ("inversion.png", "curve.png", "accuracy.png")
    stacked([args.out / name for name in names], args.out / "comparison.png")


if __name__ == "__main__":
    main()
