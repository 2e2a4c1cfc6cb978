"""Seconds of an L2-PGD-20 attack: ``OMP_NUM_THREADS=2 python benchmarks/attack.py``.

On a ResNet-50 with random weights at 224 pixels, batch 4, eps 3 and 20 steps of 0.375 (Tables 4
and 5), beside torchattacks and foolbox (``pip install -r benchmarks/requirements.txt``). What is
attacked are the network's own predictions; the copy of the network is made within the time, and
all give back the last iterate. bfloat16 is timed where the processor has instructions for it.
"""

from __future__ import annotations

import argparse
from functools import partial
from types import SimpleNamespace

import foolbox
import torch
import torchattacks
from robustness.attacker import AttackerModel
from timing import in_turns, machine, random_resnet50, table
from torch import Tensor, nn

from robust_reps_ext.models.fast import fast_network
from robust_reps_ext.upstream.precision import is_fast

STATISTICS = SimpleNamespace(mean=torch.full((3,), 0.5), std=torch.full((3,), 0.25))
EPS, STEP, STEPS = 3.0, 0.375, 20


class Logits(nn.Module):
    """The logits of images in [0, 1], as the other libraries want them."""

    def __init__(self, model: AttackerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.model(x)[0]
        return found


def ours(model: AttackerModel, x: Tensor, labels: Tensor, dtype: torch.dtype | None) -> Tensor:
    inp = model.normalizer(x[:2])

    def loss(network: nn.Module) -> tuple[Tensor, None]:
        return nn.functional.cross_entropy(network(inp), labels[:2], reduction="none"), None

    network = fast_network(model.model, inp, loss, dtype=dtype)
    found: Tensor = model.attacker(
        x, labels, constraint="2", eps=EPS, step_size=STEP, iterations=STEPS, network=network,
        mixed_precision=dtype is not None, use_best=False,
    )  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.manual_seed(0)
    network = random_resnet50()
    model = AttackerModel(network, STATISTICS).eval()
    logits = Logits(model).eval()
    x = torch.rand(given.batch, 3, 224, 224)
    with torch.no_grad():
        scores = logits(x)
        # Random weights give scores in the hundreds, at which cross-entropy has no gradient.
        network.fc.weight.div_(scores.std())
        network.fc.bias.sub_(logits(x).mean(0))
        labels = logits(x).argmax(1)
    torchattack = torchattacks.PGDL2(logits, eps=EPS, alpha=STEP, steps=STEPS, random_start=False)
    fmodel = foolbox.PyTorchModel(logits, bounds=(0, 1), device="cpu")
    fattack = foolbox.attacks.L2ProjectedGradientDescentAttack(
        abs_stepsize=STEP, steps=STEPS, random_start=False
    )
    sides = {
        "torchattacks PGDL2": partial(torchattack, x, labels),
        "foolbox L2PGD": lambda: fattack(fmodel, x, labels, epsilons=EPS)[1],
        "robust_reps_ext, float32": partial(ours, model, x, labels, None),
    }
    if is_fast(x.device):
        sides["robust_reps_ext, bfloat16"] = partial(ours, model, x, labels, torch.bfloat16)
    for name, attack in sides.items():
        found = attack()
        with torch.no_grad():
            scores = logits(found)
        loss = float(nn.functional.cross_entropy(scores, labels))
        changed = float((scores.argmax(1) != labels).float().mean())
        radius = float((found - x).flatten(1).norm(dim=1).max())
        print(f"{name:28s} success {changed:.0%}, mean loss {loss:.3f}, radius {radius:.3f}")
    times = in_turns(sides, given.rounds, warm=True)
    print(f"{machine()}; batch {given.batch}, {given.rounds} rounds")
    table(times, "torchattacks PGDL2")


if __name__ == "__main__":
    main()
