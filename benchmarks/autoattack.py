"""Which images withstand attack, beside AutoAttack's own runs: ``python benchmarks/autoattack.py``.

``attack="standard"`` (Auto-PGD on the cross-entropy, then on the targeted DLR loss towards nine
classes) beside the same two attacks of pyautoattack (see `requirements.txt`), on critters that the
networks see right. Every image is told apart: broken by both, by neither, by one. With ``--full``
pyautoattack also runs its other two, FAB and Square, which ours has not. One process, one thread;
ours makes its copy of the network within its time.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import pyautoattack
import torch
from robustness.attacker import AttackerModel
from timing import Logits, machine
from torch import Tensor

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.experiments.attacks import attacked_network, check_attack

OF_AUTOATTACK = ("apgd-ce", "apgd-t")
RADII = {"critters-robust": {"2": 4.0, "inf": 0.06}, "critters-standard": {"2": 0.8, "inf": 0.01}}
NORMS = {"2": "L2", "inf": "Linf"}


def right_images(model: AttackerModel, n: int) -> tuple[Tensor, Tensor]:
    """The first n critters that the network sees right, and their labels."""
    drawn = critters.draw(4 * n, seed=11)
    images, labels = drawn.images / 255, drawn.fine_labels
    with torch.no_grad():
        seen = torch.cat([model(some)[0].argmax(1) for some in images.split(64)])
    right = (seen == labels).nonzero().squeeze(1)[:n]
    return images[right], labels[right]


def theirs(
    model: AttackerModel, images: Tensor, labels: Tensor, norm: str, eps: float, full: bool
) -> Tensor:
    """Whether each image withstands pyautoattack's attacks."""
    logits = Logits(model).eval()
    adversary = pyautoattack.AutoAttack(
        logits, norm=NORMS[norm], eps=eps, version="standard", device="cpu", seed=0
    )
    if not full:
        adversary.attacks_to_run = [*OF_AUTOATTACK]
    found, _ = adversary.run_standard_evaluation(images, labels, batch_size=len(images))
    with torch.no_grad():
        return logits(found).argmax(1) == labels


def ours(model: AttackerModel, images: Tensor, labels: Tensor, norm: str, eps: float) -> Tensor:
    """Whether each image withstands ours."""
    attack = check_attack(eps, attack="standard", constraint=norm)
    with torch.no_grad():
        scores = model(images)[0]
    network = attacked_network(model, images, labels, None, None)
    found = attack.correct(model, network, images, labels, scores, range(len(images)))
    return found[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--models", default="critters-robust,critters-standard")
    parser.add_argument("--norms", default="2,inf")
    parser.add_argument("--eps", type=float, help="default: one for each network and norm")
    parser.add_argument("--full", action="store_true", help="pyautoattack's other two, too")
    parser.add_argument("--out", type=Path, help="a JSON file with the verdict on every image")
    given = parser.parse_args()
    told = []
    for name in given.models.split(","):
        model = rr.load_model(name)
        images, labels = right_images(model, given.n)
        for norm in given.norms.split(","):
            eps = RADII[name][norm] if given.eps is None else given.eps
            begun = time.perf_counter(), time.process_time()
            mine = ours(model, images, labels, norm, eps)
            between = time.perf_counter(), time.process_time()
            other = theirs(model, images, labels, norm, eps, given.full)
            end = time.perf_counter(), time.process_time()
            row = {
                "model": name,
                "norm": NORMS[norm],
                "eps": eps,
                "images": len(images),
                "stand, ours": int(mine.sum()),
                "stand, theirs": int(other.sum()),
                "broken by theirs alone": (mine & ~other).nonzero().squeeze(1).tolist(),
                "broken by ours alone": (other & ~mine).nonzero().squeeze(1).tolist(),
                "seconds, ours": round(between[0] - begun[0], 1),
                "seconds, theirs": round(end[0] - between[0], 1),
                "processor seconds, ours": round(between[1] - begun[1], 1),
                "processor seconds, theirs": round(end[1] - between[1], 1),
            }
            print(json.dumps(row), flush=True)
            told.append({**row, "ours": mine.tolist(), "theirs": other.tolist()})
    print(machine())
    if given.out:
        given.out.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
