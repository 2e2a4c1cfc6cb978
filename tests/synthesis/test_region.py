"""Where and how far images may change: masks and constraints under every schedule."""

from __future__ import annotations

import pytest
import torch
from networks import PLAIN, Convolutional, Linear, wrapped
from robustness.attack_steps import L2Step
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.synthesis.settings import Settings

SCHEDULES = ("paper", "cosine-momentum", "lbfgs", "feather")
SIDE = 6
MASK = torch.zeros(SIDE, SIDE).bool()
MASK[1:4, 2:5] = True
GREY = torch.full((3, 3, SIDE, SIDE), 0.5)
CLASSES = torch.tensor([0, 1, 1])

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


def near(images, origin, eps):
    return origin + (images - origin).clamp(-eps, eps)


CONSTRAINTS = {
    "2": "2",
    "inf": "inf",
    "unconstrained": "unconstrained",
    "own": near,
    "step": L2Step,
}
every_constraint = pytest.mark.parametrize("constraint", CONSTRAINTS)


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return wrapped(Linear(3 * SIDE * SIDE), PLAIN)


@pytest.fixture
def curved():
    torch.manual_seed(0)
    return wrapped(Convolutional(nn.Conv2d(3, 8, 3), nn.ReLU(), width=8))


def weights(model):
    """Of the class of each image, as an image."""
    return model.model.fc.weight[CLASSES].detach().view_as(GREY)


@every_schedule
@every_constraint
def test_outside_of_the_mask_every_bit_is_the_origins(curved, schedule, constraint):
    start, origin = torch.rand(2, 3, 3, SIDE, SIDE)
    masks = torch.stack([MASK, MASK.T, MASK.flip(0)])[:, None]
    for mask in (MASK, masks):
        settings = Settings(0.5, 0.1, 12, constraint=CONSTRAINTS[constraint], schedule=schedule,
                            mask=mask, batch_size=2, patience=3)  # fmt: skip
        found = rr.synthesize(curved, rr.ClassLogit(), CLASSES, start, settings, origin=origin)
        outside = ~torch.broadcast_to(mask, (3, 1, SIDE, SIDE)).expand_as(start)
        assert torch.equal(found.images[outside], origin[outside])
        assert torch.equal(found.start[outside], origin[outside])
        assert not torch.equal(found.images, found.start)
        assert (found.objective > found.trace[0]).any()


@every_schedule
def test_the_optimum_of_a_linear_network_in_each_ball(linear, schedule):
    moved = weights(linear) * MASK
    best = {
        "2": GREY + 0.3 * moved / moved.flatten(1).norm(dim=1).view(-1, 1, 1, 1),
        "inf": GREY + 0.3 * moved.sign(),
        "own": GREY + 0.3 * moved.sign(),
    }
    for constraint, wanted in best.items():
        # Feather's rounds are each half as long as the one before.
        settings = Settings(0.3, 0.1 if constraint == "inf" else 0.5, 40, mask=MASK,
                            constraint=CONSTRAINTS[constraint], schedule=schedule)  # fmt: skip
        found = rr.synthesize(linear, rr.ClassLogit(), CLASSES, GREY, settings).images
        gained, most = (((one - GREY) * moved).sum() for one in (found, wanted))
        assert gained / most > 0.97
        # Steps that are no signs move pixels of small slopes last.
        if constraint == "2" or (constraint == "inf" and schedule != "lbfgs"):
            torch.testing.assert_close(found, wanted, atol=0.02, rtol=0)


def test_without_a_radius_images_go_to_the_corner_of_the_box(linear):
    settings = Settings(0.0, 50.0, 20, constraint="unconstrained", mask=MASK)
    found = rr.synthesize(linear, rr.ClassLogit(), CLASSES, GREY, settings).images
    corner = torch.where(MASK, (weights(linear) > 0).float(), GREY)
    torch.testing.assert_close(found, corner)


def test_a_mask_of_ones_changes_nothing(curved):
    start = torch.rand(3, 3, SIDE, SIDE)
    plain = Settings(0.5, 0.1, 5)
    masked = Settings(0.5, 0.1, 5, mask=torch.ones(SIDE, SIDE))
    found, same = (
        rr.synthesize(curved, rr.ClassLogit(), CLASSES, start, one) for one in (plain, masked)
    )
    assert torch.equal(found.images, same.images)
    assert "mask" not in found.settings
    assert len(same.settings["mask"]) > 16
    assert found.settings["constraint"] == "2"


def test_a_step_within_a_mask_is_as_long_as_one_without(linear):
    settings = Settings(9.0, 0.2, 1, mask=MASK)
    found = rr.synthesize(linear, rr.ClassLogit(), CLASSES, GREY, settings).images
    torch.testing.assert_close((found - GREY).flatten(1).norm(dim=1), torch.full((3,), 0.2))


def test_noise_against_starts_without_gradient_stays_within_the_mask():
    class Off(Linear):
        def latent(self, x):
            return (x.flatten(1) - 0.5).square()

    model = wrapped(Off(3 * SIDE * SIDE), PLAIN)
    with pytest.warns(UserWarning, match="no gradient at 3 of 3 starts"):
        found = rr.synthesize(
            model, rr.ClassLogit(), CLASSES, GREY, Settings(1.0, 0.1, 3, mask=MASK)
        )
    outside = ~MASK.expand_as(GREY)
    assert torch.equal(found.images[outside], GREY[outside])
    assert not torch.equal(found.images, GREY)


@pytest.mark.parametrize("call", ["invert", "interpolate", "visualize", "add_feature", "within"])
def test_every_experiment_keeps_to_the_mask(curved, call):
    x = torch.rand(2, 3, SIDE, SIDE)
    options = {"iterations": 3, "mask": MASK, "constraint": "inf"}
    made = {
        "invert": lambda: rr.invert(curved, x, start=x.flip(0), **options),
        "interpolate": lambda: rr.interpolate(curved, x, x.flip(0), steps=2, **options),
        "visualize": lambda: rr.visualize(curved, coordinates=[0, 3], seeds=x, **options).synthesis,
        "add_feature": lambda: rr.add_feature(curved, x, coordinate=1, **options),
        "within": lambda: rr.invert_within(curved, x, x.flip(0), radii=(1,), **options),
    }[call]()
    found = getattr(made, "synthesis", made)
    outside = ~MASK.expand_as(found.images)
    assert torch.equal(found.images[outside], found.start[outside])
    assert not torch.equal(found.images, found.start)
    assert found.settings["constraint"] == "inf"


def test_lengths_in_an_l_inf_ball_are_those_of_a_pixel():
    images = torch.empty(1, 3, 224, 224)
    width = (3 * 224 * 224) ** 0.5
    of_paper = Settings.paper(images, {"constraint": "inf"})
    assert of_paper.eps == pytest.approx(1000 / width)
    assert of_paper.step_size == pytest.approx(1 / width)
    assert Settings.paper(images, {"constraint": "inf", "schedule": "lbfgs"}).step_size < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"constraint": "l2"}, "constraint='l2' is not known: choose one of 2, inf"),
        ({"constraint": "unconstrained"}, "give step_size"),
        ({"mask": torch.ones(3, 3)}, "mask is 1 of 3 x 3 pixels, for 2 images of 6 x 6"),
        ({"mask": torch.ones(3, 1, SIDE, SIDE)}, "mask is 3 of 6 x 6 pixels, for 2 images"),
        ({"constraint": lambda x, o, e: x[:1, :1]}, "give a function .images, origin, eps."),
        ({"constraint": "fourier"}, "constraint='fourier' is not known"),
    ],
)
def test_what_cannot_be_kept_to_is_said(curved, options, message):
    with pytest.raises(InputError, match=message):
        rr.invert(curved, torch.rand(2, 3, SIDE, SIDE), iterations=2, **options)


def test_a_masked_run_goes_on_where_it_was_and_no_other_does(curved, tmp_path):
    start = torch.rand(3, 3, SIDE, SIDE)

    def run(mask, **more):
        settings = Settings(0.5, 0.1, 6, schedule="lbfgs", mask=mask, **more)
        return rr.synthesize(curved, rr.ClassLogit(), CLASSES, start, settings, **told)

    told = {}
    whole = run(MASK)
    steps = []

    def leave(done, total, value):
        steps.append(done)
        if len(steps) == 3:
            raise KeyboardInterrupt

    snapshot = {"snapshot": tmp_path / "run", "snapshot_interval": 0}
    told = {"progress": leave}
    with pytest.raises(KeyboardInterrupt):
        run(MASK, **snapshot)
    told = {}
    with pytest.raises(InputError, match=r"another run \(another mask\)"):
        run(MASK.T, **snapshot)
    assert torch.equal(run(MASK, **snapshot).images, whole.images)
