"""What one image, or too little memory, may not spoil: the rest of the run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import PLAIN, Scores, wrapped

import robust_reps_ext as rr
from robust_reps_ext.synthesis.objectives import relative_distance
from robust_reps_ext.synthesis.settings import Settings

SCHEDULES = ("paper", "cosine-momentum", "lbfgs")
SIDE = 6


def model_with(spoil=None):
    torch.manual_seed(0)
    return wrapped(Scores(3 * SIDE * SIDE, spoil), PLAIN)


class NoGradient(torch.autograd.Function):
    """The value itself; its gradient is NaN in the rows `bad`."""

    @staticmethod
    def forward(ctx, value, bad):
        ctx.save_for_backward(bad)
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        (bad,) = ctx.saved_tensors
        return torch.where(bad[:, None], torch.nan, gradient), None


def too_high(x, latent):
    """Rows that have come beyond R(x)_0 = 1."""
    return latent[:, 0].detach() > 1


def spoiled_value(x, latent):
    return torch.where(too_high(x, latent)[:, None], torch.nan, latent)


def spoiled_to_infinity(x, latent):
    return torch.where(too_high(x, latent)[:, None], torch.inf, latent)


def spoiled_gradient(x, latent):
    return NoGradient.apply(latent, too_high(x, latent))


def starts(model):
    """Four images, of which the second comes beyond 1 after a few steps and no other does."""
    x = torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2)) * 0.2 + 0.4
    w = model.model.scores.weight[0].detach().view(3, SIDE, SIDE)
    level = torch.tensor([-1.0, 0.7, -1.2, -1.1]).view(-1, 1, 1, 1)
    return (x + (level - (x * w).sum((1, 2, 3), keepdim=True)) * w / w.square().sum()).clamp(0, 1)


def climb(model, x, **settings):
    """Maximise R(x)_0; without bounds it grows with every step."""
    options = {"eps": 50.0, "step_size": 0.25, "iterations": 8, **settings}
    target = torch.zeros(len(x), dtype=torch.int64)
    return rr.synthesize(model, rr.CoordinateMaximization(), target, x, Settings(**options))


OTHERS = [0, 2, 3]


@pytest.mark.parametrize("use_best", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("spoil", [spoiled_value, spoiled_to_infinity, spoiled_gradient])
def test_an_image_that_is_not_finite_keeps_its_last_good_iterate(spoil, schedule, use_best):
    options = {"schedule": schedule, "use_best": use_best, "frames": 9}
    whole = model_with()
    x = starts(whole)
    free = climb(whole, x, **options)
    with pytest.warns(UserWarning, match="not finite at 1 of 4 images.*: images 1$"):
        found = climb(model_with(spoil), x, **options)
    assert found.settings["non_finite"] == [False, True, False, False]
    below = (free.trace[:-1, 1] <= 1).nonzero().flatten()
    last = int(below[-1])
    assert 0 < last < 7
    # The frame of that step is the iterate itself, in bytes.
    as_bytes = (found.images[1] * 255).round().to(torch.uint8)
    assert torch.equal(as_bytes, free.frames[last, 1])
    torch.testing.assert_close(found.objective[1], free.trace[last, 1])
    torch.testing.assert_close(found.images[OTHERS], free.images[OTHERS])
    torch.testing.assert_close(found.trace[:, OTHERS], free.trace[:, OTHERS])
    assert found.trace.isfinite().all()
    joined = rr.Synthesis.joined([free, found])
    assert joined.settings["non_finite"] == [False] * 5 + [True, False, False]
    alone = climb(model_with(spoil), x[OTHERS], **options)
    torch.testing.assert_close(found.images[OTHERS], alone.images)
    assert alone.settings["non_finite"] is False


def test_the_last_step_is_watched_too():
    whole = model_with()
    x = starts(whole)
    free = climb(whole, x)
    steps = int((free.trace[:, 1] <= 1).sum())  # the last of these steps leads beyond
    with pytest.warns(UserWarning, match="not finite at 1 of 4"):
        found = climb(model_with(spoiled_value), x, iterations=steps)
    shorter = climb(whole, x, iterations=steps - 1)
    torch.testing.assert_close(found.images[1], shorter.images[1])
    assert climb(model_with(spoiled_value), x, iterations=steps - 1).settings["non_finite"] is False


@pytest.mark.parametrize("spoil", [spoiled_value, spoiled_gradient])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_a_bad_start_stays_and_is_named(spoil, batch_size):
    model = model_with(spoil)
    x = starts(model)
    w = model.model.scores.weight[0].detach().view(3, SIDE, SIDE)
    x[2] = (x[2] + 2.6 * w / w.square().sum()).clamp(0, 1)
    x[1] = x[0]
    with pytest.warns(UserWarning, match="not finite at 1 of 4 images.*: images 2$"):
        found = climb(model, x, batch_size=batch_size)
    assert found.settings["non_finite"] == [False, False, True, False]
    assert torch.equal(found.images[2], x[2])
    torch.testing.assert_close(found.images[[0, 1, 3]], climb(model, x[[0, 1, 3]]).images)


def test_an_image_that_left_and_was_kept_in_a_place_is_still_named(tmp_path):
    model = model_with(spoiled_value)
    x = starts(model)
    target = torch.zeros(len(x), dtype=torch.int64)
    settings = Settings(
        eps=50.0, step_size=0.25, iterations=8, snapshot=tmp_path / "place", snapshot_interval=0,
        batch_size=2,
    )  # fmt: skip
    told = []

    def progress(*now):
        told.append(now)
        if len(told) in (7, 15):
            raise KeyboardInterrupt

    def run(settings):
        objective = rr.CoordinateMaximization()
        return rr.synthesize(model, objective, target, x, settings, progress=progress)

    with pytest.warns(UserWarning, match="not finite"):
        whole = climb(model, x, batch_size=2)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(settings)
    with pytest.warns(UserWarning, match="images 1$"):
        found = run(settings)
    assert torch.equal(found.images, whole.images)
    assert torch.equal(found.trace, whole.trace)
    assert found.settings == whole.settings


def test_automatic_precision_goes_back_where_reduced_numbers_overflow(monkeypatch):
    monkeypatch.setattr("robust_reps_ext.runtime.precision.is_fast", lambda device: True)

    def overflowing(x, latent):
        """As float16 does beyond 65,504."""
        reduced = torch.is_autocast_enabled("cpu")
        bad = too_high(x, latent) if reduced else torch.zeros(len(x), dtype=torch.bool)
        return torch.where(bad[:, None], torch.inf, latent.float())

    x = starts(model_with())
    with pytest.warns(UserWarning, match="not finite at 1 of 4 images: computing in float32"):
        found = climb(model_with(overflowing), x, precision="auto")
    assert found.settings["non_finite"] is False
    torch.testing.assert_close(found.images, climb(model_with(), x).images)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("use_best", [False, True])
def test_constant_representations_and_zero_targets_divide_by_nothing(schedule, use_best):
    def constant(x, latent):
        return latent * 0 + 1

    def nothing(x, latent):
        return latent * 0

    x = starts(model_with())
    settings = Settings(50.0, 0.25, 5, schedule=schedule, use_best=use_best)
    zero, far = torch.zeros(4, 4), torch.full((4, 4), 3.0)
    # ||R(x)|| itself, and there is a way down.
    found = rr.synthesize(model_with(), rr.RepresentationMatching(), zero, x, settings)
    norm = rr.representation(model_with(), found.images).norm(dim=1)
    torch.testing.assert_close(found.objective, norm)
    assert (found.objective < found.trace[0]).all()
    for spoil, target in ((constant, far), (nothing, far), (constant, zero)):
        with pytest.warns(UserWarning, match="no gradient at 4 of 4"):
            found = rr.synthesize(
                model_with(spoil), rr.RepresentationMatching(), target, x, settings
            )
        assert found.images.isfinite().all()
        assert found.trace.isfinite().all()
        assert found.settings["non_finite"] is False
    found = rr.synthesize(model_with(nothing), rr.RepresentationMatching(), zero, x, settings)
    assert torch.equal(found.images, x)  # it is there already
    assert (found.objective == 0).all()


def test_the_distance_to_a_target_of_norm_0_is_not_relative():
    rep = torch.tensor([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    target = torch.tensor([[0.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    distance = relative_distance(rep, target)
    torch.testing.assert_close(distance, torch.tensor([5.0, 13**0.5 / 2, 0.0]))
    (gradient,) = torch.autograd.grad(distance.sum(), rep)
    torch.testing.assert_close(gradient[0], torch.tensor([0.6, 0.8]))
    assert gradient.isfinite().all()


# -- memory ----------------------------------------------------------------------------------------


def hungry(limit, error=None):
    """Memory for so many images; without an error, the allocator's own."""

    def spoil(x, latent):
        if len(x) > limit:
            if error is None:
                torch.empty(2**60, dtype=torch.uint8)
            raise error
        return latent

    return spoil


ERRORS = [None, MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")]


@pytest.mark.parametrize("error", ERRORS, ids=["allocator", "python", "cuda"])
def test_out_of_memory_halves_the_batch_and_goes_on(error):
    x = starts(model_with()).repeat(2, 1, 1, 1)[:7] * 0.9
    with pytest.warns(UserWarning, match="out of memory with . images at a time: going on") as said:
        found = climb(model_with(hungry(2, error)), x, batch_size=6)
    # At the starts 7, 3, 1; in the run 6, 3, 1 and no more; for the objective at the end none.
    assert [str(one.message).split()[4] for one in said] == ["7", "3", "6", "3"]
    assert found.settings["batch_size"] == 1
    same = climb(model_with(), x, batch_size=1)
    torch.testing.assert_close(found.images, same.images)
    torch.testing.assert_close(found.trace, same.trace)


def test_memory_for_less_than_one_image_is_an_error_with_a_way_out():
    x = starts(model_with())
    with pytest.warns(UserWarning, match="out of memory"):
        with pytest.raises(rr.InputError, match=r"with one image at a time \(.*smaller images"):
            climb(model_with(hungry(0)), x)
    with pytest.raises(RuntimeError, match="own"):
        climb(model_with(hungry(0, RuntimeError("own"))), x)


def test_representations_take_fewer_at_a_time():
    x = starts(model_with())
    with pytest.warns(UserWarning, match="going on with 2"):
        found = rr.representation(model_with(hungry(2)), x)
    torch.testing.assert_close(found, rr.representation(model_with(), x))


def test_halved_batches_are_kept_in_the_snapshot(tmp_path):
    x = starts(model_with()) * 0.9
    kept = {"snapshot": tmp_path / "snapshot", "snapshot_interval": 0, "batch_size": 4}
    told = []

    def interrupt(*now):
        told.append(now)
        if len(told) == 5:
            raise KeyboardInterrupt

    def run(progress=False):
        target = torch.zeros(len(x), dtype=torch.int64)
        settings = replace(Settings(50.0, 0.25, 8), **kept)
        return rr.synthesize(
            model_with(hungry(2)), rr.CoordinateMaximization(), target, x, settings,
            progress=progress,
        )  # fmt: skip

    with pytest.warns(UserWarning, match="going on with 2"):
        with pytest.raises(KeyboardInterrupt):
            run(interrupt)
    with pytest.warns(UserWarning, match="with 4 images") as said:  # at the starts
        found = run()
    assert len(said) == 1
    assert found.settings["batch_size"] == 2
    torch.testing.assert_close(found.images, climb(model_with(), x, batch_size=2).images)


# -- the size of a batch ---------------------------------------------------------------------------


def test_an_automatic_batch_is_recorded_and_changes_nothing():
    x = starts(model_with()).repeat(3, 1, 1, 1) * 0.9
    found = climb(model_with(), x, batch_size="auto")
    assert found.settings["batch_size"] in (1, 2, 3, 4, 6, 8, 12)
    again = climb(model_with(), x, batch_size=found.settings["batch_size"])
    assert torch.equal(found.images, again.images)
    assert torch.equal(found.trace, again.trace)


@pytest.mark.parametrize("size", [0, -1, 2.5, "many"])
def test_bad_batch_sizes_are_named(size):
    with pytest.raises(rr.InputError, match=f"batch_size={size!r}: give"):
        climb(model_with(), starts(model_with()), batch_size=size)
