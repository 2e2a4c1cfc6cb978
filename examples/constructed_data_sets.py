"""Make the four data sets of Ilyas et al. 2019, train on each without any attack, and compare.

    python examples/constructed_data_sets.py --out constructed

A standard and a robust network are trained on the originals. The robust data set is inverted
through the robust one; through the standard one the non-robust data set is inverted, and the images
of the other two moved towards a random class, or the next, and labelled so. What a network that has
only seen these knows of the original validation images is printed, clean and attacked. What is done
is kept, and the same command goes on; once the first two networks are there, several at once share
the data sets, and the networks if each is given other `--seeds`. The data are critters; theirs with

    --dataset cifar --data DIR --arch resnet18 --batch-size 128 --within 0.5 --eps 0.25 0.5
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
from robust_reps_ext.datasets.critters import CrittersDataSet
from robust_reps_ext.datasets.samples import open_data_set, validation_set
from robust_reps_ext.runtime.files import writing

INVERTED = ("robust", "non-robust")
KINDS = (*INVERTED, "random", "next")


def trained(data: DataSet, name: str, seed: int, args: argparse.Namespace, adversary: bool = False):
    """A network trained on the images as they are in the data set, or read if it is there."""
    path = args.out / f"{name}-{seed}.pt"
    model, _ = make_and_restore_model(arch=args.arch, dataset=data)
    if path.exists():
        model.model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    torch.manual_seed(seed)
    model, _ = make_and_restore_model(arch=args.arch, dataset=data)
    rates = f"[(0, 0.1), ({args.epochs / 10:g}, 1), ({args.epochs}, 0)]"
    settings = {
        "out_dir": str(args.out), "seed": seed, "epochs": args.epochs, "log_iters": 0,
        "lr": 0.1, "custom_lr_multiplier": rates, "lr_interpolation": "linear",
        "momentum": 0.9, "weight_decay": 5e-4, "adv_eval": 0,
        "adv_train": int(adversary), "constraint": "2", "eps": args.train_eps,
        "attack_steps": 3, "attack_lr": args.train_eps / 2, "random_start": 0,
        "use_best": True, "eps_fadein_epochs": args.epochs // 2, "random_restarts": 0,
    }  # fmt: skip
    store = Store(str(args.out), f"run-{name}-{seed}")
    try:
        loaders = data.make_loaders(workers=0, batch_size=args.batch_size)
        model = train.train_model(Parameters(settings), model, loaders, store=store).eval()
    finally:
        store.close()
    with writing(path, "free some space") as file:
        torch.save(model.model.state_dict(), file)
    return model


def constructed(originals: DataSet, kind: str, args: argparse.Namespace) -> DataSet:
    """One of the four data sets, made or gone on with."""
    robust = kind == "robust"
    network = trained(originals, "robust-network" if robust else "originals", 0, args, robust)
    how = {"schedule": "lbfgs", "iterations": args.iterations}
    if kind not in INVERTED:
        steps = args.iterations
        how = {"eps": args.within, "step_size": 5 * args.within / steps, "iterations": steps}
    index = rr.robustify(
        network, originals, args.out / kind, kind=kind, shard_size=54, progress=True, **how
    )
    print(f"{kind}: {index.images} images, mean relative distance {index.distance:.3f}")
    if kind not in INVERTED:
        print(f"{kind}: {100 * index.to_frame()['reached'].mean():.1f}% are taken for the class")
    return open_data_set("webshards", args.out / kind)


def measured(data: DataSet, name: str, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """Accuracies in percent, clean and under PGD-20 within each radius; read if they are there."""
    path = args.out / f"{name}-{seed}.json"
    if not path.exists():
        validation = validation_set(data)
        every = range(0, len(validation), max(1, len(validation) // args.val))
        images = list(DataLoader(Subset(validation, every), 54))
        model, found = trained(data, name, seed, args, name == "robust-network"), {}
        for eps in args.eps:
            clean, attacked = rr.evaluate(model, images, eps=eps, attack_steps=(20,))
            found["clean"] = 100 * clean.share
            found[f"eps {eps:g}"] = 100 * attacked.share
        with writing(path, "free some space") as file:
            file.write(json.dumps(found, indent=1).encode())
    return json.loads(path.read_text())


def main() -> None:
    """Make the data sets, train on each, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("constructed"))
    parser.add_argument("--dataset", default="critters")
    parser.add_argument("--data", help="its folder; critters are drawn")
    parser.add_argument("--arch", default="critters_resnet")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--images", type=int, default=1620, help="critters that are drawn")
    parser.add_argument("--size", type=int, default=32, help="pixels, also of a folder")
    parser.add_argument("--iterations", type=int, default=40, help="steps for each image")
    parser.add_argument("--within", type=float, default=1.5, help="radius of moves to a class")
    parser.add_argument("--train-eps", type=float, default=1.0, help="of the robust network")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=54)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--val", type=int, default=270, help="validation images")
    parser.add_argument("--eps", type=float, nargs="+", default=[0.25, 0.5, 1.0])
    args = parser.parse_args()

    if args.dataset == "critters":
        numbers = {"n_train": args.images, "n_val": 540}
        folder = args.out / "critters"
        originals = CrittersDataSet(folder, size=args.size, custom_class_args=numbers)
    else:
        size = {"size": args.size} if args.dataset == "folder" else {}
        originals = open_data_set(args.dataset, args.data, **size)
    sets = {"originals": originals}
    sets |= {kind: constructed(originals, kind, args) for kind in args.kinds}
    if "robust" in sets:
        sets["robust-network"] = originals
    for name, data in sets.items():
        seeds = args.seeds if name != "robust-network" else [0]
        runs = [measured(data, name, seed, args) for seed in seeds]
        for measure in runs[0]:
            values = [run[measure] for run in runs]
            each = ", ".join(f"{value:.1f}" for value in values)
            print(f"{name}: {measure}: {sum(values) / len(values):.1f} ({each})")


if __name__ == "__main__":
    main()
