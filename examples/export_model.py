"""Turn a training checkpoint into a plain safetensors file with a card of what it is.

    python examples/export_model.py --checkpoint runs/robust/checkpoint.pt.latest \
        --dataset critters_fine --eps 4 --command "python -m robustness.main ..." OUT.safetensors
    python examples/export_model.py --checkpoint runs/photographs/checkpoint.pt.latest --half \
        --dataset tiny_imagenet --data DIR --eps 1 --command "..." OUT.safetensors
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from robustness.datasets import DataSet
from safetensors.torch import save_file
from torch.utils.data import Subset

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.datasets.samples import DRAWN, class_names, open_data_set, validation_set
from robust_reps_ext.models.checkpoints import read_checkpoint
from robust_reps_ext.models.checkpoints.data_facts import attack_facts
from robust_reps_ext.models.inputs import size_of


def main() -> None:
    """Write, load what was written, evaluate it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the safetensors file to write, its card beside it")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--dataset", default="critters_fine")
    parser.add_argument("--data", help="folder of the data set; critters do without one")
    parser.add_argument(
        "--eps", type=float, default=4.0, help="radius of the attack it is tried on"
    )
    parser.add_argument(
        "--attack-steps", type=int, nargs="+", default=[20, 100], help="steps of that attack"
    )
    parser.add_argument(
        "--attacked", type=int, metavar="N", help="attack about so many, evenly chosen; default all"
    )
    parser.add_argument("--half", action="store_true", help="write half-precision weights")
    parser.add_argument("--command", required=True, help="what trained it, recorded in the card")
    parser.add_argument("--note", help="what else there is to say of it, recorded in the card")
    args = parser.parse_args()

    data = open_data_set(args.dataset, args.data)
    write(args.out, rr.load_model(args.checkpoint, dataset=data), half=args.half)
    model = rr.load_model(args.out, dataset=data)
    raw = read_checkpoint(args.checkpoint).raw
    seconds = (raw.get("course") or {}).get("seconds")
    card = {
        "arch": model.card["arch"],
        "dataset": args.dataset,
        "data_version": critters.DATA_VERSION if args.dataset.startswith("critters") else None,
        "data": getattr(data, "description", None),
        "classes": model.card["classes"],
        "size": size_of(model),
        "data_set": None if args.dataset in DRAWN else told_of(data),
        "epoch": raw.get("epoch"),
        "minutes": round(seconds / 60, 1) if seconds else None,
        "seed": raw.get("seed"),
        "trained_against": attack_facts(raw) or None,
        "eps": args.eps,
        "attack": "L2 PGD, step eps / 8, from the image",
        "accuracies": accuracies(model, data, args.eps, args.attack_steps, args.attacked),
        "command": args.command,
        "note": args.note,
        "torch": torch.__version__,
        "sha256": hashlib.sha256(args.out.read_bytes()).hexdigest(),
    }
    card = {name: value for name, value in card.items() if value is not None}
    args.out.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(card, indent=2))


def told_of(data: DataSet) -> dict[str, Any]:
    """What a user needs who has only the model: the size of its images, and its classes' names."""
    image, _ = validation_set(data)[0]
    return {"name": data.ds_name, "size": image.shape[-1], "classes": class_names(data)}


def write(path: Path, model: Any, *, half: bool) -> None:
    """The weights and the normaliser; `half` keeps them as float16."""
    weights = {
        name: value.half() if half and value.is_floating_point() else value
        for name, value in model.model.state_dict().items()
    }
    tensors = {f"model.{name}": value.contiguous() for name, value in weights.items()}
    normalizer = model.normalizer
    tensors |= {
        "normalizer.new_mean": normalizer.new_mean.contiguous(),
        "normalizer.new_std": normalizer.new_std.contiguous(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)


def accuracies(
    model: Any, data: DataSet, eps: float, attack_steps: list[int], attacked: int | None = None
) -> dict[str, Any]:
    """Of the labels on all validation images, and of the animals on those that show one.

    Clean ones are counted on all of them, those under attack on about `attacked`.
    """
    images = validation_set(data)
    groups: dict[str, tuple[Any, torch.Tensor | None]] = {data.ds_name: (images, None)}
    if data.ds_name == "critters_fine":
        groups["critters"] = images, critters.coarse_labels()
    elif data.ds_name == "tiny_imagenet" and (animals := data.super_classes()):
        group = torch.full((data.num_classes,), -1)
        for number, labels in enumerate(animals.values()):
            group[labels] = number
        of_animals = [i for i, label in enumerate(images.targets) if group[label] >= 0]
        groups["restricted_tiny_imagenet"] = Subset(images, of_animals), group
    found = {}
    for labels, (some, group) in groups.items():
        every = 1 if attacked is None else max(1, len(some) // attacked)
        few = Subset(some, range(0, len(some), every))
        how = {"eps": eps, "group": group, "batch_size": 128}
        _, *broken = rr.evaluate(model, few, attack_steps=attack_steps, **how)
        for one in (*rr.evaluate(model, some, attack_steps=[], **how), *broken):
            low, high = one.interval()
            found[f"{labels} {one.name}"] = {
                "accuracy": round(one.share, 4),
                "interval": [round(low, 4), round(high, 4)],
                "balanced": round(one.balanced, 4),
                "images": one.n,
            }
    return found


if __name__ == "__main__":
    main()
