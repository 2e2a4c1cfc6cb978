"""Auto-PGD: its checkpoints, when steps are halved, and what it reaches where that is known."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from networks import PLAIN, Linear, wrapped
from torch import nn

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.upstream.attack.schedules import APGD
from robust_reps_ext.upstream.attack.steps import L2Step, LinfStep

X = torch.full((1, 1, 1, 2), 0.5)


class Wide:
    """A set that ends nowhere, with moves of length 1 in sign."""

    @staticmethod
    def step(x, g):
        return x + g.sign()

    @staticmethod
    def project(x):
        return x


def test_checkpoints_are_those_of_the_paper():
    """p = 0.22, 0.41, 0.57, ...: each interval 0.03 shorter, none below 0.06; w = ceil(p n)."""
    assert [*APGD.checkpoints_of(100)] == [22, 41, 57, 70, 80, 87, 93, 99]
    assert [*APGD.checkpoints_of(100).values()] == [22, 19, 16, 13, 10, 7, 6, 6]
    for steps in (1, 3, 7, 20, 50, 1000):
        found = APGD.checkpoints_of(steps)
        assert all(0 < place <= steps for place in found)
        assert sum(found.values()) == max(found)


def driven(values, steps=100):
    """The shares of the step after objectives `values`, (steps, N) at the iterates 0, 1, ..."""
    schedule = APGD(Wide(), steps)
    shares, starts = [], []
    for i, ascent in enumerate(torch.tensor(values).float()):
        x = torch.full((len(ascent), 1, 1, 2), float(i))
        ahead = schedule(x, torch.ones_like(x), i, ascent)
        shares.append(schedule.memory["share"].clone())
        starts.append(ahead)
    return torch.stack(shares), starts


def test_steps_are_halved_where_fewer_than_three_quarters_of_them_raise_the_objective():
    """Up to checkpoint 22 there are 22 steps: 17 that gain are enough, 16 are not."""
    enough = [i if i <= 17 else 17 - 0.1 * (i - 17) for i in range(23)]
    too_few = [i if i <= 16 else 16 - 0.1 * (i - 16) for i in range(23)]
    shares, _ = driven([[a, b] for a, b in zip(enough, too_few, strict=True)])
    assert bool((shares[:22] == 1).all())
    assert shares[22].tolist() == [1, 0.5]


def test_steps_are_halved_where_neither_they_nor_the_best_objective_changed():
    """From checkpoint 22 to 41 the objective falls once and climbs again, to below its best."""
    values = [float(i) for i in range(23)]
    values += [0.0] + [float(i) for i in range(1, 19)]
    assert len(values) == 42
    risen = sum(b > a for a, b in pairwise(values[22:]))
    assert risen >= 0.75 * 19  # the other condition does not hold
    # A second image whose steps were halved at 22 has changed them since.
    other = [0.0] * 22 + [-1.0] + values[23:]
    assert max(other[23:]) > 0
    other = [a if i <= 22 else a - 100 for i, a in enumerate(other)]
    shares, _ = driven([[a, b] for a, b in zip(values, other, strict=True)])
    assert shares[22].tolist() == [1, 0.5]
    assert shares[41].tolist() == [0.5, 0.5]


def test_after_halving_the_run_goes_on_from_the_best_iterate():
    """The best is iterate 3; with x = 22 before it: 3 + 3/4 (1/2) + 1/4 (3 - 22)."""
    values = [[float(i if i <= 3 else -i)] for i in range(23)]
    _, after = driven(values)
    torch.testing.assert_close(after[22], torch.full_like(after[22], 3 + 0.375 - 4.75))
    # Without it: x + 3/4 (1) + 1/4 (x - x'), and at first the whole step.
    torch.testing.assert_close(after[0], torch.ones_like(after[0]))
    torch.testing.assert_close(after[5], torch.full_like(after[5], 5 + 0.75 + 0.25))


def bowl(network, inp, target):
    """A curved objective, in whose box and ball the best is not at the rim of both."""
    return -((inp - target) ** 2 * torch.tensor([1.0, 30.0])).flatten(1).sum(1), None


@pytest.mark.parametrize("constraint", ["2", "inf"])
def test_the_best_objective_never_falls_and_ends_at_the_known_optimum(constraint):
    model = wrapped(Linear(2, bias=False), PLAIN)
    target = torch.tensor([[[[0.62, 0.55]]], [[[0.45, 0.5]]]])
    seen = []
    found = model.attacker(
        X.expand(2, 1, 1, 2), target, constraint=constraint, eps=0.2, step_size=0.4, iterations=100,
        schedule="apgd", custom_loss=bowl, should_normalize=False,
        callback=lambda i, x, losses: seen.append(losses),
    )  # fmt: skip
    best = torch.stack(seen).cummax(dim=0).values
    assert bool((best[1:] >= best[:-1]).all())
    torch.testing.assert_close(found, target, atol=2e-3, rtol=0)
    with torch.no_grad():
        end = bowl(None, found, target)[0]
    assert bool((end >= best[-1] - 1e-7).all())


@pytest.mark.parametrize("constraint", ["2", "inf"])
def test_a_linear_network_reaches_the_known_worst_case(constraint):
    torch.manual_seed(0)
    model = wrapped(Linear(48, 3, bias=False), PLAIN)
    x = torch.full((3, 3, 4, 4), 0.5)
    labels, eps = torch.tensor([0, 1, 2]), 0.2
    found = model.attacker(
        x, labels, constraint=constraint, eps=eps, step_size=2 * eps, iterations=10,
        schedule="apgd",
        custom_loss=lambda network, inp, t: (network(inp)[torch.arange(3), t], None),
    )  # fmt: skip
    w = model.model.fc.weight.detach()
    rise = {"2": w / w.norm(dim=1, keepdim=True), "inf": w.sign()}[constraint]
    torch.testing.assert_close(found.flatten(1), x.flatten(1) + eps * rise, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [L2Step, LinfStep])
def test_an_image_goes_its_own_way_whatever_others_are_in_the_batch(kind):
    torch.manual_seed(1)
    network = wrapped(nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 4)))
    x, labels = torch.rand(5, 3, 2, 2), torch.tensor([0, 1, 2, 3, 0])
    how = {"constraint": "2" if kind is L2Step else "inf", "eps": 0.3, "step_size": 0.6}
    how |= {"iterations": 30, "schedule": "apgd", "drop_finished": True}
    how["custom_loss"] = lambda network, inp, t: (
        nn.functional.cross_entropy(network(inp), t, reduction="none"),
        network(inp),
    )
    how["stop_when"] = lambda losses, scores: losses > 1.5
    network.model.forward = lambda inp, *_, **__: nn.Sequential.forward(network.model, inp)
    together = network.attacker(x, labels, **how)
    alone = [network.attacker(x[i : i + 1], labels[i : i + 1], **how) for i in range(5)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_it_needs_a_gradient():
    model = wrapped(Linear(2, bias=False), PLAIN)
    with pytest.raises(InputError, match="schedule='apgd' follows the gradient"):
        model.attacker(
            X, torch.tensor([0]), constraint="random_smooth", eps=1, step_size=1, iterations=1,
            schedule="apgd",
        )  # fmt: skip
