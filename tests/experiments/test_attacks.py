"""Accuracy under attack: exact for linear networks, the worst case of runs, and a curve."""

from __future__ import annotations

import pytest
import torch
from networks import PLAIN, Linear, wrapped
from torch.utils.data import TensorDataset

import robust_reps_ext as rr
from robust_reps_ext.experiments.attacks import Attack, check_attack, targeted_dlr

CLASSES = 5


@pytest.fixture(scope="module")
def model():
    generator = torch.Generator().manual_seed(2)
    network = Linear(27, CLASSES)
    with torch.no_grad():
        network.fc.weight.copy_(torch.randn(CLASSES, 27, generator=generator))
        network.fc.bias.copy_(torch.randn(CLASSES, generator=generator) / 10)
    return wrapped(network, PLAIN)


@pytest.fixture(scope="module")
def images():
    """Grey enough that the box is never in the way."""
    generator = torch.Generator().manual_seed(3)
    return 0.4 + 0.2 * torch.rand(40, 3, 3, 3, generator=generator)


def distances(model, x, constraint):
    """How far each image is from another label, exactly, and its label."""
    w, scores = model.model.fc.weight.detach(), model(x)[0].detach()
    labels = scores.argmax(dim=1)
    gap = scores.gather(1, labels[:, None]) - scores
    apart = w[labels][:, None] - w[None]
    size = apart.norm(dim=2) if constraint == "2" else apart.abs().sum(dim=2)
    nearest = (gap / size).scatter(1, labels[:, None], torch.inf).amin(dim=1)
    return nearest, labels


@pytest.mark.parametrize("constraint", ["2", "inf"])
def test_what_stands_is_what_no_image_of_the_ball_can_break(constraint, model, images):
    nearest, labels = distances(model, images, constraint)
    radii = [float(nearest.quantile(q)) for q in (0.2, 0.8)]
    assert nearest.max() < 0.35  # so that no ball leaves [0, 1]
    found = rr.evaluate(
        model, [(images, labels)], attack="standard", radii=radii, constraint=constraint,
        attack_steps=[15],
    )  # fmt: skip
    truth = [int((nearest > r).sum()) for r in radii]
    assert [one.correct for one in found if one.name == "standard-15"] == truth
    # Cross-entropy alone can climb towards a label that is not the nearest.
    for one, stands in zip((one for one in found if one.name == "APGD-15"), truth, strict=True):
        assert stands <= one.correct <= len(images)
    assert found[0].correct == len(images)
    low, high = found[-1].interval()
    assert low < found[-1].share < high


@pytest.mark.parametrize("constraint", ["2", "inf"])
def test_of_two_labels_cross_entropy_finds_all(constraint, images):
    torch.manual_seed(4)
    two = wrapped(Linear(27, 2), PLAIN)
    nearest, labels = distances(two, images, constraint)
    eps = float(nearest.quantile(0.6))
    for attack in ("apgd", "standard"):
        found = rr.evaluate(
            two, [(images, labels)], attack=attack, eps=eps, constraint=constraint, attack_steps=[9]
        )
        assert found[-1].correct == int((nearest > eps).sum())


def test_the_names_the_radii_and_the_curve(model, images):
    _, labels = distances(model, images, "2")
    found = rr.evaluate(
        model, [(images, labels)], attack="standard", radii=(0.01, 0.1), attack_steps=[3]
    )
    assert [(one.name, one.eps) for one in found] == [
        ("clean", 0.0), ("APGD-3", 0.01), ("standard-3", 0.01), ("APGD-3", 0.1),
        ("standard-3", 0.1),
    ]  # fmt: skip
    axes = found.figure().axes[0]
    assert axes.get_xlabel() == "L2 radius of the attack"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["APGD-3", "standard-3"]
    assert found.to_frame()["eps"].tolist() == [0.0, 0.01, 0.01, 0.1, 0.1]
    defaults = [check_attack(1.0, attack=name).lines for name in ("pgd", "apgd", "standard")]
    assert defaults == [
        [("PGD-20", 1.0), ("PGD-100", 1.0)],
        [("APGD-100", 1.0)],
        [("APGD-100", 1.0), ("standard-100", 1.0)],
    ]


def test_dlr_breaks_what_cross_entropy_cannot_see(model, images):
    """Scores 10,000 times as large: the cross-entropy is 0, and so is its gradient."""
    large = wrapped(Linear(27, CLASSES), PLAIN)
    large.load_state_dict(model.state_dict())
    with torch.no_grad():
        large.model.fc.weight.mul_(1e4)
        large.model.fc.bias.mul_(1e4)
    nearest, labels = distances(large, images, "2")
    far = nearest > 0.05
    _, apgd, standard = rr.evaluate(
        large, [(images[far], labels[far])], attack="standard", eps=float(nearest.max()) + 0.01,
        attack_steps=[15],
    )  # fmt: skip
    assert standard.correct == 0
    assert apgd.correct > 0.5 * apgd.n


def test_targeted_dlr_is_its_formula_and_knows_no_scale():
    scores = torch.tensor([[1.0, 4.0, -2.0, 0.5, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    labels, wanted = torch.tensor([1, 0]), torch.tensor([4, 1])
    expected = (3.0 - 4.0) / (4.0 - (1.0 + 0.5) / 2)
    assert targeted_dlr(scores, labels, wanted).tolist() == pytest.approx([expected, 0.0])
    torch.testing.assert_close(
        targeted_dlr(7 * scores + 3, labels, wanted), targeted_dlr(scores, labels, wanted)
    )
    few = targeted_dlr(scores[:1, :3], labels[:1], torch.tensor([0]))
    assert few.tolist() == [1.0 - 4.0]


def test_coarse_labels_are_attacked_as_such(images):
    """Classes 0 and 1 are near each other, and one label: moving between them breaks nothing."""
    network = wrapped(Linear(27, 4, bias=False), PLAIN)
    generator = torch.Generator().manual_seed(5)
    side, apart = torch.randn(2, 27, generator=generator)
    side = side - side.mean() + 0.2  # so that grey images are on its side
    apart = apart - apart.mean()
    with torch.no_grad():
        network.model.fc.weight.copy_(
            torch.stack([side, side + 0.01 * apart, -side, -side - 0.01 * apart])
        )
        labels = network(images)[0].argmax(dim=1)
        gap = (images.flatten(1) @ side) / side.norm()
        between = ((images.flatten(1) @ apart) / apart.norm()).abs()
    mine = (gap > 0.2) & (between < 0.1)
    assert mine.sum() > 5
    how = {"attack": "standard", "eps": 0.15, "attack_steps": [8]}
    data = [(images[mine], labels[mine])]
    fine = rr.evaluate(network, data, **how)
    assert (fine[0].share, fine[-1].share) == (1, 0)
    grouped = rr.evaluate(network, data, group=[0, 0, 1, 1], **how)
    assert (grouped[0].share, grouped[-1].share) == (1, 1)


def test_neither_batches_nor_parts_decide_what_is_drawn(model, images):
    _, labels = distances(model, images, "2")

    def counted(n, **given):
        return rr.evaluate(
            model, TensorDataset(images[:n], labels[:n]), attack="standard", eps=0.03,
            attack_steps=[4], **given,
        )  # fmt: skip

    assert counted(40, batch_size=40) == counted(40, batch_size=7)
    part = rr.evaluate(
        model, [(images[20:], labels[20:])], attack="standard", eps=0.03, attack_steps=[4], first=20
    )
    both = [a.correct + b.correct for a, b in zip(counted(20), part, strict=True)]
    assert both == [one.correct for one in counted(40)]


def test_an_image_that_is_broken_is_not_attacked_again(model, images, monkeypatch):
    nearest, labels = distances(model, images, "2")
    radii = [float(nearest.quantile(0.3)), float(nearest.quantile(0.6))]
    sizes, apgd = [], Attack._apgd

    def counting(self, model, network, some, *rest):
        sizes.append((rest[-2], len(some)))
        return apgd(self, model, network, some, *rest)

    monkeypatch.setattr(Attack, "_apgd", counting)
    rr.evaluate(model, [(images, labels)], attack="standard", radii=radii, attack_steps=[20])
    for radius, before in zip(radii, (0.0, radii[0]), strict=True):
        at = [size for r, size in sizes if r == radius]
        assert len(at) == 1 + CLASSES - 1  # cross-entropy, and a run for each other class
        assert at == sorted(at, reverse=True)
        assert at[0] == int((nearest > before).sum())
        assert at[-1] >= int((nearest > radius).sum())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"attack": "square"}, "attack='square' is not known: choose one of pgd, apgd, standard"),
        ({"attack": "apgd", "step_size": 0.1}, "step_size=0.1: 'apgd' finds its own"),
        ({"attack": "standard", "constraint": "unconstrained"}, "'standard' is for '2' and 'inf'"),
        ({"radii": (1.0, 0.5)}, "not ascending"),
        ({"radii": (), "attack": "apgd"}, "at least one"),
        ({"radii": (1.0,), "eps": 2.0}, "eps=2.0 is what radii give here"),
        ({"first": -1}, "first=-1"),
    ],
)
def test_what_no_attack_can_be_is_told(given, message, model, images):
    with pytest.raises(rr.InputError, match=message):
        rr.evaluate(model, [(images, torch.zeros(40).long())], **given)
