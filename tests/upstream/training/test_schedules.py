"""Numbers, schedules and random state: closed forms, torch's own schedulers, hostile text."""

from __future__ import annotations

import random
from argparse import Namespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import StepLR

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime import random_state
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.upstream.arguments import number
from robust_reps_ext.upstream.training import checkpoints
from robust_reps_ext.upstream.training.schedules import eps_multiplier, lr_multiplier, periods

HOSTILE = [
    "__import__('os').system('touch {path}')",
    "open('{path}', 'w')",
    "[].__class__",
    "(lambda: 1)()",
    "x",
    "True",
    "'1'",
    "1 if 1 else 2",
    "9**9**9**9",
    "1/0",
    "1e999",
    "nan",
    "(-8) ** 0.5",
    "(" * 500 + "1" + ")" * 500,
    "0x",
    "1;2",
    "\0",
    "",
]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8/255", 8 / 255),
        ("1e-3", 1e-3),
        (" 3.0 ", 3.0),
        ("-2*(3+1)", -8.0),
        ("2**-1", 0.5),
        (3, 3.0),
        (np.float32(0.5), 0.5),
        (torch.tensor(0.25), 0.25),
    ],
)
def test_number_is_what_is_written(text, value):
    assert number(text, "--eps") == value
    assert number(number(text, "--eps"), "--eps") == value


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 10**6))
@settings(deadline=None, max_examples=50)
def test_number_divides_exactly(numerator, denominator):
    assert number(f"{numerator!r}/{denominator}", "--eps") == numerator / denominator


@pytest.mark.parametrize("text", [*HOSTILE, None, [1], True, 1j, b"1"])
def test_number_runs_nothing_and_names_the_option(text, tmp_path):
    path = tmp_path / "touched"
    text = text.format(path=path) if isinstance(text, str) else text
    with pytest.raises(InputError, match="--eps=") as error:
        number(text, "--eps")
    assert "\n" not in str(error.value)
    assert not path.exists()


def test_number_keeps_its_lower_bound():
    assert number("0", "--eps", at_least=0) == 0
    with pytest.raises(InputError, match="--eps='-1' is below 0"):
        number("-1", "--eps", at_least=0)


@pytest.mark.parametrize(
    "text",
    [
        *HOSTILE[:-1],
        "5",
        "[1, 2]",
        "[(0, 1, 2)]",
        "[(0, 'a')]",
        "[(0, -1)]",
        "[(0, True)]",
        "[(30, 1), (0, 0.1)]",
        "[(0, 1), (0, 0.1)]",
        "[(0, 1e999)]",
        {"a": 1},
    ],
)
def test_periods_run_nothing_and_name_the_option(text, tmp_path):
    path = tmp_path / "touched"
    text = text.format(path=path) if isinstance(text, str) else text
    with pytest.raises(InputError, match="--custom-lr-multiplier="):
        periods(text, "--custom-lr-multiplier")
    assert not path.exists()


def rates(args, epochs):
    multiplier = lr_multiplier(args)
    return [multiplier(epoch) for epoch in range(epochs)]


@pytest.mark.parametrize(("step", "gamma"), [(1, 0.5), (3, 0.1), (50, 0.1)])
def test_step_drops_are_those_of_torch(step, gamma):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = StepLR(optimizer, step, gamma)
    theirs = []
    for _ in range(10):
        theirs += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    ours = rates(Namespace(step_lr=step, step_lr_gamma=gamma), 10)
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_paper_schedule_drops_at_30_and_60():
    args = Namespace(
        custom_lr_multiplier="[(0, 1), (30, 0.1), (60, 0.01)]", step_lr=5, lr_interpolation=None
    )
    assert rates(args, 110) == [1.0] * 30 + [0.1] * 30 + [0.01] * 50


def test_before_the_first_milestone_the_rate_is_whole():
    assert rates(Namespace(custom_lr_multiplier=[[2, 0.1]]), 4) == [1.0, 1.0, 0.1, 0.1]


def test_linear_interpolation_joins_the_points():
    args = Namespace(custom_lr_multiplier="[(0, 1), (4, 0)]", lr_interpolation="linear")
    assert rates(args, 6) == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 15, 30])
def test_cyclic_ramp_trains_every_epoch(epochs):
    ours = rates(Namespace(custom_lr_multiplier="cyclic", epochs=epochs), epochs)
    assert all(0 < rate <= 1 for rate in ours)
    # Upstream's ramp, in the middle of each epoch.
    peak = epochs * 4 // 15
    for epoch, rate in enumerate(ours):
        middle = epoch + 0.5
        expected = middle / peak if middle < peak else (epochs - middle) / (epochs - peak)
        assert rate == pytest.approx(expected)


@pytest.mark.parametrize("given_", [{}, {"step_lr": 0}, {"custom_lr_multiplier": ""}])
def test_no_schedule(given_):
    assert lr_multiplier(Namespace(**given_)) is None


def test_bad_schedule_options_are_named():
    with pytest.raises(InputError, match="--step-lr=-1"):
        lr_multiplier(Namespace(step_lr=-1))
    with pytest.raises(InputError, match="--lr-interpolation='cubic'"):
        lr_multiplier(Namespace(custom_lr_multiplier=[(0, 1)], lr_interpolation="cubic"))


def test_eps_grows_linearly():
    multiplier = eps_multiplier(Namespace(custom_eps_multiplier="[(0, 0), (10, 1)]"))
    assert [multiplier(epoch) for epoch in (0, 5, 10, 20)] == [0.0, 0.5, 1.0, 1.0]
    assert eps_multiplier(Namespace(custom_eps_multiplier=None)) is None


def drawn(loader):
    return (
        random.random(),
        np.random.rand(),  # noqa: NPY002
        torch.rand(1).item(),
        [batch.tolist() for batch in loader],
    )


def shuffled():
    return torch.utils.data.DataLoader(
        torch.arange(20), batch_size=5, shuffle=True, generator=torch.Generator()
    )


def test_captured_state_restores_every_generator(tmp_path):
    loader = shuffled()
    random.gauss(0, 1)
    np.random.randn(1)  # noqa: NPY002
    checkpoints.write(tmp_path / "state.pt", random_state.capture([loader]))
    first = drawn(loader)
    assert drawn(loader) != first
    random_state.restore(torch.load(tmp_path / "state.pt", weights_only=True), [loader])
    assert drawn(loader) == first


def test_seeded_epochs_repeat_and_differ():
    draws = {}
    for seed, epoch in [(1, 0), (1, 1), (2, 0)]:
        loader = shuffled()
        random_state.seed_epoch(seed, epoch, [loader])
        draws[seed, epoch] = drawn(loader)
        random_state.seed_epoch(seed, epoch, [loader])
        assert drawn(loader) == draws[seed, epoch]
    parts = list(zip(*draws.values(), strict=True))
    assert all(len({str(part) for part in column}) == 3 for column in parts)


def test_what_is_drawn_inside_changes_nothing_outside():
    loader = shuffled()
    random_state.seed_epoch(3, 0, [loader])
    expected = drawn(loader)
    random_state.seed_epoch(3, 0, [loader])
    with random_state.preserved([loader]):
        drawn(loader)
    assert drawn(loader) == expected


def test_negative_seed_is_refused():
    with pytest.raises(InputError, match="--seed=-1"):
        random_state.seed_all(-1)
