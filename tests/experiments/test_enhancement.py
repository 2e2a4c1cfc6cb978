"""Enhanced images: on a linear network every logit after the last step is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.experiments.enhancement import difficulty
from robust_reps_ext.results.synthesis import distances

SIDE, CLASSES = 8, 5
EPS = 20 * SIDE / 224
LABELS = [2, 0, 4, 2]


class Linear(nn.Module):
    """Logits are a linear function of the pixels."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * SIDE * SIDE, CLASSES)

    def forward(self, x):
        return self.fc(x.flatten(1))


@pytest.fixture(scope="module")
def linear():
    torch.manual_seed(0)
    return Linear()


@pytest.fixture(scope="module")
def model(linear):
    found = rr.load_model(linear, normalize=([0.0] * 3, [1.0] * 3))
    found.card = {**found.card, "data_set": {"classes": ["a", "b", "goose", "d", "e"]}}
    return found


@pytest.fixture
def images():
    """Away from 0 and 1, where nothing is clipped."""
    return torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) / 4 + 0.4


def scores(linear, images, labels=LABELS):
    with torch.no_grad():
        return linear(images)[range(len(labels)), labels]


def test_the_logit_rises_by_eps_times_the_length_of_its_gradient(model, linear, images):
    found = rr.enhance(model, images, LABELS)
    lengths = linear.fc.weight.detach()[LABELS].norm(dim=1)
    torch.testing.assert_close(found.objective, scores(linear, images) + EPS * lengths)
    torch.testing.assert_close(found.objective, scores(linear, found.images))
    torch.testing.assert_close(distances(found.images, images), torch.full((4,), EPS))
    assert torch.equal(found.start, images)


def test_the_defaults_are_published(model, images):
    settings = rr.enhance(model, images, 0).settings
    assert settings["eps"] == pytest.approx(EPS)
    assert settings["step_size"] == pytest.approx(0.5 * SIDE / 224)
    assert settings["iterations"] == 40
    assert settings["objective"] == "class_logit"


def test_a_smaller_ball_holds_and_a_radius_may_be_of_each_image(model, linear, images):
    eps = torch.tensor([0.0, 0.1, 0.2, 0.4])
    found = rr.enhance(model, images, LABELS, eps=eps)
    lengths = linear.fc.weight.detach()[LABELS].norm(dim=1)
    torch.testing.assert_close(found.objective, scores(linear, images) + eps * lengths)


def test_difficulty_is_minus_the_logit_of_the_original(model, linear, images):
    found = rr.enhance(model, images, LABELS, iterations=1)
    assert found.settings["difficulty"] == pytest.approx((-scores(linear, images)).tolist())
    assert found[1:3].settings["difficulty"] == found.settings["difficulty"][1:3]
    hard = difficulty(model, images, torch.tensor(LABELS))
    assert found.to_frame()["difficulty"].tolist() == hard.tolist()


def test_classes_by_number_by_name_or_what_the_model_sees(model, linear, images):
    seen = linear(images).argmax(1).tolist()
    once = {"iterations": 1}
    assert rr.enhance(model, images, **once).settings["classes"] == seen
    assert rr.enhance(model, images, "goose", **once).settings["classes"] == [2] * 4
    assert rr.enhance(model, images, ["goose", 1, "a", 4], **once).settings["classes"] == [
        *(2, 1, 0, 4)
    ]


def test_other_objectives_hold_the_other_classes_down_or_leave_the_class(model, linear, images):
    plainer = rr.enhance(model, images, LABELS, objective="cross-entropy")
    left = rr.enhance(model, images, LABELS, objective="diverge")
    with torch.no_grad():
        before, raised, lowered = map(linear, (images, plainer.images, left.images))
    rows = range(4)
    share = [some.softmax(1)[rows, LABELS] for some in (before, raised)]
    assert (share[1] > share[0]).all()
    torch.testing.assert_close(plainer.objective, -share[1].log())
    change = lowered - before
    assert (change[rows, LABELS] < 0).all()
    others = lowered.scatter(1, torch.tensor(LABELS)[:, None], -torch.inf).logsumexp(1)
    torch.testing.assert_close(left.objective, lowered[rows, LABELS] + others)


WRONG = {
    "objective": (
        lambda m, x: rr.enhance(m, x, 0, objective="logits"),
        "objective='logits' is not known: choose logit or cross-entropy or diverge",
    ),
    "objective of a kind": (lambda m, x: rr.enhance(m, x, 0, objective=rr.Diverge()), "not known"),
    "class 7": (lambda m, x: rr.enhance(m, x, 7), "values from 7 to 7: give 0 to 4"),
    "three classes": (lambda m, x: rr.enhance(m, x, [1, 2, 3]), r"for 4 images"),
    "name": (lambda m, x: rr.enhance(m, x, "gose"), r"no class is called 'gose'.*goose"),
    "eps": (lambda m, x: rr.enhance(m, x, 0, eps=-1), "eps=-1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_told_before_a_step_is_made(model, images, name):
    call, said = WRONG[name]
    with pytest.raises(rr.InputError, match=said):
        call(model, images)
