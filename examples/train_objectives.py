"""Train against adversaries that aim at the representation instead of the label, and look.

    python examples/train_objectives.py --out objectives

`--adv-objective` of `python -m robustness.main` (here `adv_objective`) says what the adversary of
adversarial training optimises within the L2 ball around each training image:

- `representation_matching`: to come near the representation of the next image of the batch;
- `interpolation_target`: to come half-way between its own and that of the next image;
- `coordinate_maximization`: to raise one coordinate of R(x), drawn for each image.

`class` is the paper's adversary, which raises the classification loss. All networks learn the
labels of what their adversary gives them. One sees the inverses of three animals from noise, as in
Fig. 6 of the paper. Small networks, minutes on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from cox.utils import Parameters
from robustness import train
from robustness.attacker import AttackerModel

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import CrittersDataSet
from robust_reps_ext.datasets.critters.networks import CrittersResNet
from robust_reps_ext.datasets.samples import validation_samples, validation_set
from robust_reps_ext.results.figures import Row, image_grid, save_figure

OBJECTIVES = ("representation_matching", "interpolation_target", "coordinate_maximization")
ADVERSARIES = ("none", "class", *OBJECTIVES)


def trained(data: CrittersDataSet, adversary: str, args: argparse.Namespace) -> AttackerModel:
    """A network that learned from the images of one adversary."""
    torch.manual_seed(args.seed)
    model = rr.load_model(CrittersResNet(width=args.width), dataset=data)
    settings = {
        "out_dir": str(args.out / adversary), "seed": args.seed, "epochs": args.epochs,
        "log_iters": 0, "save_ckpt_iters": -1, "lr": 0.1,
        "custom_lr_multiplier": "one-cycle", "momentum": 0.9, "weight_decay": 5e-4,
        "adv_train": int(adversary != "none"), "adv_eval": 0,
        "constraint": "2", "eps": args.eps, "eps_warmup": 0.3,
        "attack_lr": args.eps / 2, "attack_steps": 2, "random_start": 1, "random_restarts": 0,
        "use_best": 0, "adv_objective": adversary if adversary in OBJECTIVES else None,
    }  # fmt: skip
    (args.out / adversary).mkdir(parents=True, exist_ok=True)
    loaders = data.make_loaders(workers=0, batch_size=54)
    return train.train_model(Parameters(settings), model, loaders).eval()


def main() -> None:
    """Train a network against each adversary, and compare them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("objectives"))
    parser.add_argument("--adv-objective", nargs="+", choices=ADVERSARIES, default=ADVERSARIES)
    parser.add_argument("--size", type=int, default=32, help="height and width of the images")
    parser.add_argument("--images", type=int, default=1620, help="training images")
    parser.add_argument("--width", type=int, default=8, help="channels of the first layer")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--eps", type=float, default=0.5, help="radius of the adversary, L2")
    parser.add_argument("--iterations", type=int, default=200, help="PGD steps of the inverses")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and attacks")
    args = parser.parse_args()

    numbers = {"n_train": args.images, "n_val": 162}
    data = CrittersDataSet(args.out / "data", size=args.size, custom_class_args=numbers)
    targets = validation_samples(data, 3, seed=1).images
    rows = [Row(targets, "target")]
    for adversary in args.adv_objective:
        model = trained(data, adversary, args)
        clean, attacked = rr.evaluate(
            model, validation_set(data), eps=args.eps, attack_steps=[20], batch_size=54
        )
        inverse = rr.invert(model, targets, iterations=args.iterations)
        distance = (inverse.images - targets).flatten(1).norm(dim=1)
        print(
            f"{adversary}: {100 * clean.share:.1f}% clean, {100 * attacked.share:.1f}% under PGD; "
            f"inverses match R(x) to {inverse.objective.mean():.3f}, "
            f"and lie {distance.mean():.1f} from the animals"
        )
        captions = [f"{value:.2f}" for value in inverse.objective.tolist()]
        rows.append(Row(inverse.images, adversary.replace("_", "\n"), captions))
    save_figure(image_grid(rows), args.out / "objectives.png")


if __name__ == "__main__":
    main()
