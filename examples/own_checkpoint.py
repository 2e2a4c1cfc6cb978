"""Your own networks: a checkpoint that `robustness` wrote, and a torchvision network.

    python examples/own_checkpoint.py --out own

trains a small robust network for two epochs, loads the checkpoint, and inverts its representation;
then does the same for a torchvision ResNet-18, untrained, with a normaliser of its own, at two of
its layers. One sees that an early layer keeps shapes and colours without any training, under
noise that it does not see; that noise matches the untrained network's last layer; and that two
epochs are far too few. 50 seconds on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torchvision
from cox.utils import Parameters
from robustness import train
from robustness.model_utils import make_and_restore_model

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.datasets.critters import CrittersDataSet
from robust_reps_ext.results.figures import Row, image_grid, save_figure


def train_checkpoint(folder: Path, images: int, epochs: int) -> Path:
    """A checkpoint as every training with `robustness` leaves it."""
    data = CrittersDataSet(folder, custom_class_args={"n_train": images, "n_val": 81})
    torch.manual_seed(0)
    model, _ = make_and_restore_model(arch="critters_resnet", dataset=data)
    settings = {
        "out_dir": str(folder), "epochs": epochs, "lr": 0.05, "momentum": 0.9, "seed": 0,
        "weight_decay": 5e-4, "log_iters": epochs, "adv_train": 1, "constraint": "2", "eps": 1.0,
        "attack_lr": 0.5, "attack_steps": 3, "random_restarts": 0, "use_best": 0,
    }  # fmt: skip
    train.train_model(Parameters(settings), model, data.make_loaders(workers=0, batch_size=54))
    return folder / "checkpoint.pt.latest"


def main() -> None:
    """Train, load, invert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="yours, instead of one trained here")
    parser.add_argument("--out", type=Path, default=Path("own"), help="folder for what is written")
    parser.add_argument("--images", type=int, default=810, help="training images")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=100, help="PGD steps of each inversion")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    file = args.checkpoint or train_checkpoint(args.out, args.images, args.epochs)
    # Architecture, number of classes and normaliser are in the file. Nothing in it runs.
    mine = rr.load_model(file)
    print(f"{mine.card['arch']}, {mine.card['classes']} classes, {mine.card['normalizer']}")

    # Any module: it takes normalised images, so say how they are normalised.
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None, num_classes=9)
    other = rr.load_model(network, normalize=((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)))

    targets = critters.draw(6, seed=1).images / 255
    rows = [Row(targets, "target")]
    for label, model, layer in (
        ("checkpoint", mine, None),
        ("ResNet-18", other, None),
        ("ResNet-18, layer1", other, "layer1"),
    ):
        found = rr.invert(model, targets, layer=layer, iterations=args.iterations)
        captions = [f"{value:.2f}" for value in found.objective.tolist()]
        rows.append(Row(found.images, label, captions))
        print(f"{label}: relative distance {found.objective.mean():.3f}")
    save_figure(image_grid(rows), args.out / "inversion.png")


if __name__ == "__main__":
    main()
