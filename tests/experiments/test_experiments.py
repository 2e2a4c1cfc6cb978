"""The paper's other experiments on networks whose answers are known."""

from __future__ import annotations

import math
from contextlib import nullcontext

import pytest
import torch
from networks import PLAIN, Linear, wrapped
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters.networks import critters_resnet
from robust_reps_ext.results.accuracies import added_up
from robust_reps_ext.runtime.errors import InputError


@pytest.fixture
def pixels():
    """R(x) and the logits are the image itself: coordinate i is pixel i."""
    network = Linear(12, 12, bias=False)
    nn.init.eye_(network.fc.weight)
    return wrapped(network, PLAIN)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return wrapped(critters_resnet(), PLAIN)


@pytest.fixture
def images():
    return torch.rand(3, 3, 2, 2, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2


@pytest.mark.parametrize("schedule", ["paper", "cosine-momentum"])
def test_the_curve_of_the_identity_falls_linearly_to_zero(pixels, images, schedule):
    sources = images.roll(1, 0)
    gap = (images - sources).flatten(1).norm(dim=1)
    assert (gap > 0.1).all()
    radii = (0.0, 0.02, 0.05, 5.0)
    curve = rr.invert_within(
        pixels, images, sources, radii=radii, iterations=300, batch_size=5, schedule=schedule
    )
    left = (gap - torch.tensor(radii)[:, None]).clamp(min=0) / images.flatten(1).norm(dim=1)
    torch.testing.assert_close(curve.distance, left, atol=0.004, rtol=0)
    moved = (curve.images - sources).flatten(2).norm(dim=2)
    assert (moved <= curve.radii[:, None] + 1e-5).all()
    assert torch.equal(curve.sources, sources)
    assert torch.equal(curve.targets, images)


@pytest.mark.parametrize(("pairs", "said"), [(5, "mean of 5 pairs, 95%"), (4, "mean of 4 pairs)")])
def test_a_curve_has_a_band_from_five_pairs_on(pixels, pairs, said):
    images = torch.rand(pairs, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    curve = rr.invert_within(pixels, images, images.roll(1, 0), radii=(0.1, 0.2), iterations=5)
    low, high = curve.band()
    axes = curve.figure().axes[0]
    assert said in axes.get_ylabel()
    assert (low is None) == (high is None) == (not axes.collections) == (pairs < 5)
    if low is not None:
        assert ((low < curve.mean) & (curve.mean < high)).all()


def test_radii_that_are_not_given_are_the_papers_at_the_size_of_the_images(pixels, images):
    curve = rr.invert_within(pixels, images, images.flip(0), iterations=1)
    scaled = torch.tensor([2.0, 8.0, 32.0, 128.0]) * 2 / 224
    torch.testing.assert_close(curve.radii, scaled)
    box = rr.invert_within(pixels, images, images.flip(0), iterations=1, constraint="inf")
    torch.testing.assert_close(box.radii, scaled / images[0].numel() ** 0.5)
    for radii in (None, (1.0,)):
        with pytest.raises(InputError, match="has no radius: choose another"):
            rr.invert_within(
                pixels, images, images, radii=radii, constraint="unconstrained", step_size=1.0
            )


@pytest.mark.parametrize(
    ("precision", "schedule"), [("float32", None), ("bfloat16", None), ("bfloat16", "paper")]
)
@pytest.mark.parametrize("steps", [1, 3])
def test_the_ends_of_an_interpolation_are_the_images_themselves(
    network, precision, schedule, steps
):
    left, right = torch.rand(2, 6, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    given = {"precision": precision} | ({"schedule": schedule} if schedule else {})
    path = rr.interpolate(network, left, right, steps=steps, iterations=6, frames=3, **given)
    assert torch.equal(path.images[:, -1], left)
    assert torch.equal(path.images[:, 0], right)
    assert not path.distance[:, [0, -1]].any()
    run = path.synthesis
    last = run.frames.unflatten(1, (-1, steps + 1))[-1]
    assert torch.equal(last[:, -1], (left * 255).round().to(torch.uint8))
    assert run.trace[-1].equal(run.objective)
    assert steps == 1 or path.distance[:, 1:-1].all()


def test_a_step_size_that_is_not_given_is_a_tenth_of_the_radius(pixels, images):
    for given in ({}, {"step_size": None}):
        curve = rr.invert_within(
            pixels, images, images.flip(0), radii=(0.05,), schedule="paper", iterations=1, **given
        )
        moved = (curve.images[0] - images.flip(0)).flatten(1).norm(dim=1)
        torch.testing.assert_close(moved[[0, 2]], torch.full((2,), 0.005), atol=1e-5, rtol=0)


def test_interpolates_of_the_identity_are_the_blend(pixels, images):
    left, right = images, images.flip(0)
    path = rr.interpolate(pixels, left, right, steps=4, iterations=5, step_size=0.01)
    assert path.weights.tolist() == [0, 0.25, 0.5, 0.75, 1]
    torch.testing.assert_close(path.images, path.blend, atol=1e-5, rtol=0)
    torch.testing.assert_close(path.blend[:, 0], right)
    torch.testing.assert_close(path.blend[:, -1], left)
    assert (path.distance < 1e-5).all()


def test_interpolation_starts_from_the_blend_and_approaches_the_target(network):
    left, right = torch.rand(2, 2, 3, 32, 32)
    path = rr.interpolate(network, left, right, steps=2, iterations=10)
    assert (path.distance <= path.synthesis.trace[0].view(2, 3) + 1e-6).all()
    assert path.distance[:, 0].max() < 1e-5  # the ends are met at the start
    assert path.distance[:, 1].mean() < path.synthesis.trace[0].view(2, 3)[:, 1].mean()


def test_maximising_a_pixel_lights_that_pixel(pixels, images):
    found = rr.visualize(pixels, coordinates=[3, 7], seeds=images, iterations=50, step_size=0.05)
    assert found.images.shape == (3, 2, 3, 2, 2)
    torch.testing.assert_close(found.value, torch.ones(3, 2))
    assert found.predicted.tolist() == [[3, 7]] * 3
    for column, i in enumerate((3, 7)):
        others = [j for j in range(12) if j != i]
        after = found.images[:, column].flatten(1)[:, others]
        torch.testing.assert_close(after, images.flatten(1)[:, others])


def test_a_transform_sees_every_step_and_repeats_under_a_seed(network):
    shifts = []

    def jitter(x):
        shift = int(torch.randint(-2, 3, ()))
        shifts.append(shift)
        return x.roll(shift, dims=3)

    seeds = torch.rand(1, 3, 32, 32)
    options = {"coordinates": [5], "seeds": seeds, "transform": jitter, "iterations": 6}
    first = rr.visualize(network, seed=3, **options)
    drawn = shifts.copy()
    again = rr.visualize(network, seed=3, **options)
    assert len(drawn) >= 6
    assert len(set(drawn)) > 1
    assert shifts == drawn * 2
    assert torch.equal(first.images, again.images)


def test_a_feature_is_added_until_it_leads_and_no_further(pixels, images):
    steps = {"schedule": "paper", "iterations": 60, "step_size": 0.02}
    full = rr.add_feature(pixels, images, 4, early_stop=False, **steps)
    torch.testing.assert_close(full.objective, torch.ones(3))
    added = rr.add_feature(pixels, images, coordinate=4, **steps)
    largest_other = images.flatten(1)[:, [j for j in range(12) if j != 4]].amax(1)
    assert (added.objective > largest_other).all()
    assert (added.objective <= torch.maximum(largest_other + 0.021, images.flatten(1)[:, 4])).all()
    each = rr.add_feature(pixels, images, [0, 1, 2], **steps)
    latent = rr.representation(pixels, each.images)
    assert latent.argmax(1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("batch", [1, 4, 30])
def test_most_and_least_activating_equal_a_full_sort(pixels, batch):
    data = torch.rand(30, 3, 2, 2)
    labels = torch.arange(30) % 5
    loader = list(zip(data.split(batch), labels.split(batch), strict=True))
    found = rr.most_activating(pixels, loader, coordinates=[2, 9], k=4)
    values = data.flatten(1)[:, [2, 9]].T
    torch.testing.assert_close(found.most.value, values.sort(descending=True).values[:, :4])
    torch.testing.assert_close(found.least.value, values.sort().values[:, :4])
    assert torch.equal(found.most.images, data[found.most.index])
    assert torch.equal(found.least.label, labels[found.least.index])
    assert found.seen == 30
    unlabelled = rr.most_activating(pixels, data.split(batch), coordinates=[2], k=1)
    assert unlabelled.most.label.tolist() == [[-1]]


def test_accuracy_of_a_linear_rule_is_known(pixels):
    """The first of two pixels wins by its margin; PGD takes it if eps / sqrt(2) is larger."""
    pixels.model.fc.weight.data *= 100  # so that the loss sees the two largest pixels only
    x = torch.full((10, 3, 2, 2), 0.2)
    margin = torch.linspace(0.02, 0.2, 10)
    x[:, 0, 0, 0] = 0.5 + margin
    x[:, 0, 0, 1] = 0.5
    labels = torch.zeros(10).long()
    eps = 0.11 / 2**0.5
    clean, attacked = rr.evaluate(pixels, [(x, labels)], eps=eps, attack_steps=[50])
    assert (clean.correct, clean.n, clean.name) == (10, 10, "clean")
    assert attacked.name == "PGD-50"
    assert attacked.correct == int((margin > 0.11).sum())
    low, high = attacked.interval()
    assert low == pytest.approx(0.2366, abs=1e-3)  # Wilson's interval of 5 of 10
    assert high == pytest.approx(0.7634, abs=1e-3)
    # With the two pixels in one group, the attack must lift another: a gap of 0.3 and more.
    group = torch.arange(12) // 2
    near = rr.evaluate(pixels, [(x, labels)], eps=eps, attack_steps=[50], group=group)
    assert [accuracy.correct for accuracy in near] == [10, 10]
    far = rr.evaluate(pixels, [(x, labels)], eps=3.0, attack_steps=[50], group=group)
    assert [accuracy.correct for accuracy in far] == [10, 0]
    assert [(len(one.by_class), one.by_class[0]) for one in far] == [(6, (10, 10)), (6, (0, 10))]
    # With the second pixel in no group, too.
    without = [0, -1, *range(1, 11)]
    left = rr.evaluate(pixels, [(x, labels)], eps=eps, attack_steps=[50], group=without)
    assert [accuracy.correct for accuracy in left] == [10, 10]
    with pytest.raises(InputError, match="label 1, which belongs to no coarse label"):
        rr.evaluate(pixels, [(x, labels.index_fill(0, torch.tensor([3]), 1))], group=without)
    with pytest.raises(InputError, match="no class has a coarse label"):
        rr.evaluate(pixels, [(x, labels)], group=[-1] * 12)


def test_accuracy_by_class_counts_each_class_as_much_as_the_others(pixels):
    """Three images of class 0, two of them right, one of class 5, wrong, and none of the rest."""
    x = torch.zeros(4, 3, 2, 2)
    for image, brightest in zip(x, (0, 0, 7, 2), strict=True):
        image.view(-1)[brightest] = 1
    batches = [(x[:2], torch.tensor([0, 0])), (x[2:], torch.tensor([0, 5]))]
    clean, _ = rr.evaluate(pixels, batches, eps=0.0, attack_steps=[1])
    assert clean.by_class == ((2, 3), *[(0, 0)] * 4, (0, 1), *[(0, 0)] * 6)
    assert (clean.correct, clean.n, clean.share) == (2, 4, 0.5)
    assert clean.balanced == pytest.approx((2 / 3 + 0) / 2)


def test_counts_of_parts_add_up_by_class_where_every_part_has_them():
    rows = [
        {"attack": "clean", "correct": 1, "n": 3, "by_class": "[[1, 2], [0, 1]]"},
        {"attack": "clean", "correct": 2, "n": 2, "by_class": "[[1, 1], [1, 1]]"},
    ]
    [both] = added_up(rows)
    assert (both.correct, both.n, both.by_class) == (3, 5, ((2, 3), (1, 2)))
    assert both.balanced == pytest.approx((2 / 3 + 1 / 2) / 2)
    # Version 0.1 kept the sums alone.
    [mixed] = added_up([rows[0], {"attack": "clean", "correct": 2, "n": 2}])
    assert (mixed.correct, mixed.n, mixed.by_class) == (3, 5, ())
    assert math.isnan(mixed.balanced)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: rr.visualize(m, coordinates=[12], seeds=x), "coordinate 12 is out of range"),
        (lambda m, x: rr.visualize(m, coordinates=[], seeds=x), "no coordinates"),
        (lambda m, x: rr.visualize(m, coordinates=[0], seeds=x * 2), "seeds has values"),
        (lambda m, x: rr.add_feature(m, x, -1), "coordinate -1"),
        (lambda m, x: rr.add_feature(m, x, [1, 2]), "2 targets"),
        (lambda m, x: rr.interpolate(m, x, x, steps=0), "steps=0"),
        (lambda m, x: rr.interpolate(m, x, x[:1]), "pairs of images"),
        (lambda m, x: rr.invert_within(m, x, x, radii=(3, 2)), "not ascending"),
        (lambda m, x: rr.invert_within(m, x, x, radii=(-1, 2)), "none negative"),
        (lambda m, x: rr.invert_within(m, x, x, radii=()), "at least one"),
        (lambda m, x: rr.invert_within(m, x, x[:2]), "pairs of images"),
        (lambda m, x: rr.invert_within(m, x, x, eps=3.0), "leave one of them out"),
        (lambda m, x: rr.most_activating(m, [x], coordinates=[99]), "coordinate 99"),
        (lambda m, x: rr.most_activating(m, [x], coordinates=[1], k=0), "k=0"),
        (lambda m, x: rr.most_activating(m, [x], coordinates=[1], k=9), "the data has 3 images"),
        (lambda m, x: rr.most_activating(m, [], coordinates=[1]), "the data has 0 images"),
        (lambda m, x: rr.evaluate(m, []), "the data is empty"),
        (lambda m, x: rr.evaluate(m, [], eps=-1), "eps=-1"),
        (lambda m, x: rr.evaluate(m, [x]), "no labels"),
        (lambda m, x: rr.evaluate(m, [], attack_steps=[0]), "attack_steps"),
    ],
)
def test_bad_input_is_named(pixels, images, call, message):
    with pytest.raises(rr.InputError, match=message):
        call(pixels, images)


def test_an_unknown_option_is_a_type_error(pixels, images):
    with pytest.raises(TypeError, match="stepsize"):
        rr.invert(pixels, images, stepsize=1)


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        (lambda logits, x: logits[:, :, None], None),
        (lambda logits, x: logits[:1], None),
        (lambda logits, x: 1 / 0, "no class is told: ZeroDivisionError: division by zero"),
    ],
)
def test_a_class_that_cannot_be_told_is_minus_one(pixels, images, monkeypatch, spoiled, said):
    """The images are made all the same; only the forward pass without the representation fails."""
    told = rr.visualize(pixels, coordinates=[0, 5], seeds=images, iterations=1)
    assert told.predicted.shape == (3, 2)
    assert (told.predicted >= 0).all()
    forward = type(pixels.model).forward

    def spoiling(network, x, with_latent=False, **others):
        found = forward(network, x, with_latent=with_latent, **others)
        return found if with_latent else spoiled(found, x)

    monkeypatch.setattr(type(pixels.model), "forward", spoiling)
    with pytest.warns(UserWarning, match=said) if said else nullcontext():
        found = rr.visualize(pixels, coordinates=[0, 5], seeds=images, iterations=1)
    assert torch.equal(found.predicted, torch.full((3, 2), -1))
    assert torch.equal(found.images, told.images)


def test_coordinates_are_those_of_the_layer(network):
    """The first maps of the body have more than the penultimate layer."""
    seeds = torch.full((1, 3, 24, 24), 0.5)
    coordinate = rr.representation(network, seeds, layer="body.0").shape[1] - 1
    found = rr.visualize(
        network, coordinates=[coordinate], seeds=seeds, layer="body.0", iterations=1
    )
    assert found.images.shape == (1, 1, 3, 24, 24)
    with pytest.raises(InputError, match=str(coordinate)):
        rr.visualize(network, coordinates=[coordinate], seeds=seeds, iterations=1)
