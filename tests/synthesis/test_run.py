"""The engine under every experiment: what is kept of a run, how it moves, and when it stops."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from robustness.attacker import AttackerModel
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.datasets.critters.networks import critters_resnet
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.synthesis.settings import Settings, at_size, paper_eps
from robust_reps_ext.synthesis.trace import frame_steps

STATISTICS = SimpleNamespace(mean=torch.full((3,), 0.5), std=torch.full((3,), 0.25))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return AttackerModel(critters_resnet(), STATISTICS).eval()


@pytest.fixture
def targets():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1


def as_bytes(images):
    return (images * 255).round().to(torch.uint8)


@pytest.mark.parametrize("iterations", [1, 2, 5, 11, 12, 13, 40, 300, 10_000])
@pytest.mark.parametrize("frames", [2, 3, 7, 12])
def test_frames_are_dense_at_first_and_hold_both_ends(frames, iterations):
    steps = frame_steps(frames, iterations)
    gaps = torch.tensor(steps).diff()
    assert (steps[0], steps[-1]) == (0, iterations)
    assert len(steps) == min(frames, iterations + 1)
    assert (gaps >= 1).all()
    # Squares rounded down: a gap can fall one short of the one before.
    assert (gaps.diff() >= -1).all()
    if iterations >= 100 and frames >= 7:
        assert gaps[0] * 4 <= gaps[-1]


def test_frames_are_the_iterates_of_shorter_runs(model, targets):
    options = {"step_size": 0.1, "seed": 1, "batch_size": 2}
    result = rr.invert(model, targets, iterations=9, frames=4, **options)
    assert result.frames.shape == (4, *targets.shape)
    assert result.frames.dtype == torch.uint8
    assert result.frame_steps.tolist() == [0, 1, 4, 9]
    assert torch.equal(result.frames[0], as_bytes(result.start))
    assert torch.equal(result.frames[-1], as_bytes(result.images))
    for frame, step in zip(result.frames[1:-1], (1, 4), strict=True):
        shorter = rr.invert(model, targets, iterations=step, **options)
        assert torch.equal(frame, as_bytes(shorter.images))
    assert len(rr.invert(model, targets, iterations=2, frames=50).frames) == 3


def test_without_frames_there_are_none(model, targets):
    result = rr.invert(model, targets, iterations=1)
    assert result.frames is None
    assert result.frame_steps is None


def test_images_that_stop_early_keep_their_last_frame(model, targets):
    coordinate = int(rr.representation(model, targets[:1])[0].argmax())
    kept = rr.add_feature(
        model, targets, coordinate, iterations=9, step_size=0.2, frames=5, batch_size=1
    )
    # The first image is led by the coordinate from the start: its batch ends at once.
    assert kept.frame_steps.tolist() == [0, 1, 2, 5, 9]
    assert torch.equal(kept.frames[:, 0], as_bytes(targets[:1]).expand(5, -1, -1, -1))
    assert not torch.equal(kept.frames[-1, 1], kept.frames[0, 1])
    assert torch.equal(kept.frames[-1], as_bytes(kept.images))


def test_frames_are_saved_and_files_without_them_load(model, targets, tmp_path):
    made = rr.invert(model, targets, iterations=4, frames=3)
    loaded = rr.Synthesis.load(made.save(tmp_path / "frames.safetensors"))
    assert torch.equal(loaded.frames, made.frames)
    assert torch.equal(loaded.frame_steps, made.frame_steps)
    plain = rr.invert(model, targets, iterations=1)
    assert rr.Synthesis.load(plain.save(tmp_path / "plain.safetensors")).frames is None


@pytest.mark.parametrize("frames", [1, 0, -3, 2.5])
def test_bad_frames_are_named(model, targets, frames):
    with pytest.raises(rr.InputError, match=f"frames={frames}"):
        rr.invert(model, targets, iterations=1, frames=frames)


class Scores(nn.Module):
    """R(x) = W x, so that its largest coordinate in a ball or in the box is known."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 8 * 8, 4, bias=False)
        self.head = nn.Linear(4, 2)

    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        latent = self.fc(x.flatten(1))
        return (self.head(latent), latent) if with_latent else self.head(latent)


@pytest.fixture
def linear():
    torch.manual_seed(0)
    plain = SimpleNamespace(mean=torch.zeros(3), std=torch.ones(3))
    return AttackerModel(Scores(), plain).eval()


FASTER = ("cosine-momentum", "lbfgs")


@pytest.mark.parametrize("schedule", FASTER)
def test_the_maximum_of_a_linear_model_is_found_in_ball_and_box(linear, schedule):
    x = torch.full((3, 3, 8, 8), 0.5)
    w = linear.model.fc.weight[1].detach()
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
    constant = rr.invert(robust, images, iterations=50)
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
    w = linear.model.fc.weight.detach()[[0, 2, 0, 2, 0, 2]]
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
