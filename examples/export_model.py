"""Turn a training checkpoint into a plain safetensors file with a card of what it is.

    python examples/export_model.py --checkpoint runs/robust/checkpoint.pt.latest \
        --dataset critters_fine --eps 4 --command "python -m robustness.main ..." OUT.safetensors
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch
from robustness.datasets import DATASETS
from safetensors.torch import save_file

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters


def main() -> None:
    """Load, evaluate, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the safetensors file to write, its card beside it")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--dataset", default="critters_fine", choices=["critters", "critters_fine"])
    parser.add_argument(
        "--eps", type=float, default=4.0, help="radius of the attack it is tried on"
    )
    parser.add_argument("--command", required=True, help="what trained it, recorded in the card")
    args = parser.parse_args()

    model = rr.load_model(args.checkpoint, dataset=args.dataset)
    data = DATASETS[args.dataset]()
    _, loader = data.make_loaders(workers=0, batch_size=135, only_val=True)
    groups: dict[str, torch.Tensor | None] = {args.dataset: None}
    if args.dataset == "critters_fine":
        groups["critters"] = critters.coarse_labels()
    accuracies = {}
    for labels, group in groups.items():
        for found in rr.evaluate(model, loader, eps=args.eps, attack_steps=[20], group=group):
            low, high = found.interval()
            accuracies[f"{labels} {found.name}"] = {
                "accuracy": round(found.share, 4),
                "interval": [round(low, 4), round(high, 4)],
                "images": found.n,
            }
    weights = {
        **{f"model.{name}": value for name, value in model.model.state_dict().items()},
        "normalizer.new_mean": model.normalizer.new_mean,
        "normalizer.new_std": model.normalizer.new_std,
    }
    save_file({name: value.contiguous() for name, value in weights.items()}, args.out)
    card = {
        "arch": model.card["arch"],
        "dataset": args.dataset,
        "data_version": critters.DATA_VERSION,
        "classes": model.card["classes"],
        "epoch": model.card["epoch"],
        "eps": args.eps,
        "attack": "L2 PGD-20, step eps / 8, from the image",
        "accuracies": accuracies,
        "command": args.command,
        "torch": torch.__version__,
        "sha256": hashlib.sha256(args.out.read_bytes()).hexdigest(),
    }
    args.out.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
