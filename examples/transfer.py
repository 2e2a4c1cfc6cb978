"""Train a network for your data from the body of a robust one, with a new last layer.

    python examples/transfer.py --model photographs-robust --dataset critters_fine --eps 4 \
        --attack-lr 2.5 --minutes 22 --exp-name critters-robust
    python examples/transfer.py --model resnet50_l2_eps3 --dataset folder --data DIR --size 224

What a robust network has learned is of use for other data (Salman et al. 2020, "Do adversarially
robust ImageNet models transfer better?"), and what it says of an image stays: the labels of
critters name no background, and a network that is trained on them alone forgets it. All layers are
trained, with the fast recipe of docs/training.md. The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from cox.utils import Parameters
from robustness import train
from robustness.attacker import AttackerModel
from robustness.datasets import DataSet
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.datasets.samples import open_data_set


def with_new_head(name: str, data: DataSet) -> tuple[AttackerModel, str]:
    """The network `name` with a last layer for the classes of the data, and its architecture."""
    source = rr.load_model(name, check=False)
    network = source.model
    last = [one for one, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    old = network.get_submodule(last)
    folder, _, attribute = last.rpartition(".")
    new = nn.Linear(old.in_features, data.num_classes)
    setattr(network.get_submodule(folder), attribute, new)
    return AttackerModel(network, data), source.card["arch"]


def main() -> None:
    """Train, or go on, and say how accurate it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="photographs-robust", help="whose body it begins with")
    parser.add_argument("--dataset", default="critters_fine")
    parser.add_argument("--data", help="folder of the data set; critters do without one")
    parser.add_argument("--size", type=int, help="of the images, for --dataset folder")
    parser.add_argument("--out-dir", type=Path, default=Path("runs"))
    parser.add_argument("--exp-name", default="transferred")
    parser.add_argument("--minutes", type=float, default=20, help="of training, by the clock")
    parser.add_argument("--adv-train", type=int, choices=(0, 1), default=1)
    parser.add_argument("--eps", type=float, default=1.0, help="radius of the attack, L2")
    parser.add_argument("--attack-lr", type=float, default=0.625, help="its step size")
    parser.add_argument("--attack-steps", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.05, help="at its highest, one-cycle")
    parser.add_argument("--batch-size", type=int, default=128)
    args = parser.parse_args()

    torch.manual_seed(0)
    more = {} if args.size is None else {"size": args.size}
    data = open_data_set(args.dataset, args.data, **more)
    model, arch = with_new_head(args.model, data)
    out = args.out_dir / args.exp_name
    out.mkdir(parents=True, exist_ok=True)
    loaders = data.make_loaders(workers=0, batch_size=args.batch_size)
    side = next(iter(loaders[1]))[0].shape[-1]
    settings = {
        "out_dir": str(out), "arch": arch, "dataset": args.dataset, "seed": 0, "epochs": 1000,
        "minutes": args.minutes, "lr": args.lr, "custom_lr_multiplier": "one-cycle",
        "momentum": 0.9, "nesterov": 1, "weight_decay": 5e-4, "decay_norms": 0, "ema": 0.998,
        "label_smoothing": 0.1, "image_sizes": f"[(0, {side * 3 // 4}), (0.5, {side})]",
        "adv_train": args.adv_train, "adv_eval": args.adv_train, "constraint": "2",
        "eps": args.eps, "eps_warmup": 0.3, "attack_lr": args.attack_lr,
        "attack_steps": args.attack_steps, "random_start": 1, "random_radius": "uniform",
        "random_restarts": 0, "use_best": 0, "save_interval": 300, "log_iters": 1,
    }  # fmt: skip
    latest, kept = out / "checkpoint.pt.latest", None
    if latest.exists():
        kept = torch.load(latest, weights_only=True)
        state = {name.removeprefix("module."): value for name, value in kept["model"].items()}
        model.load_state_dict(state)
        settings["resume"] = str(latest)
    train.train_model(Parameters(settings), model, loaders, checkpoint=kept)
    print(f"the network: {latest}")


if __name__ == "__main__":
    main()
