"""What every experiment does with the keywords that all of them have."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import PLAIN, Linear, wrapped

import robust_reps_ext as rr
from robust_reps_ext.experiments.pairs import near_pairs
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.synthesis.settings import Settings

IMAGES = torch.rand(3, 3, 2, 2, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2
OTHERS = IMAGES.flip(0)
SYNTHESES = {
    "invert": lambda model, **given: rr.invert(model, IMAGES, **given),
    "invert_within": lambda model, **given: (
        rr.invert_within(model, IMAGES, OTHERS, radii=(0.1, 0.5), **given).synthesis
    ),
    "interpolate": lambda model, **given: (
        rr.interpolate(model, IMAGES, OTHERS, steps=2, **given).synthesis
    ),
    "visualize": lambda model, **given: (
        rr.visualize(model, coordinates=[0, 7], seeds=IMAGES, **given).synthesis
    ),
    "add_feature": lambda model, **given: rr.add_feature(model, IMAGES, coordinate=3, **given),
    "near_pairs": lambda model, **given: near_pairs(model, IMAGES, **given).synthesis,
}


@pytest.fixture
def model():
    return wrapped(Linear(12), PLAIN)


@pytest.mark.parametrize("name", SYNTHESES)
def test_progress_and_seed_are_those_that_are_given(model, name):
    told = []

    def progress(done, total, value):
        told.append((done, total))

    made = SYNTHESES[name](model, iterations=2, seed=5, progress=progress, patience=None)
    assert made.provenance["seed"] == 5
    assert told
    assert {total for _, total in told} == {2}
    assert told == sorted(told)


@pytest.mark.parametrize("name", SYNTHESES)
def test_who_is_shown_the_images_can_end_the_run(model, name):
    """Before a step is made, so that the images are those of the steps before."""

    class Watched:
        steps = ()

        def __call__(self, done, total, value):
            return None

        def frame(self, step, images, objective):
            self.steps = (*self.steps, step)
            return True if step == 1 else "go on"

    watched = Watched()
    SYNTHESES[name](model, iterations=5, progress=watched, patience=None)
    assert watched.steps[:2] == (0, 1)
    assert max(watched.steps) < 5


def test_a_coordinate_that_is_not_there_is_told(model):
    settings = Settings(eps=1.0, step_size=0.1, iterations=1)
    with pytest.raises(InputError, match="12"):
        rr.synthesize(
            model, rr.CoordinateMaximization(), torch.tensor([3, 12, 0]), IMAGES, settings
        )


def test_an_image_that_gains_no_more_is_left_where_it_is(model):
    """Steps of 0.1 end by going to and fro."""
    given = {"start": OTHERS, "schedule": "paper", "step_size": 0.1, "iterations": 100}
    left, tried = rr.invert(model, IMAGES, patience=5, **given), rr.invert(model, IMAGES, **given)
    assert left.settings["patience"] == 5
    assert (left.trace[-21:-1] == left.trace[-21]).all()
    assert not (tried.trace[-21:-1] == tried.trace[-21]).all()
    assert (left.objective >= tried.objective).all()


def test_a_curve_without_its_targets_says_so(model):
    curve = rr.invert_within(model, IMAGES, OTHERS, radii=(0.1, 0.5), iterations=1)
    bare = replace(curve, synthesis=replace(curve.synthesis, target_images=None))
    with pytest.raises(InputError, match="stored without its targets"):
        _ = bare.targets


def test_every_batch_meets_the_same_random_numbers(model):
    """So that what an image becomes does not depend on how many there are before it."""

    def noisy(network, x, target):
        return ((x - torch.rand(x.shape[1:])) ** 2).flatten(1).sum(1), None

    images = IMAGES[:1].repeat(3, 1, 1, 1)
    settings = Settings(eps=1.0, step_size=0.1, iterations=3, batch_size=1)
    first, *others = rr.synthesize(model, noisy, torch.zeros(3), images, settings).images
    assert not torch.equal(first, images[0])
    for other in others:
        assert torch.equal(other, first)


@pytest.mark.parametrize(
    "made",
    [
        lambda model: rr.invert(model, IMAGES, iterations=1),
        lambda model: rr.interpolate(model, IMAGES, OTHERS, steps=2, iterations=1),
        lambda model: rr.visualize(model, coordinates=[0], seeds=IMAGES, iterations=1),
    ],
)
def test_figures_show_the_channels_that_are_asked_for(model, made):
    result = made(model)
    shown, turned = (
        [image.get_array() for axes in figure.axes for image in axes.images]
        for figure in (result.figure(), result.figure(channels=(2, 1, 0)))
    )
    assert len(shown) >= 6
    assert all((one[..., ::-1] == other).all() for one, other in zip(shown, turned, strict=True))


def test_feathers_radius_is_theirs_at_the_size_of_the_images(model):
    """100,000 at 224 pixels, which bounds nothing."""
    made = rr.invert(model, IMAGES, schedule="feather", iterations=1)
    assert made.settings["eps"] == pytest.approx(100_000 * 2 / 224)
