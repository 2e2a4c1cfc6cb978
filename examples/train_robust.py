"""Train a small robust network and a standard one from Python, and compare what they learned.

    python examples/train_robust.py --out trained

One sees, as in Fig. 4 of the paper, how near an image can come to another's representation within
an L2 ball: a standard network's representation is matched by images that hardly moved, a robust
one's not before the animals have changed. Logs and checkpoints are in a cox store for each run.
A few minutes on two cores; `--images 16200 --size 64 --eps 2` for a network worth keeping.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from cox.store import Store
from cox.utils import Parameters
from robustness import train
from robustness.model_utils import make_and_restore_model

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import CrittersDataSet
from robust_reps_ext.datasets.samples import validation_samples
from robust_reps_ext.results.figures import save_figure
from robust_reps_ext.results.plots import curve_figure

RADII = (0, 0.25, 0.5, 1, 2, 4, 8)


def trained(data: CrittersDataSet, store: Store, adv_train: int, args: argparse.Namespace):
    """A network, trained on clean images (adv_train 0) or on attacked ones (1)."""
    torch.manual_seed(0)
    model, _ = make_and_restore_model(arch="critters_resnet", dataset=data)
    settings = {
        "out_dir": str(args.out), "seed": 0, "epochs": args.epochs, "log_iters": 1,
        "lr": 0.1, "custom_lr_multiplier": f"[(0, 1), ({args.epochs}, 0)]",
        "lr_interpolation": "linear", "momentum": 0.9, "weight_decay": 5e-4,
        "adv_train": adv_train, "adv_eval": 1, "constraint": "2", "eps": args.eps,
        "attack_lr": args.eps / 2, "attack_steps": 4, "random_restarts": 0, "use_best": 0,
    }  # fmt: skip
    loaders = data.make_loaders(workers=0, batch_size=54)
    return train.train_model(Parameters(settings), model, loaders, store=store).eval()


def main() -> None:
    """Train two networks and draw their curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("trained"))
    parser.add_argument("--size", type=int, default=32, help="height and width of the images")
    parser.add_argument("--images", type=int, default=1620, help="training images")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--eps", type=float, default=1.0, help="radius of the adversary, L2")
    parser.add_argument("--iterations", type=int, default=40, help="PGD steps of the curve")
    parser.add_argument("--pairs", type=int, default=16, help="source and target images")
    args = parser.parse_args()

    numbers = {"n_train": args.images, "n_val": 162}
    data = CrittersDataSet(args.out / "data", size=args.size, custom_class_args=numbers)
    images = validation_samples(data, 2 * args.pairs, seed=1).images
    targets, sources = images.chunk(2)
    lines = []
    for name, adv_train in (("robust", 1), ("standard", 0)):
        store = Store(str(args.out), name)
        model = trained(data, store, adv_train, args)
        last = store["logs"].df.iloc[-1]
        print(f"{name}: {last['nat_prec1']:.1f}% clean, {last['adv_prec1']:.1f}% attacked")
        store.close()
        curve = rr.invert_within(model, targets, sources, radii=RADII, iterations=args.iterations)
        lines.append(curve.line(name))
    save_figure(curve_figure(RADII, lines), args.out / "curve.png")


if __name__ == "__main__":
    main()
