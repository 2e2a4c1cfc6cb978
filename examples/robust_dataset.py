"""Make a robust data set, train on it and on the images it came from, and compare the networks.

    python examples/robust_dataset.py --out robust_dataset

Neither network sees an attack while it is trained. The images of the robust data set are critters
inverted through the bundled robust network, each from another critter (Ilyas et al. 2019, "not
bugs, they are features", section 3.1). What is done is kept, and the same command goes on; several
at once share the data set, and the networks if each is given other `--seeds`. The defaults are
small, to be quick: `--images 3240 --iterations 60` for networks that know their critters.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from cox.store import Store
from cox.utils import Parameters
from robustness import train
from robustness.datasets import DataSet
from robustness.model_utils import make_and_restore_model
from torch.utils.data import DataLoader, Subset

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import CrittersFineDataSet, coarse_labels
from robust_reps_ext.datasets.samples import open_data_set, training_set, validation_set
from robust_reps_ext.datasets.shards import read_members, shard_name
from robust_reps_ext.results.figures import Row, image_grid, save_figure
from robust_reps_ext.runtime.files import writing

RADII = (0.5, 1.0, 2.0)
LABELS = {"9 animals": coarse_labels(), "162 labels": None}


def trained(data: DataSet, out: Path, name: str, seed: int, args: argparse.Namespace):
    """A network trained on clean images, as they are in the data set."""
    torch.manual_seed(seed)
    rates = f"[(0, 0.1), ({args.epochs / 10:g}, 1), ({args.epochs}, 0)]"
    model, _ = make_and_restore_model(arch="critters_resnet", dataset=data)
    settings = {
        "out_dir": str(out), "seed": seed, "epochs": args.epochs, "log_iters": 0,
        "lr": 0.1, "custom_lr_multiplier": rates,
        "lr_interpolation": "linear", "momentum": 0.9, "weight_decay": 5e-4,
        "adv_train": 0, "adv_eval": 0,
    }  # fmt: skip
    store = Store(str(out), f"{name}-{seed}-{args.epochs}-epochs")
    try:
        loaders = data.make_loaders(workers=0, batch_size=54)
        return train.train_model(Parameters(settings), model, loaders, store=store).eval()
    finally:
        store.close()


def measured(model: torch.nn.Module, images: list, args: argparse.Namespace) -> dict[str, float]:
    """Accuracies in percent: clean, and under PGD within each radius."""
    found = {}
    for labels, group in LABELS.items():
        for eps in RADII:
            clean, attacked = rr.evaluate(model, images, eps=eps, attack_steps=(20,), group=group)
            found[f"{labels}, clean"] = 100 * clean.share
            found[f"{labels}, eps {eps:g}"] = 100 * attacked.share
    return found


def one_run(data: DataSet, name: str, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """Train and measure, or read what an earlier run measured."""
    path = args.out / f"{name}-{seed}-{args.epochs}-epochs.json"
    if not path.exists():
        validation = validation_set(data)
        some = range(0, len(validation), max(1, len(validation) // args.val))
        images = DataLoader(Subset(validation, some), 54)
        found = measured(trained(data, args.out, name, seed, args), list(images), args)
        with writing(path, "free some space") as file:
            file.write(json.dumps(found, indent=1).encode())
    return json.loads(path.read_text())


def picture(originals: DataSet, robust: DataSet, out: Path) -> None:
    """Some images of the robust data set, between those they represent and began with."""
    before, after = training_set(originals), training_set(robust)
    known = read_members(out / "robust" / shard_name(0), metadata=True).metadata[:8]
    rows = {
        "original": [before[one["source"]][0] for one in known],
        "robustified": [after[i][0] for i in range(len(known))],
        "began with": [before[one["start"]][0] for one in known],
    }
    figure = image_grid([Row(torch.stack(each), name) for name, each in rows.items()])
    save_figure(figure, out / "images.png")


def main() -> None:
    """Make the data set, train, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("robust_dataset"))
    parser.add_argument("--images", type=int, default=540, help="training images")
    parser.add_argument("--iterations", type=int, default=40, help="steps of each inversion")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--val", type=int, default=135, help="validation images that are attacked")
    args = parser.parse_args()

    numbers = {"n_train": args.images, "n_val": 540}
    originals = CrittersFineDataSet(args.out / "critters", custom_class_args=numbers)
    model = rr.load_model("critters-robust", dataset=originals)
    shards = args.out / "robust"
    index = rr.robustify(
        model, originals, shards, shard_size=27, iterations=args.iterations, schedule="lbfgs",
        progress=True,
    )  # fmt: skip
    print(f"{index.images} images, mean relative distance {index.distance:.3f}")
    robust = open_data_set("webshards", shards)
    picture(originals, robust, args.out)
    sets = {"originals": originals, "robustified": robust}
    for name, data in sets.items():
        runs = [one_run(data, name, seed, args) for seed in args.seeds]
        for measure in runs[0]:
            values = [run[measure] for run in runs]
            each = ", ".join(f"{value:.1f}" for value in values)
            print(f"{name}: {measure}: {sum(values) / len(values):.1f} ({each})")


if __name__ == "__main__":
    main()
