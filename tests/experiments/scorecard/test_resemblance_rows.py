"""How much inversions look like their targets, in the scorecard: with and without the extra."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import torch

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import CrittersDataSet
from robust_reps_ext.datasets.critters.networks import CrittersResNet
from robust_reps_ext.datasets.samples import validation_samples
from robust_reps_ext.experiments.resemblance import measure_names, resemblances
from robust_reps_ext.experiments.scorecard.claims import RESEMBLANCE
from robust_reps_ext.report.scorecard import scorecard_rows

pytestmark = pytest.mark.filterwarnings("ignore:the objective has no gradient")

pytest.importorskip("torchmetrics", reason="the extra [metrics] is not installed")

MEASURES = ("from afar", "SSIM", "MS-SSIM")
SETTINGS = "settings.json"


@pytest.fixture(scope="module")
def card_of(tmp_path_factory):
    """A call of `scorecard` on a pair of small networks and a few small images."""
    data_set = CrittersDataSet(
        tmp_path_factory.mktemp("data"), size=24, custom_class_args={"n_train": 9, "n_val": 9}
    )
    torch.manual_seed(0)
    pair = [rr.load_model(CrittersResNet(width=8), dataset=data_set) for _ in range(2)]

    def card(**given):
        amounts = {
            "images": 3, "gallery": 6, "pairs": 2, "steps": 2, "coordinates": 2, "starts": 2,
            "additions": 2, "iterations": 2, "addition_iterations": 2, "radii": (4.0,),
            "precision": "float32",
        }  # fmt: skip
        return rr.scorecard(*pair, data_set, **{**amounts, **given})

    return card, pair, data_set


@pytest.fixture(scope="module")
def made(card_of, tmp_path_factory):
    trials = tmp_path_factory.mktemp("made") / "trials"
    return card_of[0](trials=trials), trials


def rows(card):
    return {
        one["name"].removeprefix(RESEMBLANCE): one
        for claim in card.claims
        for one in claim["measures"]
        if one["name"].startswith(RESEMBLANCE)
    }


def test_each_measure_has_a_row_with_chance_and_ceiling(made, card_of):
    card, trials = made
    _, pair, data_set = card_of
    assert [*rows(card)] == [*MEASURES]
    targets = [validation_samples(data_set, 6, seed=k).images[:3] for k in range(3)]
    of_targets = [rr.resemblance(one, one) for one in targets]
    for i, (name, one) in enumerate(rows(card).items()):
        for end in ("chance", "ceiling"):
            wanted = torch.stack([getattr(some, end)[i].mean() for some in of_targets]).mean()
            assert one[end] == pytest.approx(float(wanted), abs=1e-6)
        assert one["chance"] < one["ceiling"]
        assert one["larger"] is True
        assert one["n"] == [3, 3]
        kept = json.loads((trials / "standard-1.json").read_text("utf-8"))[RESEMBLANCE + name]
        run = rr.invert(
            pair[1], targets[1], seed=1, schedule="cosine-momentum", iterations=2,
            step_size=3.0 * 24 / 64,
        )  # fmt: skip
        wanted = rr.resemblance(run.images, targets[1]).values[i]
        torch.testing.assert_close(torch.tensor(kept).double(), wanted, atol=1e-4, rtol=0)


def test_the_ceiling_is_in_the_table_and_on_the_page(made):
    card = made[0]
    frame = card.to_frame().set_index("measure")
    assert frame.loc["resemblance, SSIM", "ceiling"] == rows(card)["SSIM"]["ceiling"]
    assert frame["ceiling"].notna().sum() == len(MEASURES)
    shown = scorecard_rows({"claims": card.claims})[0]["measures"]
    told = {one["name"]: one["ceiling"] for one in shown}
    assert told["resemblance, SSIM"] == f"{rows(card)['SSIM']['ceiling']:.2f}"
    assert told["distance reached"] == ""


def changed(trials, to, *, keep, settings):
    """A copy of the trials with some of the rows alone, and other settings."""
    shutil.copytree(trials, to)
    there = json.loads((to / SETTINGS).read_text("utf-8"))
    assert there.pop("resemblance") == [*MEASURES]
    (to / SETTINGS).write_text(json.dumps({**there, **settings}))
    for path in to.glob("*-*.json"):
        one = json.loads(path.read_text("utf-8"))
        some = {name: row for name, row in one.items() if keep(name)}
        path.write_text(json.dumps(some))
    return to


def test_without_the_extra_what_needs_it_is_left_out_and_named(
    card_of, made, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    monkeypatch.setitem(sys.modules, "torchmetrics.functional", None)
    targets = torch.rand(2, 3, 24, 24)
    assert [*resemblances(targets, targets)] == ["from afar"]
    with pytest.raises(rr.InputError, match=r"was made with resemblance.*MS-SSIM"):
        card_of[0](trials=made[1])
    card = card_of[0](
        trials=changed(
            made[1],
            tmp_path / "trials",
            keep=lambda name: "SSIM" not in name,
            settings={"resemblance": ["from afar"]},
        )
    )
    assert [*rows(card)] == ["from afar"]
    for name in MEASURES[1:]:
        assert card.left_out[RESEMBLANCE + name] == "pip install 'robust-reps-ext[metrics]'"


def test_one_image_resembles_nothing():
    one = torch.rand(1, 3, 24, 24)
    assert (resemblances(one, one), measure_names(one)) == ({}, [])


def test_trials_of_an_earlier_version_are_shown_without_and_made_anew_by_overwrite(
    made, card_of, tmp_path
):
    trials = changed(
        *(made[1], tmp_path / "trials"),
        keep=lambda name: not name.startswith(RESEMBLANCE),
        settings={},
    )
    card = card_of[0](trials=trials)
    assert rows(card) == {}
    assert "of an earlier version; --overwrite" in card.left_out["resemblance, SSIM"]
    assert card.verdicts().items() <= made[0].verdicts().items()
    with pytest.raises(rr.InputError, match="ended the run after 0 seeds"):
        card_of[0](trials=trials, overwrite=True, progress=lambda *_: True)
    settings = json.loads((trials / SETTINGS).read_text("utf-8"))
    assert settings["resemblance"] == [*MEASURES]
