"""The contest of metamers: its one measure, its clock, its sides on a tiny network, its table."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.models.layers import unwrapped

FOLDER = Path(__file__).parents[1] / "benchmarks"
STATISTICS = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


@pytest.fixture
def sides(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import metamer_sides

    return metamer_sides


@pytest.fixture
def contest(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import metamers

    return metamers


@pytest.fixture
def model():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 5)
    )
    return rr.load_model(network.eval(), normalize=STATISTICS)


@pytest.mark.parametrize("layer", ["1", "penultimate"])
def test_the_measure_reads_the_layer_and_images_outside_as_they_are(sides, model, layer):
    x = torch.rand(2, 3, 12, 12)
    activations = sides.Layer(model, layer)
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in STATISTICS)
    parts = [*unwrapped(model.model).children()][: 2 if layer == "1" else 4]

    def wanted(images):
        return nn.Sequential(*parts)((images - mean) / std).flatten(1)

    for images in (x, 3 * x - 1):
        torch.testing.assert_close(activations(images), wanted(images))
    logits = model(x)[0]
    assert logits.shape == (2, 5)  # no hook is left behind


def test_the_clock_is_held_while_a_distance_is_taken(sides):
    now = [0.0]

    def distance(_images):
        now[0] += 100
        return [1.0]

    watch = sides.Watch(lambda: now[0], 2.5, distance)
    told = []
    for step in range(4):
        told.append(watch.look(torch.zeros(1), step))
        now[0] += 1
    assert [seconds for seconds, _, _ in watch.curve] == [0, 1, 2, 3]
    assert told == [False, False, False, True]
    assert watch.seconds() == 4


def test_images_one_after_the_other_share_the_time(sides):
    first = [(0.0, 0, [1.0]), (1.0, 1, [0.5])]
    second = [(0.0, 0, [2.0]), (2.0, 1, [0.1])]
    assert sides.joined([first, second]) == [(0.0, 1.5), (2.0, 1.25), (4.0, 0.3)]
    assert sides.joined([[(3.0, 1, [1.0, 2.0])]]) == [(3.0, 1.5)]


def runs(sides, model, names, minutes):
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    return [sides.measured(model, images, name, "1", minutes) for name in names]


def check(found):
    for one in found:
        assert one["curve"][-1][1] == pytest.approx(sum(one["distance"]) / 2)
        assert one["curve"][-1][1] < one["curve"][0][1]
        assert one["peak"] > one["grown"] >= 0
        assert [*one["curve"]] == sorted(one["curve"], key=lambda point: point[0])


def test_ours_come_nearer_and_are_given_up_in_time(sides, contest, model):
    before = {name: one.clone() for name, one in model.model.state_dict().items()}
    found = runs(sides, model, ["metamers"], 1.0)
    check(found)
    assert found[0]["steps"] == 200
    assert found[0]["outside"] == 0
    assert found[0]["as it left them"] == found[0]["distance"]
    (given_up,) = runs(sides, model, ["feather"], 0.005)
    assert given_up["given up"]
    assert given_up["steps"] < 24_000
    assert all(torch.equal(before[name], one) for name, one in model.model.state_dict().items())
    assert "(given up)" in contest.rows([given_up])[2]


def test_theirs_too_by_the_settings_of_their_pages(sides, contest, model):
    pytest.importorskip("plenoptic")
    found = runs(sides, model, sides.THEIRS, 0.01)
    check(found)
    starts = {round(one["curve"][0][1], 5) for one in found}
    assert len(starts) == 1
    table = contest.rows([*runs(sides, model, ["invert"], 0.01), *found])
    assert len(table) == 6
    assert "of its time" in table[2] or "not reached" in table[2]


def test_the_share_of_the_time_is_that_of_the_nearest_of_theirs(contest):
    common = {"steps": 1, "given up": False, "outside": 0.0, "peak": 2**20, "grown": 0}

    def one(side, curve):
        far = [curve[-1][1]]
        return {"side": side, "curve": curve, "seconds": curve[-1][0], **common,
                "distance": far, "as it left them": far}  # fmt: skip

    ours = one("invert", [(1.0, 0.9), (2.0, 0.05), (3.0, 0.01)])
    near = one("plenoptic-adam", [(1.0, 1.0), (20.0, 0.1)])
    far = one("plenoptic", [(1.0, 1.0), (5.0, 0.5)])
    table = contest.rows([ours, near, far])
    assert table[2].endswith("| 2.0 s, 1/10.0 of its time |")
    assert table[4].endswith("| not reached |")
    assert contest.reached(ours["curve"], 0.001) is None
    assert contest.moments([ours, near]) == [
        "| seconds until | 0.2 | 0.1 | 0.05 | 0.02 | 0.01 |",
        "|---|---|---|---|---|---|",
        "| `rr.invert` | 2.0 | 2.0 | 2.0 | 3.0 | 3.0 |",
        "| plenoptic, Adam of its page | 20.0 | 20.0 |  |  |  |",
    ]
