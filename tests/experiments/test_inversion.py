"""Inversion: closed forms, the paper's defaults, independence of batches, saving, bad input."""

from __future__ import annotations

import math

import pytest
import torch
from networks import Linear, wrapped
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters.networks import critters_resnet
from robust_reps_ext.synthesis.objectives import relative_distance
from robust_reps_ext.synthesis.settings import Settings


@pytest.fixture
def identity():
    """R(x) is the normalised image itself, so that the inverse is the target."""
    return wrapped(Linear(192))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return wrapped(critters_resnet())


@pytest.fixture
def targets():
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1


@pytest.mark.parametrize("start", ["noise", "grey", "images"])
def test_the_inverse_of_the_identity_is_the_target(identity, targets, start):
    begin = targets.flip(0) if start == "images" else start
    steps = {"schedule": "paper", "step_size": 0.02, "iterations": 400}
    result = rr.invert(identity, targets, start=begin, **steps)
    error = (result.images - targets).flatten(1).norm(dim=1)
    if start == "images":
        assert error[1] == 0  # it started at its own target
    assert (error <= 0.03).all()
    assert (result.objective < 0.01).all()
    assert torch.equal(result.target_images, targets)


def test_it_goes_on_under_inference_mode(model):
    """What the caller turned off is on inside of the search alone."""
    targets = torch.rand(2, 3, 32, 32)
    plain = rr.invert(model, targets, iterations=2)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            assert not torch.is_grad_enabled()
            again = rr.invert(model, targets.clone(), start=plain.start.clone(), iterations=2)
            assert not torch.is_grad_enabled()
        assert torch.equal(again.images, plain.images)


def test_feathers_rounds_are_of_the_whole_run_also_where_it_may_end_early(model):
    targets = torch.rand(2, 3, 64, 64)
    settings = Settings.paper(targets, {"schedule": "feather", "iterations": "auto"})
    assert (settings.iterations, settings.patience) == (24_000, 100)
    counted = rr.invert(model, targets, schedule="feather", iterations=16, step_size=0.05)
    free = rr.invert(model, targets, schedule="feather", iterations=16, step_size=0.05, patience=15)
    assert torch.equal(free.images, counted.images)


def test_a_small_radius_leaves_the_rest_of_the_way(identity, targets):
    """Within a ball around x1 the nearest point to x2 lies on the line between them."""
    sources = (targets + 0.05).clamp(0, 1)
    gap = (targets - sources).flatten(1).norm(dim=1)
    eps = gap * torch.tensor([0.25, 0.5, 0.75])
    result = rr.invert(identity, targets, start=sources, eps=eps, step_size=0.01, iterations=300)
    left = (targets - result.images).flatten(1).norm(dim=1)
    torch.testing.assert_close(left, gap - eps, atol=0.011, rtol=0)
    moved = (result.images - sources).flatten(1).norm(dim=1)
    assert (moved <= eps + 1e-5).all()


def test_objective_is_the_relative_distance_of_the_images_returned(model, targets):
    images = nn.functional.interpolate(targets, 32)
    result = rr.invert(model, images, iterations=5, seed=3)
    goal = rr.representation(model, images)
    torch.testing.assert_close(
        result.objective, relative_distance(rr.representation(model, result.images), goal)
    )
    torch.testing.assert_close(
        result.trace[0], relative_distance(rr.representation(model, result.start), goal)
    )
    assert torch.equal(result.trace[-1], result.objective)
    assert result.trace_steps.tolist() == [0, 1, 2, 3, 4, 5]
    assert (result.objective < result.trace[0]).all()


def test_the_papers_numbers_scale_with_the_number_of_pixels(model):
    small = rr.invert(model, torch.rand(1, 3, 56, 56), schedule="paper", iterations=1)
    assert small.settings["eps"] == pytest.approx(250)
    assert small.settings["step_size"] == pytest.approx(0.25)
    paper = Settings.paper(torch.empty(1, 3, 224, 224), {})
    assert (paper.eps, paper.step_size, paper.iterations) == (1000, 1, 10_000)


def test_batches_seeds_and_layers(model, targets):
    images = nn.functional.interpolate(targets, 32)
    whole = rr.invert(model, images, iterations=4, seed=1)
    parts = rr.invert(model, images, iterations=4, seed=1, batch_size=1)
    torch.testing.assert_close(whole.images, parts.images, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole.trace, parts.trace, atol=1e-4, rtol=1e-4)
    other = rr.invert(model, images, iterations=4, seed=2)
    assert not torch.equal(other.start, whole.start)
    assert whole.provenance["seed"] == 1
    deep = rr.invert(model, images, iterations=4, layer="body.3")
    assert deep.settings["layer"] == "body.3"
    assert (deep.objective < deep.trace[0]).all()
    rounded = rr.invert(model, images, iterations=4, seed=1, precision="bfloat16")
    assert (rounded.images - whole.images).abs().max() < 0.1
    assert rounded.images.dtype == torch.float32


def test_noise_is_the_papers(model):
    start = rr.invert(model, torch.rand(64, 3, 16, 16), iterations=1).start
    assert float(start.mean()) == pytest.approx(0.5, abs=0.001)
    assert float(start.std()) == pytest.approx(0.05, rel=0.01)


def test_a_start_without_gradient_is_reported_and_nudged(targets):
    class Dead(Linear):
        def latent(self, x):
            return torch.relu(x.flatten(1))  # grey is 0 after normalisation

    model = wrapped(Dead(192))
    with pytest.warns(UserWarning, match="no gradient at 3 of 3 starts"):
        result = rr.invert(model, targets, start="grey", step_size=0.05, iterations=200)
    assert result.settings["zero_gradient_starts"] == 3
    assert (result.start == 0.5).all()
    assert (result.objective < result.trace[0] - 0.05).all()


def test_progress_is_told_and_ends_complete(model):
    told = []
    images = torch.rand(3, 3, 32, 32)
    rr.invert(model, images, iterations=7, batch_size=2, progress=lambda *now: told.append(now))
    done = [now[0] for now in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1] == 14
    assert all(math.isfinite(now[2]) for now in told)


def test_saved_and_loaded_results_are_equal(model, tmp_path):
    result = rr.invert(model, torch.rand(2, 3, 32, 32), iterations=2)
    loaded = rr.Synthesis.load(result.save(tmp_path / "result.safetensors"))
    for name in ("images", "start", "objective", "trace", "trace_steps", "target_images"):
        assert torch.equal(getattr(loaded, name), getattr(result, name)), name
    assert loaded.settings == result.settings
    assert loaded.provenance == result.provenance
    assert [path.name for path in tmp_path.iterdir()] == ["result.safetensors"]


def test_damaged_and_foreign_files_are_refused(model, tmp_path):
    result = rr.invert(model, torch.rand(1, 3, 32, 32), iterations=1)
    path = result.save(tmp_path / "result.safetensors")
    data = path.read_bytes()
    for length in (0, 7, 100, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(rr.InputError, match="damaged"):
            rr.Synthesis.load(path)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(rr.InputError, match="not a saved Synthesis"):
        rr.Synthesis.load(path)
    with pytest.raises(rr.InputError, match="there is no file"):
        rr.Synthesis.load(tmp_path / "absent")
    with pytest.raises(rr.InputError, match="cannot write"):
        result.save(tmp_path / "absent" / "result.safetensors")


def test_a_figure_shows_targets_starts_results_and_distances(model):
    result = rr.invert(model, torch.rand(2, 3, 32, 32), iterations=1)
    figure = result.figure()
    assert sum(len(axes.images) for axes in figure.axes) == 6
    shown = {text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))}
    assert {f"{value:.2g}" for value in result.objective.tolist()} <= shown
    assert {"target", "start", "result\nbelow: distance"} <= shown


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"eps": -1.0}, "eps=-1.0 is negative"),
        ({"step_size": -0.5}, "step_size=-0.5"),
        ({"iterations": 0}, "iterations=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"schedule": "fast"}, "schedule='fast'"),
        ({"precision": "float8"}, "precision='float8'"),
        ({"start": "gray"}, "start='gray'"),
        ({"start": torch.rand(2, 3, 8, 8)}, "start has shape"),
        ({"start": torch.rand(3, 3, 8, 8) * 3}, "start has values"),
        ({"layer": "nowhere"}, "layer 'nowhere'"),
    ],
)
def test_bad_settings_are_named(identity, targets, changed, message):
    with pytest.raises(rr.InputError, match=message):
        rr.invert(identity, targets, **{"iterations": 1, **changed})


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(3, 8, 8), "targets has shape"),
        (torch.rand(0, 3, 8, 8), "targets has shape"),
        (torch.rand(1, 3, 8, 8) * 255, "targets has values"),
        (torch.full((1, 3, 8, 8), float("nan")), "targets has values"),
    ],
)
def test_bad_targets_are_named(identity, images, message):
    with pytest.raises(rr.InputError, match=message):
        rr.invert(identity, images, iterations=1)
