"""What holds for every public call with a model: it changes nothing, wrong images are told."""

from __future__ import annotations

import random
import warnings
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.synthesis.settings import Settings

SHORT = {"iterations": 2}
LABELS = torch.tensor([0, 1, 2, 1])
TWO = torch.tensor([0, 1, 1, 0])


def turned(x):
    """The images in the other order, whoever's they are."""
    return np.flip(x, 0).copy() if isinstance(x, np.ndarray) else x.flip(0)


def loader(x, labels=LABELS):
    return [(x[:2], labels[:2]), (x[2:], labels[2:])]


CALLS = {
    "representation": lambda m, x: rr.representation(m, x),
    "invert": lambda m, x: rr.invert(m, x, **SHORT),
    "invert from images": lambda m, x: rr.invert(m, x, start=turned(x), **SHORT),
    "invert at a layer": lambda m, x: rr.invert(m, x, layer="body.2", **SHORT),
    "invert by lbfgs": lambda m, x: rr.invert(m, x, schedule="lbfgs", **SHORT),
    "invert_within": lambda m, x: rr.invert_within(m, x, turned(x), radii=(1, 2), **SHORT),
    "interpolate": lambda m, x: rr.interpolate(m, x[:2], x[2:], steps=2, **SHORT),
    "visualize": lambda m, x: rr.visualize(m, coordinates=[0, 3], seeds=x[:2], **SHORT),
    "add_feature": lambda m, x: rr.add_feature(m, x, coordinate=1, **SHORT),
    "most_activating": lambda m, x: rr.most_activating(m, loader(x), coordinates=[0], k=2),
    "directions": lambda m, x: rr.directions(m, loader(x), components=2, k=2),
    "directions of classes": lambda m, x: rr.directions(m, loader(x), method="class", k=2),
    "directions by a probe": lambda m, x: rr.directions(
        m, loader(x, TWO), method="probe", path=2, k=2
    ),
    "evaluate": lambda m, x: rr.evaluate(m, loader(x), eps=0.5, attack_steps=[2]),
    "evaluate by apgd": lambda m, x: rr.evaluate(
        m, loader(x), radii=(0.1, 0.5), attack="standard", attack_steps=[1]
    ),
    "translate": lambda m, x: rr.translate(m, x, 1, **SHORT),
    "enhance": lambda m, x: rr.enhance(m, x, LABELS, **SHORT),
    "inpaint": lambda m, x: rr.inpaint(m, x, torch.eye(8), **SHORT),
    "upscale": lambda m, x: rr.upscale(m, x, 2, **SHORT),
    "generate from images": lambda m, x: rr.generate(m, LABELS, start=x, **SHORT),
    "metamers": lambda m, x: rr.metamers(m, x, layers=["body.2"], **SHORT),
    "synthesize": lambda m, x: rr.synthesize(
        m, rr.CoordinateMaximization(), torch.tensor([0, 1, 2, 3]), x, Settings(1.0, 0.5, 2)
    ),
    "synthesize by a sum": lambda m, x: rr.synthesize(
        m,
        rr.ClassLogit() + rr.CoordinateMaximization(layer="body.2") + rr.TotalVariation(),
        LABELS,
        x,
        Settings(1.0, 0.5, 2),
    ),
    "invert within a mask": lambda m, x: rr.invert(
        m, x, mask=torch.eye(x.shape[-1]), constraint="inf", **SHORT
    ),
}
"""Every call with images from outside, small."""

every_call = pytest.mark.parametrize("name", CALLS)


WITHOUT_IMAGES = (
    *("representation", "most_activating", "evaluate", "evaluate by apgd"),
    *("directions", "directions of classes", "directions by a probe"),
)


def syntheses(result):
    return result.values() if isinstance(result, dict) else [result]


class OutOfPatience(RuntimeError):
    """Not to be mistaken for another."""


class Network(nn.Module):
    """Batch norm, dropout and an in-place ReLU; raises at its forward pass number `fail_at`."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Dropout(0.5)
        )
        self.fc = nn.Linear(6, 3)
        self.passes, self.fail_at = 0, None

    def forward(self, x):
        self.passes += 1
        if self.passes == self.fail_at:
            raise OutOfPatience
        return self.fc(self.body(x).mean(dim=(2, 3)))


@pytest.fixture
def images():
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Network()


def made(training, fail_at=None):
    inner = network()
    model = rr.load_model(inner, normalize=([0.5] * 3, [0.25] * 3))
    model.train(training)
    model.model.requires_grad_(True)
    inner.fc.bias.requires_grad_(False)
    inner.passes, inner.fail_at = 0, fail_at
    return model, inner


def state(model):
    """All of a model that a call could change, and the random numbers that come next."""
    modules = list(model.modules())
    legacy = np.random.get_state()  # noqa: NPY002
    return {
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "modes": [module.training for module in modules],
        "gradients": [(p.requires_grad, p.grad) for p in model.parameters()],
        "places": [value.data_ptr() for value in model.state_dict().values()],
        "hooks": [
            len(module._forward_hooks)
            + len(module._forward_pre_hooks)
            + len(module._backward_hooks)
            for module in modules
        ],
        "attributes": [sorted(vars(module)) for module in modules],
        "random": (torch.get_rng_state(), random.getstate(), legacy[1].copy()),
        "switches": (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()),
    }


def assert_same(before, after):
    assert before.keys() == after.keys()
    for name in before.keys() - {"weights", "random"}:
        assert before[name] == after[name], name
    for key, value in before["weights"].items():
        assert torch.equal(value, after["weights"][key]), key
    for one, other in zip(before["random"], after["random"], strict=True):
        assert np.array_equal(one, other) if not isinstance(one, tuple) else one == other


@every_call
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.filterwarnings("ignore:the objective has no gradient")
def test_a_call_leaves_everything_as_it_was(name, training, images):
    model, _ = made(training)
    before, given = state(model), images.clone()
    CALLS[name](model, images)
    assert_same(before, state(model))
    assert torch.equal(given, images)
    assert not images.requires_grad


@every_call
@pytest.mark.filterwarnings("ignore:the objective has no gradient")
def test_an_error_at_any_pass_leaves_everything_as_it_was_and_no_images_are_lost(name, images):
    """What fails after the last step is told, and the images are there."""
    model, inner = made(True)
    whole = CALLS[name](model, images)
    passes = inner.passes
    before = state(model)
    kept = []
    for fail_at in range(1, passes + 1):
        inner.passes, inner.fail_at = 0, fail_at
        with warnings.catch_warnings(), suppress(OutOfPatience):
            warnings.filterwarnings("ignore", "after the last step: OutOfPatience")
            kept.append(CALLS[name](model, images))
        assert_same(before, {**state(model), "attributes": before["attributes"]})
    for result in kept:
        for one, other in zip(syntheses(result), syntheses(whole), strict=True):
            torch.testing.assert_close(one.images, other.images)
    assert bool(kept) == (name not in WITHOUT_IMAGES)


@every_call
@pytest.mark.filterwarnings("ignore:the objective has no gradient")
def test_a_network_in_training_mode_is_read_as_in_evaluation(name, images):
    """Batch norm uses its running statistics, and dropout drops nothing."""
    one, other = (CALLS[name](made(training)[0], images) for training in (True, False))
    if name in WITHOUT_IMAGES:
        assert str(one) == str(other)
    else:
        for left, right in zip(syntheses(one), syntheses(other), strict=True):
            assert torch.equal(left.images, right.images)


WRONG = {
    "normalised": (lambda x: (x - 0.5) / 0.25, "bring images into [0, 1]"),
    "0 to 255": (lambda x: (x * 255).round(), "divide by 255"),
    "not finite": (lambda x: x.where(x < 0.9, torch.nan), "nan"),
    "one channel": (lambda x: x[:, :1], "channel"),
    "channels last": (lambda x: x.permute(0, 2, 3, 1), "channel"),
    "no batch axis": (lambda x: x[0], "[None]"),
}


@every_call
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_images_are_one_line_and_no_number(name, kind, images):
    wrong, word = WRONG[kind]
    model, _ = made(False)
    before = state(model)
    with pytest.raises(rr.InputError) as error:
        CALLS[name](model, wrong(images))
    said = str(error.value)
    assert "\n" not in said
    assert word in said, said
    assert_same(before, state(model))


TAKEN = {
    "uint8": lambda x: (x * 255).round().to(torch.uint8),
    "numpy": lambda x: x.numpy(),
    "float64": lambda x: x.double(),
    "half": lambda x: x.half(),
}


@every_call
@pytest.mark.parametrize("kind", TAKEN)
@pytest.mark.filterwarnings("ignore:the objective has no gradient")
def test_images_as_users_have_them_are_taken(name, kind, images):
    model, _ = made(False)
    images = (images * 255).round() / 255
    CALLS[name](model, TAKEN[kind](images))


@pytest.mark.parametrize("name", [name for name in CALLS if name != "representation"])
@pytest.mark.filterwarnings("ignore:the objective has no gradient")
def test_what_a_call_gives_shows_itself_and_is_kept(name, images, tmp_path):
    found = CALLS[name](made(False)[0], images)
    assert len(repr(found).splitlines()) == 2
    assert "data:image/png" in found._repr_html_()
    assert len(found.to_frame())
    again = type(found).load(found.save(tmp_path / "kept"))
    assert repr(again) == repr(found)
    assert again.to_frame().equals(found.to_frame())


def test_every_public_call_is_tried():
    tried = {name.partition(" ")[0] for name in CALLS}
    apart = {"robustify", "scorecard", "load_model", "load_images", "compat_cuda"}
    # Of results and of images, not of networks.
    apart |= {"fit_gaussians", "read_study", "resemblance", "results", "write_study"}
    rest = {name for name in rr.__all__ if name[0].islower()} - tried - apart
    assert not rest
