"""Steps that begin long find back where they lead astray."""

from __future__ import annotations

import pytest
import torch
from networks import PLAIN, wrapped

import robust_reps_ext as rr
from robust_reps_ext.upstream.attack.schedules import SCHEDULES, Guarded


class Unit:
    """A set without bounds, whose step has length 1 along the gradient's sign."""

    def step(self, x, gradient):
        return x + gradient.sign()


class Ahead(Guarded):
    """Moves by its length, and remembers who began anew."""

    def moved(self, x, gradient, iteration, back):
        self.back = back
        return x + self.lengths(iteration) * gradient


def walk(ascents):
    """The points that an image is at, whose objective is `ascents` there."""
    ahead, x, gradient = Ahead(Unit(), 10**9), torch.zeros(1, 1), torch.ones(1, 1)
    points, backs = [], []
    for iteration, ascent in enumerate(ascents):
        points.append(round(float(x), 3))
        x = ahead(x, gradient, iteration, torch.tensor([float(ascent)]))
        backs.append(bool(ahead.back))
    return [*points, round(float(x), 3)], backs


def test_after_three_steps_at_twice_the_distance_an_image_goes_on_from_its_best_by_halves():
    points, backs = walk([-1, -0.5, -2.1, -2.5, -9, -1, -0.4])
    assert points == [0, 1, 2, 3, 4, 1.5, 2, 2.5]
    assert backs == [False] * 4 + [True] + [False] * 2


@pytest.mark.parametrize("ascents", [[-1, -2.1, -9, -1, -3, -3, -1], [-1] + [-2] * 6, [0] * 7])
def test_one_that_overshoots_and_comes_back_is_left_alone(ascents):
    points, backs = walk(ascents)
    assert points == list(range(8))
    assert not any(backs)


def test_what_is_raised_is_astray_below_zero():
    assert walk([2, 3, 0.1, 0.1, 0.1, 0.1])[1] == [False] * 6
    assert walk([2, 3, -0.1, -0.1, -0.1, -0.1])[1] == [False] * 4 + [True, False]


@pytest.mark.parametrize("name", ["cosine-momentum", "lbfgs"])
def test_an_image_that_goes_back_begins_as_if_it_came_from_there(name):
    """Its gradient is that of the best iterate, and nothing is left of the steps before."""
    schedule = SCHEDULES[name](Unit(), 10**9)
    x, gradients = torch.zeros(1, 3), torch.tensor([[1.0, -2, 3], [-1, 5, 2], [4, 1, -1]])
    ascents = [-1.0, -0.5, -3, -3, -3]
    points = []
    for i, ascent in enumerate(ascents):
        points.append(x)
        x = schedule(x, gradients[i % 3][None], i, torch.tensor([ascent]))
    move = x - points[1]
    best = gradients[1]
    along = best.sign() if name == "cosine-momentum" else best
    assert torch.nn.functional.cosine_similarity(move, along[None]).item() == pytest.approx(1)
    assert move.norm().item() == pytest.approx(3**0.5 / 2)


class Steep(torch.nn.Module):
    """||R|| is 1/20 at grey, and hundreds of times that towards the corners of the box."""

    def forward(self, x, *args, **kwargs):
        r = (x - 0.5).flatten(1)
        r = 0.05 * r / 0.1 + 40 * torch.relu(r.abs() - 0.3) ** 2
        return (r, r) if kwargs.get("with_latent") else r


@pytest.mark.parametrize("schedule", ["lbfgs", "cosine-momentum"])
def test_steps_that_are_too_long_for_the_target_still_arrive(schedule):
    model = wrapped(Steep(), PLAIN)
    x = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4
    found = rr.invert(model, x, schedule=schedule, iterations=60, step_size=20.0)
    assert (found.objective <= found.trace[0]).all()
