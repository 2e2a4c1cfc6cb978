"""What must hold on a card, as far as one that is pretended can tell: see `pretend_cuda`."""

from __future__ import annotations

import pytest
import torch
from pretend_cuda import PretendCuda
from test_every_call import CALLS, made, syntheses

import robust_reps_ext as rr
from robust_reps_ext.synthesis.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:the objective has no gradient")

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(3))
LABELS = torch.tensor([0, 1, 2, 1])
GROUP = torch.tensor([0, 1, 1])
# Of cards before Ampere, which compute as the CPU does, but for the order of sums.
EXACT = (7, 5)

MORE_CALLS = CALLS | {
    "visualize by Fourier": lambda m, x: rr.visualize(
        m, coordinates=[0, 3], seeds=x[:2], parameterization="fourier", iterations=2
    ),
    "visualize what is moved": lambda m, x: rr.visualize(
        m, coordinates=[0, 3], seeds=x[:2], transform="jitter,rotate,scale", iterations=2
    ),
    "evaluate groups": lambda m, x: rr.evaluate(
        m, [(x, LABELS.to(x.device))], eps=0.5, attack_steps=[2], group=GROUP.to(x.device)
    ),
    "invert with frames": lambda m, x: rr.invert(m, x, iterations=3, frames=3),
    "invert in small batches": lambda m, x: rr.invert(m, x, iterations=2, batch_size=3),
    "rows of a result": lambda m, x: rr.invert(m, x, iterations=2)[1:3],
    "chosen rows of a result": lambda m, x: rr.invert(m, x, iterations=2)[
        torch.tensor([2, 0]).to(x.device)
    ],
}


def tensors(result):
    """All that a call gives back, to be compared."""
    if isinstance(result, torch.Tensor):
        return {"": result}
    if isinstance(result, tuple):
        return {one.name: torch.tensor(one.correct) for one in result}
    if hasattr(result, "values") and isinstance(result.values, torch.Tensor):
        return {"values": result.values}
    return {
        f"{i} {name}": getattr(one, name)
        for i, one in enumerate(syntheses(result))
        for name in ("images", "objective", "trace")
        if hasattr(one, name)
    }


@pytest.mark.parametrize("name", MORE_CALLS)
@pytest.mark.parametrize(("cards", "images_at"), [(1, "cpu"), (1, "card"), (2, "card")])
def test_every_call_on_a_card(name, images_at, cards):
    """No mixed devices, the result where the images are, the CPU's values, one card's seeds."""
    call, device = MORE_CALLS[name], f"cuda:{cards - 1}"
    expected, model = tensors(call(made(False)[0], IMAGES)), made(False)[0]
    with PretendCuda(cards, capability=EXACT) as card:
        model = model.to(device)
        home = torch.device(device if images_at == "card" else "cpu")
        card.forget()
        result = call(model, IMAGES.to(home))
        found = tensors(result)
        for one in syntheses(result):
            assert getattr(one, "images", IMAGES.to(home)).device == home
        assert {one.device for one in model.state_dict().values()} == {torch.device(device)}
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found[key].cpu(), value, rtol=1e-3, atol=1e-4, msg=key)
    assert card.mixed == []
    assert set(card.seeded) <= {cards - 1}


def by_patience(model, images, iterations):
    settings = Settings(10.0, 0.01, iterations, patience=1000)
    target = rr.representation(model, images.flip(0))
    return rr.synthesize(model, rr.RepresentationMatching(), target, images, settings)


def loader(images):
    return [(images, LABELS.to(images.device))]


RUNS = {
    "invert": lambda m, x, n: rr.invert(m, x, iterations=n, schedule="paper"),
    "invert in bfloat16": lambda m, x, n: rr.invert(
        m, x, iterations=n, schedule="paper", precision="bfloat16"
    ),
    "invert by cosine": lambda m, x, n: rr.invert(m, x, iterations=n, schedule="cosine-momentum"),
    "invert by lbfgs": lambda m, x, n: rr.invert(m, x, iterations=n, schedule="lbfgs"),
    "invert while telling": lambda m, x, n: rr.invert(
        m, x, iterations=n, schedule="paper", progress=lambda *_: None
    ),
    "patience": by_patience,
    "visualize": lambda m, x, n: rr.visualize(m, coordinates=[0, 3], seeds=x, iterations=n),
    "visualize what is moved": lambda m, x, n: rr.visualize(
        m, coordinates=[0, 3], seeds=x, iterations=n, transform="jitter,rotate,scale"
    ),
    "visualize by Fourier": lambda m, x, n: rr.visualize(
        m, coordinates=[0, 3], seeds=x, iterations=n, parameterization="fourier"
    ),
    "add_feature": lambda m, x, n: rr.add_feature(
        m, x, coordinate=1, iterations=n, schedule="paper"
    ),
    "a sum within a mask": lambda m, x, n: rr.synthesize(
        *(m, rr.ClassLogit() + rr.CoordinateMaximization() - rr.Diverge() + rr.TotalVariation()),
        *(LABELS, x, Settings(1.0, 0.1, n, mask=torch.eye(x.shape[-1]), constraint="inf")),
    ),
    "evaluate": lambda m, x, n: rr.evaluate(m, loader(x), eps=0.5, attack_steps=[n]),
    "evaluate groups": lambda m, x, n: rr.evaluate(
        m, loader(x), eps=0.5, attack_steps=[n], group=GROUP.to(x.device)
    ),
    "attack": lambda m, x, n: m(
        x, LABELS, make_adv=True, constraint="2", eps=1.0, step_size=0.1, iterations=n
    ),
    "attack of many starts": lambda m, x, n: m(
        *(x, LABELS),
        make_adv=True,
        constraint="inf",
        eps=0.03,
        step_size=0.01,
        iterations=n,
        random_start=True,
        random_restarts=2,
    ),
}

# Where a step does not run without a wait of the host: how many.
WAITS = {"invert while telling": 0.2, "patience": 0.1, "add_feature": 0.1}
# Launches a step of a network of a convolution, a batch norm, a ReLU and a linear layer.
LAUNCHES = {
    "invert by lbfgs": 240,
    "visualize what is moved": 128,
    "a sum within a mask": 120,
}
MOST_LAUNCHES = 92


def counted(run, iterations):
    model = made(False)[0]
    with PretendCuda() as card:
        model = model.to("cuda")
        card.forget()
        run(model, IMAGES, iterations)
    return card


def a_step(run, few=11, many=21):
    """Waits by place, and launches, of one more step."""
    less, more = (counted(run, n) for n in (few, many))
    steps = many - few
    waits = more.waits - less.waits
    return (
        {key: times / steps for key, times in waits.items()},
        (more.launches - less.launches) / steps,
    )


@pytest.mark.parametrize("name", RUNS)
def test_a_step_waits_for_nothing_and_launches_little(name):
    waits, launches = a_step(RUNS[name])
    assert sum(waits.values()) == pytest.approx(WAITS.get(name, 0)), waits
    assert 0 < launches <= LAUNCHES.get(name, MOST_LAUNCHES)


def test_a_wait_in_a_step_would_be_found_and_named():
    def nosy(network, x, target):
        value = network(x).float()[:, 0]
        nosy.seen = value.sum().item()
        return value

    def run(model, images, iterations):
        settings = Settings(1.0, 0.1, iterations)
        return rr.synthesize(model, nosy, torch.zeros(4), images, settings)

    waits, _ = a_step(run, 11, 21)
    line = nosy.__code__.co_firstlineno + 2
    assert sum(waits.values()) == 1
    [(kind, where)] = waits
    assert kind == "item"
    # By the line of ours that called it: a test's lines are outside of the package.
    assert where.startswith(("synthesis/protocol.py:", f"test_on_a_pretended_card.py:{line}"))


def test_a_second_card_s_tensors_would_be_found():
    def elsewhere(network, x, target):
        return network(x).float()[:, 0] + torch.zeros(len(x), device="cuda:1")

    model = made(False)[0]
    settings = Settings(1.0, 0.1, 2)
    with PretendCuda(2) as card:
        model = model.to("cuda:0")
        with pytest.raises(RuntimeError, match="cuda:0 and cuda:1"):
            rr.synthesize(model, elsewhere, torch.zeros(4), IMAGES, settings)
    assert card.mixed


if __name__ == "__main__":
    for name, run in RUNS.items():
        try:
            waits, launches = a_step(run)
        except RuntimeError as error:
            print(f"{name:26s} {error}")
        else:
            print(f"{name:26s} {sum(waits.values()):.2f} waits, {launches:.0f} launches", waits)
