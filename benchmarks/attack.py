"""Seconds of an L2-PGD-20 attack: ``OMP_NUM_THREADS=2 python benchmarks/attack.py``.

On a ResNet-50 with random weights at 224 pixels, batches of 4, eps 3 and 20 steps of 0.375 (Tables
4 and 5), beside torchattacks and foolbox (``pip install -r benchmarks/requirements.txt``). What is
attacked are the network's own predictions, and all give back the last iterate. Our copy of the
network is made within the time, once for all batches, as `robust_reps_ext.evaluate` makes it; what
it costs is told, too. bfloat16 is timed where the processor has instructions for it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from types import SimpleNamespace

import foolbox
import torch
import torchattacks
from robustness.attacker import AttackerModel
from timing import Logits, in_turns, machine, random_resnet50, table
from torch import Tensor, nn

from robust_reps_ext.experiments.accuracy import attacked_network
from robust_reps_ext.runtime.precision import is_fast

STATISTICS = SimpleNamespace(mean=torch.full((3,), 0.5), std=torch.full((3,), 0.25))
EPS, STEP, STEPS = 3.0, 0.375, 20


class Ours:
    """Our attack on all batches, and what of its time went into the copy."""

    def __init__(self, model: AttackerModel, dtype: torch.dtype | None) -> None:
        self.model, self.dtype = model, dtype
        self.copying: list[float] = []

    def __call__(self, batches: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        begun = time.perf_counter()
        network = attacked_network(self.model, *batches[0], None, self.dtype)
        self.copying.append(time.perf_counter() - begun)
        return [
            self.model.attacker(
                x, labels, constraint="2", eps=EPS, step_size=STEP, iterations=STEPS,
                network=network, mixed_precision=self.dtype is not None, use_best=False,
            )
            for x, labels in batches
        ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.manual_seed(0)
    network = random_resnet50()
    model = AttackerModel(network, STATISTICS).eval()
    logits = Logits(model).eval()
    images = torch.rand(given.batches * given.batch, 3, 224, 224)
    with torch.no_grad():
        scores = logits(images)
        # Random weights give scores in the hundreds, at which cross-entropy has no gradient.
        network.fc.weight.div_(scores.std())
        network.fc.bias.sub_(logits(images).mean(0))
        labels = logits(images).argmax(1)
    batches = list(zip(images.split(given.batch), labels.split(given.batch), strict=True))
    torchattack = torchattacks.PGDL2(logits, eps=EPS, alpha=STEP, steps=STEPS, random_start=False)
    fmodel = foolbox.PyTorchModel(logits, bounds=(0, 1), device="cpu")
    fattack = foolbox.attacks.L2ProjectedGradientDescentAttack(
        abs_stepsize=STEP, steps=STEPS, random_start=False
    )
    mine = {"robust_reps_ext, float32": Ours(model, None)}
    if is_fast(images.device):
        mine["robust_reps_ext, bfloat16"] = Ours(model, torch.bfloat16)
    sides = {
        "torchattacks PGDL2": lambda: [torchattack(x, aim) for x, aim in batches],
        "foolbox L2PGD": lambda: [fattack(fmodel, x, aim, epsilons=EPS)[1] for x, aim in batches],
        **{name: partial(side, batches) for name, side in mine.items()},
    }
    for name, attack in sides.items():
        found = torch.cat(attack())
        with torch.no_grad():
            scores = logits(found)
        loss = float(nn.functional.cross_entropy(scores, labels))
        changed = float((scores.argmax(1) != labels).float().mean())
        radius = float((found - images).flatten(1).norm(dim=1).max())
        print(f"{name:28s} success {changed:.0%}, mean loss {loss:.3f}, radius {radius:.3f}")
    times = in_turns(sides, given.rounds, warm=True)
    print(
        f"{machine()}; {given.batches} batches of {given.batch}, {STEPS} steps, "
        f"{given.rounds} rounds"
    )
    table(times, "torchattacks PGDL2", per=given.batches * STEPS)
    for name, side in mine.items():
        seconds = statistics.median(side.copying[1:])
        print(f"{name}: of a run, {seconds:.2f} s made the copy")


if __name__ == "__main__":
    main()
