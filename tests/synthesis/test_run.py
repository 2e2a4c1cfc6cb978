"""How the images of a run move, and when it stops."""

from __future__ import annotations

import pytest
import torch
from networks import PLAIN, Scores, wrapped

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.datasets.critters.networks import critters_resnet
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.synthesis.settings import Settings, at_size, paper_eps


@pytest.fixture
def model():
    torch.manual_seed(0)
    return wrapped(critters_resnet())


@pytest.fixture
def targets():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return wrapped(Scores(192), PLAIN)


FASTER = ("cosine-momentum", "lbfgs")


@pytest.mark.parametrize("schedule", FASTER)
def test_the_maximum_of_a_linear_model_is_found_in_ball_and_box(linear, schedule):
    x = torch.full((3, 3, 8, 8), 0.5)
    w = linear.model.scores.weight[1].detach()
    for eps in (0.5, torch.tensor([0.1, 0.4, 0.9])):
        found = rr.visualize(linear, coordinates=[1], seeds=x, schedule=schedule, eps=eps)
        best = x.flatten(1) + torch.as_tensor(eps).view(-1, 1) * w / w.norm()
        torch.testing.assert_close(found.images[:, 0].flatten(1), best, atol=1e-4, rtol=0)
    found = rr.visualize(
        linear, coordinates=[1], seeds=x[:1], schedule=schedule, step_size=2.0, iterations=300
    )
    corner = (w > 0).float()
    reached = (found.value.item() - w.sum() / 2) / (w @ corner - w.sum() / 2)
    assert reached > 0.99


@pytest.mark.parametrize("schedule", FASTER)
def test_faster_schedules_come_nearer_in_as_many_steps_on_the_bundled_model(schedule):
    robust = rr.load_model("critters-robust")
    images = critters.draw(2, seed=1).images / 255
    constant = rr.invert(robust, images, iterations=50, schedule="paper")
    faster = rr.invert(robust, images, iterations=50, schedule=schedule)
    assert (faster.objective < constant.objective / 2).all()
    assert faster.settings["schedule"] == schedule


@pytest.mark.parametrize("schedule", FASTER)
def test_a_zero_radius_or_step_leaves_the_start(model, targets, schedule):
    for still in ({"eps": 0.0}, {"step_size": 0.0}):
        result = rr.invert(model, targets, start=targets.flip(0), iterations=3, **still,
                           schedule=schedule)  # fmt: skip
        assert torch.equal(result.images, targets.flip(0))


@pytest.mark.parametrize("schedule", ["paper", *FASTER])
def test_images_that_leave_the_batch_change_nothing(model, targets, schedule):
    coordinate = int(rr.representation(model, targets[:1])[0].argmax())
    options = {"iterations": 12, "step_size": 0.3, "schedule": schedule, "frames": 4}
    together = rr.add_feature(model, targets, coordinate, **options)
    alone = rr.add_feature(model, targets, coordinate, batch_size=1, **options)
    torch.testing.assert_close(together.images, alone.images, atol=1e-4, rtol=0)
    torch.testing.assert_close(together.trace, alone.trace, atol=1e-3, rtol=1e-3)
    assert torch.equal(together.images[0], targets[0])


@pytest.mark.parametrize("schedule", ["paper", *FASTER])
def test_auto_stops_where_the_objective_no_longer_changes(linear, targets, schedule):
    images = targets[:, :, :8, :8].contiguous()
    result = rr.visualize(
        linear, coordinates=[0, 2], seeds=images, schedule=schedule, iterations="auto", eps=0.5
    ).synthesis
    assert result.settings["patience"] == 100
    assert result.settings["iterations"] == 200
    w = linear.model.scores.weight.detach()[[0, 2, 0, 2, 0, 2]]
    best = (w * images.repeat_interleave(2, 0).flatten(1)).sum(1) + 0.5 * w.norm(dim=1)
    assert (result.objective > best - 0.05).all()


@pytest.mark.parametrize(("height", "width"), [(224, 224), (64, 64), (32, 128), (128, 32), (1, 9)])
def test_lengths_scale_with_the_square_root_of_the_number_of_pixels(height, width):
    images = torch.empty(2, 3, height, width)
    side = (height * width) ** 0.5
    assert paper_eps(images) == paper_eps(images[0]) == pytest.approx(3 * side / 224)
    assert at_size(3.0, images, side=64) == pytest.approx(3 * side / 64)
    assert Settings.paper(images, {}).eps == pytest.approx(at_size(1000.0, images))


def test_lengths_fall_over_the_papers_way(targets):
    small, large = torch.empty(1, 3, 64, 64), torch.empty(1, 3, 224, 224)
    fast = {"schedule": "cosine-momentum"}
    assert Settings.paper(small, fast).iterations == 100
    assert Settings.paper(small, fast).step_size == pytest.approx(0.07 * (3 * 64 * 64) ** 0.5)
    # 200 steps of 1, as 100 steps whose mean is 2.
    assert Settings.paper(large, fast, iterations=200).step_size == pytest.approx(4)
    assert Settings.paper(large, {**fast, "eps": 3.0}).step_size == pytest.approx(1.5)
    assert Settings.paper(large, {**fast, "step_size": 0.1, "iterations": 7}).step_size == 0.1


@pytest.mark.parametrize("schedule", ["paper", "cosine-momentum", "lbfgs"])
def test_patience_ends_a_run_that_gains_no_more(linear, targets, schedule):
    passes = []

    def objective(network, inp, target):
        passes.append(len(inp))
        return rr.CoordinateMaximization()(network, inp, target)

    images = targets[:, :, :8, :8].contiguous()
    linear.attacker(
        images, torch.zeros(len(images), dtype=torch.long), constraint="2", eps=0.5,
        step_size=0.1, iterations=1000, schedule=schedule, patience=20, custom_loss=objective,
    )  # fmt: skip
    assert 20 < len(passes) < 100


def test_lbfgs_needs_a_gradient(linear, targets):
    with pytest.raises(InputError, match="follows the gradient, constraint='random_smooth'"):
        linear.attacker(
            targets[:, :, :8, :8].contiguous(), torch.zeros(len(targets), dtype=torch.long),
            constraint="random_smooth", eps=0.5, step_size=0.1, iterations=2, schedule="lbfgs",
        )  # fmt: skip
