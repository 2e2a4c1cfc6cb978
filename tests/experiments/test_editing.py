"""Images towards a class: on a linear network the step, the mask and the starts are known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.experiments.editing import holed, holes, reduced
from robust_reps_ext.experiments.gaussians import fit_gaussians
from robust_reps_ext.experiments.restoration import nearer
from robust_reps_ext.results.synthesis import distances

SIDE, CLASSES = 8, 5


class Linear(nn.Module):
    """Logits are a linear function of the pixels."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * SIDE * SIDE, CLASSES)

    def forward(self, x):
        return self.fc(x.flatten(1))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return rr.load_model(Linear(), normalize=([0.0] * 3, [1.0] * 3))


@pytest.fixture
def images():
    """Away from 0 and 1, where nothing is clipped."""
    return torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) / 4 + 0.4


def step(model, images, label):
    """Down the cross-entropy's gradient: towards w_y less the mean of all w, by probability."""
    [linear] = [one for one in model.modules() if isinstance(one, nn.Linear)]
    weights, bias = linear.weight.detach(), linear.bias.detach()
    share = (images.flatten(1) @ weights.T + bias).softmax(1)
    return (weights[label] - share @ weights).view_as(images)


@pytest.mark.parametrize("call", ["translate", "generate"])
def test_a_step_goes_along_the_class_less_the_mean(model, images, call):
    how = {"iterations": 1, "step_size": 0.1}
    if call == "translate":
        found = rr.translate(model, images, 2, **how)
    else:
        found = rr.generate(model, 2, start=images, **how)
    way = step(model, images, 2)
    wanted = images + 0.1 * way / way.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert torch.allclose(found.images, wanted, atol=1e-5)
    assert found.settings["classes"] == [2] * 4
    assert torch.equal(found.start, images)


def test_published_lengths_are_brought_to_the_size(model, images):
    scale = SIDE / 224
    known = {
        (40, 1, 60): rr.generate(model, 0, size=SIDE),
        (80, 0.5, 200): rr.translate(model, images[:1], 0),
        (21.6, 0.1, 720): rr.inpaint(model, images[:1], torch.eye(SIDE)),
        (8, 1, 40): rr.upscale(model, images[:1, :, ::2, ::2], 2),
    }
    for (eps, length, steps), found in known.items():
        settings = found.settings
        assert settings["eps"] == pytest.approx(eps * scale)
        assert settings["step_size"] == pytest.approx(length * scale)
        assert settings["iterations"] == steps
        assert distances(found.images, found.start).max() <= eps * scale * (1 + 1e-5)


def test_a_hole_is_filled_and_the_rest_is_the_image_to_the_bit(model, images):
    mask = holes(images, side=3, seed=4)
    found = rr.inpaint(model, images, mask, iterations=5, step_size=0.1)
    inside = mask.expand_as(images)
    assert torch.equal(found.images[~inside], images[~inside])
    assert not torch.equal(found.images[inside], found.start[inside])
    assert torch.equal(found.start, holed(images, mask))
    for image, start, hole in zip(images, found.start, mask[:, 0], strict=True):
        assert torch.allclose(start[:, hole], image[:, ~hole].mean(1, keepdim=True).expand(3, 9))


def test_what_is_in_the_hole_is_not_looked_at(model, images):
    mask = holes(images, side=3)
    other = torch.where(mask, torch.rand_like(images), images)
    one, two = (rr.inpaint(model, some, mask, iterations=3) for some in (images, other))
    assert torch.equal(one.images, two.images)
    assert one.settings["classes"] == two.settings["classes"]


def test_a_hole_belongs_to_its_number():
    images = torch.zeros(6, 3, 64, 64)
    found = holes(images, seed=2)
    assert (found.sum((1, 2, 3)) == 17 * 17).all()
    assert torch.equal(holes(images[:2], seed=2, first=4), found[4:])
    assert len({tuple(one.nonzero()[0].tolist()) for one in found}) > 1


def test_an_enlarged_image_starts_as_squares_of_its_pixels(model, images):
    found = rr.upscale(model, reduced(images, 4), 4, truth=images, iterations=2)
    averages = images.unfold(2, 4, 4).unfold(3, 4, 4).mean((-1, -2))
    assert torch.allclose(reduced(images, 4), averages)
    squares = reduced(images, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.equal(found.start, squares)
    assert torch.equal(found.target_images, images)
    logits = model(found.start)[0]
    assert found.settings["classes"] == logits.argmax(1).tolist()


def test_how_near_the_truth_is_told(model, images):
    found = rr.upscale(model, reduced(images, 2).repeat(2, 1, 1, 1), 2, iterations=1)
    assert nearer(found) is None
    truth = images.repeat(2, 1, 1, 1)
    told = nearer(rr.upscale(model, reduced(truth, 2), 2, truth=truth, iterations=1))
    assert told.n == 8
    assert told.change == pytest.approx(told.result - told.start)
    assert told.low <= told.change <= told.high
    assert nearer(rr.upscale(model, reduced(images, 2), 2, truth=images, iterations=1)).low is None


def test_generation_starts_from_gaussians_by_number(model, images):
    labels = torch.tensor([0, 1, 0, 1])
    start = fit_gaussians([(images, labels)], classes=CLASSES, downsample=2)
    found = rr.generate(model, [0, 1], start=start, n=3, seed=7, iterations=1)
    assert torch.equal(found.start, start.sample([0, 0, 0, 1, 1, 1], seed=7))
    assert found.settings["classes"] == [0, 0, 0, 1, 1, 1]
    part = rr.generate(model, [1, 1], start=start, seed=7, iterations=1, first=4)
    assert torch.allclose(part.images, found.images[4:], atol=1e-6)


def test_classes_go_by_name_where_the_file_tells_them(images):
    torch.manual_seed(0)
    named = rr.load_model(Linear(), normalize=([0.5] * 3, [0.5] * 3))
    with pytest.raises(rr.InputError, match="nothing tells the names"):
        rr.translate(named, images, "goose")
    named.card = {
        **named.card,
        "data_set": {"classes": ["a", "b", "c", "goose", "e"], "size": SIDE},
    }
    found = rr.translate(named, images, ["Goose", "a", 1, "4"], iterations=1)
    assert found.settings["classes"] == [3, 0, 1, 4]
    assert rr.generate(named, "goose", iterations=1).images.shape == (1, 3, SIDE, SIDE)
    with pytest.raises(rr.InputError, match=r"no class is called 'gose'.*goose"):
        rr.translate(named, images, "gose")


WRONG = {
    "class 7": (lambda m, x: rr.translate(m, x, 7), "values from 7 to 7: give 0 to 4"),
    "three classes": (lambda m, x: rr.translate(m, x, [1, 2, 3]), r"for 4 images"),
    "no classes": (lambda m, x: rr.generate(m, [], size=8), "no classes"),
    "no size": (lambda m, x: rr.generate(m, 1), "give size="),
    "start": (lambda m, x: rr.generate(m, 1, start="blue", size=8), 'give "noise", "grey"'),
    "n": (lambda m, x: rr.generate(m, 1, start=x, n=2), "n=2: with images as start"),
    "mask of another size": (lambda m, x: rr.inpaint(m, x, torch.eye(7)), "7 x 7 pixels"),
    "nothing but hole": (lambda m, x: rr.inpaint(m, x, torch.ones(8, 8)), "nothing is left"),
    "hole too large": (lambda m, x: holes(x, side=8), "a hole of 8 pixels"),
    "factor 1": (lambda m, x: rr.upscale(m, x, 1), "factor=1: give a whole number, 2 or more"),
    "factor 3": (lambda m, x: reduced(x, 3), "8 x 8 pixels cannot be downsampled by 3"),
    "truth": (lambda m, x: rr.upscale(m, x, 2, truth=x), "truth has shape"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_told_before_a_step_is_made(model, images, name):
    call, said = WRONG[name]
    with pytest.raises(rr.InputError, match=said):
        call(model, images)
