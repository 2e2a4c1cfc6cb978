"""Frames: what is kept of the way of an image."""

from __future__ import annotations

import pytest
import torch
from networks import wrapped

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters.networks import critters_resnet
from robust_reps_ext.synthesis.trace import frame_steps


@pytest.fixture
def model():
    torch.manual_seed(0)
    return wrapped(critters_resnet())


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
    options = {"schedule": "paper", "step_size": 0.1, "seed": 1, "batch_size": 2}
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


def test_progress_is_told_to_the_last_step_of_the_last_batch(model, targets, capsys):
    made = rr.invert(model, targets, iterations=3, batch_size=2, precision="float32", progress=True)
    assert capsys.readouterr().err.startswith("6/6 steps in ")
    assert made.settings["computed_in"] == "float32"
