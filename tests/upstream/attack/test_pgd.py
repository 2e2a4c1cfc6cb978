"""The attack: upstream's iterates where upstream is right, closed forms, and its own options."""

from __future__ import annotations

import itertools

import pytest
import torch
from networks import PLAIN, Convolutional, Linear, wrapped
from robustness.attacker import AttackerModel
from torch import nn

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime.errors import InputError


@pytest.fixture
def without_cuda(monkeypatch):
    """Upstream calls `.cuda()`; here that is the identity."""
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self, *_, **__: self)


def to_latent(model, inp, target):
    _, latent = model(inp, with_latent=True)
    return (latent - target).norm(dim=1), None


@pytest.fixture
def network():
    torch.manual_seed(0)
    body = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()
    return Convolutional(*body, width=8, classes=5).eval()


@pytest.fixture
def images():
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 0.8 + 0.1


CONFIGURATIONS = list(
    itertools.product(("2", "inf", "unconstrained"), (True, False), (True, False), (True, False))
)


@pytest.mark.parametrize(("constraint", "targeted", "use_best", "custom"), CONFIGURATIONS)
def test_iterates_equal_upstreams(
    pristine,
    without_cuda,
    gradient_at_bounds,
    network,
    images,
    constraint,
    targeted,
    use_best,
    custom,
):
    # Upstream averages the loss over the batch, so its unconstrained steps shrink with the batch.
    step_size = {"2": 0.3, "inf": 0.02, "unconstrained": 5.0}[constraint]
    theirs_step = step_size * (len(images) if constraint == "unconstrained" else 1)
    target = torch.rand(4, 8) if custom else torch.tensor([0, 1, 2, 3])
    options = {
        "constraint": constraint,
        "eps": 1.0 if constraint == "2" else 0.06,
        "iterations": 9,
        "targeted": targeted,
        "use_best": use_best,
        "custom_loss": to_latent if custom else None,
    }
    ours = wrapped(network, PLAIN)
    theirs = pristine.attacker.AttackerModel(network, PLAIN).eval()
    out, found = ours(images, target, make_adv=True, step_size=step_size, **options)
    their_out, expected = theirs(images, target, make_adv=True, step_size=theirs_step, **options)
    assert not torch.equal(found, images)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(out, their_out, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("constraint", ["2", "inf"])
def test_equal_upstream_with_another_origin_and_estimated_gradients(
    pristine, without_cuda, gradient_at_bounds, network, images, constraint
):
    origin = (images + 0.01).clamp(0, 1)
    options = {"constraint": constraint, "eps": 0.9, "step_size": 0.05, "iterations": 5}
    options |= {"orig_input": origin, "est_grad": (0.1, 20), "use_best": False}
    labels = torch.tensor([0, 1, 2, 3])
    results = []
    for package in (AttackerModel, pristine.attacker.AttackerModel):
        torch.manual_seed(3)
        model = package(network, PLAIN).eval()
        results.append(model(images, labels, make_adv=True, **options)[1])
    # Finite differences of float32 losses: rounding is amplified a hundredfold.
    torch.testing.assert_close(*results, atol=1e-4, rtol=0)


@pytest.mark.parametrize("constraint", ["2", "inf"])
def test_linear_model_reaches_the_known_worst_case(constraint):
    torch.manual_seed(0)
    model = AttackerModel(Linear(48, 3, bias=False), PLAIN)
    x = torch.full((5, 3, 4, 4), 0.5)

    def score(network, inp, target):
        return network(inp)[torch.arange(len(inp)), target], None

    target = torch.tensor([0, 1, 2, 0, 1])
    eps = torch.tensor([0.01, 0.05, 0.1, 0.2, 0.3])
    _, found = model(
        x, target, make_adv=True, constraint=constraint, eps=eps, step_size=eps / 5,
        iterations=20, custom_loss=score,
    )  # fmt: skip
    w = model.model.fc.weight[target].detach()
    best = x.flatten(1) + eps[:, None] * (
        w / w.norm(dim=1, keepdim=True) if constraint == "2" else w.sign()
    )
    torch.testing.assert_close(found.flatten(1), best, atol=1e-5, rtol=0)


@pytest.mark.parametrize("schedule", ["paper", "cosine-momentum", "lbfgs", "apgd"])
@pytest.mark.parametrize("constraint", ["2", "inf", "unconstrained"])
def test_black_and_white_pixels_move_as_all_others_do(constraint, schedule):
    """A linear loss around an image of zeros and ones: those whose way in leads uphill take it."""
    torch.manual_seed(0)
    model = AttackerModel(Linear(48, 3, bias=False), PLAIN)
    x, target, eps = torch.rand(2, 3, 4, 4).round(), torch.tensor([0, 1]), 0.1

    def score(network, inp, target):
        return network(inp)[torch.arange(len(inp)), target], None

    _, found = model(
        x, target, make_adv=True, constraint=constraint, eps=eps, step_size=eps / 5,
        iterations=40, custom_loss=score, schedule=schedule,
    )  # fmt: skip
    w = model.model.fc.weight[target].detach()
    inwards = torch.where((x.flatten(1) == 0) == (w > 0), w, 0)
    moved = (found - x).flatten(1)
    assert torch.equal(moved != 0, inwards != 0)
    gained = (moved * w).sum(dim=1)
    if constraint != "unconstrained":
        best = eps * inwards.norm(p=2 if constraint == "2" else 1, dim=1)
        assert (gained > 0.9 * best).all()
        assert (gained < 1.001 * best).all()


@pytest.mark.parametrize("restarts", [2, 4])
def test_random_restarts_keep_the_worst_case_of_each_image(network, images, restarts):
    model = wrapped(network, PLAIN)
    labels = torch.tensor([0, 1, 2, 3])
    options = {"constraint": "2", "eps": 0.5, "step_size": 0.1, "iterations": 2}

    def loss(x):
        return nn.functional.cross_entropy(model(x)[0], labels, reduction="none")

    torch.manual_seed(0)
    singles = []
    for restart in range(restarts):
        _, x = model(images, labels, make_adv=True, random_start=restart > 0, **options)
        singles.append(loss(x))
    torch.manual_seed(0)
    _, x = model(images, labels, make_adv=True, random_restarts=restarts, **options)
    torch.testing.assert_close(loss(x), torch.stack(singles).amax(0))
    torch.manual_seed(0)
    _, x = model(
        images, labels, make_adv=True, random_restarts=restarts, targeted=True, use_best=False,
        custom_loss=lambda net, inp, t: (to_latent(net, inp, torch.ones(8))[0], None), **options,
    )  # fmt: skip
    assert x.shape == images.shape


@pytest.mark.parametrize("constraint", ["2", "inf"])
def test_random_starts_lie_in_the_ball_around_the_origin(network, images, constraint):
    model = wrapped(network, PLAIN)
    origin = torch.full_like(images, 0.5)
    eps = 0.2
    torch.manual_seed(0)
    _, start = model(
        images, torch.zeros(4).long(), make_adv=True, constraint=constraint, eps=eps,
        step_size=0.1, iterations=0, random_start=True, orig_input=origin, use_best=False,
    )  # fmt: skip
    delta = (start - origin).flatten(1)
    size = delta.norm(dim=1) if constraint == "2" else delta.abs().amax(1)
    assert (size <= eps + 1e-6).all()
    assert (size > eps / 2).all()


@pytest.mark.parametrize(
    ("constraint", "start"), [("2", True), ("2", "radius"), ("2", "sphere"), ("inf", True)]
)
def test_random_starts_are_images(network, constraint, start):
    """Of one image alone, too, whose half is black and whose other half is white."""
    image = (torch.arange(32) // 16).float().expand(1, 3, 32, 32)
    torch.manual_seed(0)
    _, found = wrapped(network, PLAIN)(
        image, torch.tensor([0]), make_adv=True, constraint=constraint, eps=0.5, step_size=0.1,
        iterations=0, random_start=start, use_best=False,
    )  # fmt: skip
    assert found.min() == 0
    assert found.max() == 1
    assert ((found > 0) & (found < 1)).float().mean() > 0.25


def test_a_random_start_without_a_ball_goes_either_way_and_no_farther_than_a_step(network):
    grey = torch.full((4, 3, 8, 8), 0.5)
    torch.manual_seed(0)
    _, start = wrapped(network, PLAIN)(
        grey, torch.zeros(4).long(), make_adv=True, constraint="unconstrained", eps=1.0,
        step_size=0.5, iterations=0, random_start=True, use_best=False,
    )  # fmt: skip
    moved = (start - grey).flatten(1)
    assert (moved.norm(dim=1) <= 0.5 + 1e-6).all()
    assert ((moved > 0).float().mean(1) > 0.3).all()
    assert ((moved < 0).float().mean(1) > 0.3).all()


def test_a_random_walk_stays_an_image(network, images):
    torch.manual_seed(0)
    _, found = wrapped(network, PLAIN)(
        images, torch.zeros(4).long(), make_adv=True, constraint="random_smooth", eps=0.5,
        step_size=1.0, iterations=2, use_best=False,
    )  # fmt: skip
    assert found.min() == 0
    assert found.max() == 1


def test_start_outside_the_ball_is_projected_and_origins_are_clamped(network, images):
    model = wrapped(network, PLAIN)
    far = images.flip(0)
    _, kept = model(
        far, torch.zeros(4).long(), make_adv=True, constraint="2", eps=0.1, step_size=0.0,
        iterations=3, orig_input=images,
    )  # fmt: skip
    assert ((kept - images).flatten(1).norm(dim=1) <= 0.1 + 1e-5).all()
    bright = images + 1.0
    _, kept = model(
        bright, torch.zeros(4).long(), make_adv=True, constraint="2", eps=0.1, step_size=0.05,
        iterations=3,
    )  # fmt: skip
    assert ((kept - bright.clamp(0, 1)).flatten(1).norm(dim=1) <= 0.1 + 1e-5).all()


def test_projection_is_idempotent_and_steps_ignore_the_gradients_scale(images):
    from robustness.attack_steps import L2Step, LinfStep

    for kind in (L2Step, LinfStep):
        step = kind(orig_input=images, eps=0.3, step_size=0.1)
        point = step.project(images + torch.randn_like(images))
        torch.testing.assert_close(step.project(point), point, atol=1e-6, rtol=0)
        gradient = torch.randn_like(images)
        moved = step.step(images, gradient)
        for scale in (1e-12, 1e8):
            torch.testing.assert_close(step.step(images, gradient * scale), moved)
        assert torch.equal(step.step(images, torch.zeros_like(images)), images)


def test_results_do_not_depend_on_the_batch(network, images):
    model = wrapped(network, PLAIN)
    labels = torch.tensor([0, 1, 2, 3])
    for constraint, step_size in (("2", 0.1), ("inf", 0.01), ("unconstrained", 1.0)):
        options = {"constraint": constraint, "eps": 0.5, "step_size": step_size, "iterations": 5}
        _, whole = model(images, labels, make_adv=True, **options)
        parts = [
            model(x[None], y[None], make_adv=True, **options)[1]
            for x, y in zip(images, labels, strict=True)
        ]
        torch.testing.assert_close(whole, torch.cat(parts), atol=1e-6, rtol=0)


def test_stop_when_freezes_finished_images_and_callback_sees_each_iterate(network, images):
    model = wrapped(network, PLAIN)
    seen = []

    def record(iteration, x, losses):
        seen.append((iteration, x.clone(), losses.clone()))

    threshold = None

    def passed(losses, _output):
        return losses > threshold

    labels = torch.tensor([0, 1, 2, 3])
    options = {"constraint": "2", "eps": 2.0, "step_size": 0.1, "iterations": 10}
    model(images, labels, make_adv=True, callback=record, use_best=False, **options)
    assert [iteration for iteration, _, _ in seen] == list(range(10))
    losses = torch.stack([step[2] for step in seen])
    iterates = torch.stack([step[1] for step in seen])
    threshold = losses[torch.tensor([0, 3, 5, 9]), torch.arange(4)] - 1e-6
    for use_best in (False, True):
        _, stopped = model(
            images, labels, make_adv=True, stop_when=passed, use_best=use_best, **options
        )
        first = (losses > threshold).float().argmax(0)
        torch.testing.assert_close(stopped, iterates[first, torch.arange(4)], atol=1e-6, rtol=0)


def test_one_forward_pass_a_step(network, images):
    calls = []
    network.body[0].register_forward_hook(lambda *_: calls.append(1))
    model = wrapped(network, PLAIN)
    model.attacker(
        images, torch.rand(4, 8), constraint="2", eps=1.0, step_size=0.1, iterations=6,
        custom_loss=to_latent, targeted=True, use_best=False,
    )  # fmt: skip
    assert len(calls) == 6


def test_works_without_gradients_and_restores_every_mode(network, images):
    model = AttackerModel(network, PLAIN)
    model.train()
    network.body[1].eval()
    labels = torch.tensor([0, 1, 2, 3])
    options = {"constraint": "2", "eps": 1.0, "step_size": 0.2, "iterations": 3}
    reference = model(images, labels, make_adv=True, **options)[1]
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            found = model(images.clone(), labels.clone(), make_adv=True, **options)[1]
        assert torch.equal(found, reference)
    assert network.training
    assert not network.body[1].training
    with pytest.raises(RuntimeError, match="boom"):
        model(images, labels, make_adv=True, custom_loss=_fail, **options)
    assert network.training
    assert not network.body[1].training


def _fail(model, inp, target):
    raise RuntimeError("boom")


def test_callers_tensors_and_parameters_stay_untouched(network, images):
    model = wrapped(network, PLAIN)
    x, before = images.clone(), [p.clone() for p in network.parameters()]
    model(x, torch.tensor([0, 1, 2, 3]), make_adv=True, constraint="2", eps=1.0, step_size=0.2,
          iterations=3)  # fmt: skip
    assert torch.equal(x, images)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in network.parameters())


def test_fourier_parameters_raise_the_loss_and_invert_their_image(network, images):
    from robustness.attack_steps import FourierStep

    model = wrapped(network, PLAIN)
    parameters = FourierStep.from_image(images)
    step = FourierStep(orig_input=parameters, eps=None, step_size=1.0)
    torch.testing.assert_close(step.to_image(parameters), images, atol=1e-5, rtol=0)
    labels = torch.tensor([0, 1, 2, 3])
    out, found = model(
        parameters, labels, make_adv=True, constraint="fourier", eps=None, step_size=500.0,
        iterations=10,
    )  # fmt: skip
    before = nn.functional.cross_entropy(model(images)[0], labels)
    assert found.shape == images.shape
    assert nn.functional.cross_entropy(out, labels) > before + 0.01


def test_channels_last_and_mixed_precision(network, images):
    model = wrapped(network, PLAIN)
    labels = torch.tensor([0, 1, 2, 3])
    options = {"constraint": "2", "eps": 1.0, "step_size": 0.2, "iterations": 3}
    _, plain = model(images, labels, make_adv=True, **options)
    last = images.contiguous(memory_format=torch.channels_last)
    _, found = model(last, labels, make_adv=True, **options)
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=0)
    _, found = model(images, labels, make_adv=True, mixed_precision=True, **options)
    assert found.dtype == torch.float32
    assert (found - plain).abs().max() < 0.05


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"constraint": "3"}, "constraint='3'"),
        ({"eps": -1.0}, "eps=-1.0"),
        ({"eps": "3"}, "eps='3'"),
        ({"eps": float("nan")}, "eps=nan"),
        ({"eps": torch.ones(3)}, "one per image"),
        ({"step_size": torch.tensor([0.1, -0.1, 0.1, 0.1])}, "step_size"),
        ({"iterations": 1.5}, "iterations=1.5"),
        ({"random_start": "sphere", "constraint": "inf"}, "random_start"),
        ({"random_start": "ball"}, "random_start='ball' is not known"),
        ({"constraint": int}, "constraint=<class 'int'>"),
        ({"custom_loss": lambda m, x, t: (m(x).mean(), None)}, "one value per image"),
    ],
)
def test_bad_input_is_named(network, images, changed, message):
    model = wrapped(network, PLAIN)
    options = {"constraint": "2", "eps": 1.0, "step_size": 0.2, "iterations": 3} | changed
    with pytest.raises(InputError, match=message):
        model(images, torch.tensor([0, 1, 2, 3]), make_adv=True, **options)
    with pytest.raises(InputError, match="needs a target"):
        model(images, make_adv=True, **options)
