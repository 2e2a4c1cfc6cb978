"""The scorecard: its statistics and measures on known answers, and the command on tiny settings."""

from __future__ import annotations

import html
import json
import math

import numpy as np
import pytest
import torch
from robustness.datasets import DATASETS

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import coarse_labels
from robust_reps_ext.experiments.paper.units import ORDER
from robust_reps_ext.experiments.scorecard import scorecard
from robust_reps_ext.experiments.scorecard.claims import CLAIMS
from robust_reps_ext.experiments.scorecard.judge import Judge, known_factors
from robust_reps_ext.experiments.scorecard.measures import (
    agreement,
    angle_between,
    evenness,
    from_afar,
    halving_radius,
    off_the_blend,
    recovered,
    towards,
    within_ends,
)
from robust_reps_ext.experiments.scorecard.settings import Amounts
from robust_reps_ext.experiments.scorecard.statistics import compare
from robust_reps_ext.experiments.scorecard.trial import PARTS, measure
from robust_reps_ext.experiments.scorecard.trials import Trials
from robust_reps_ext.report.page import write_report
from robust_reps_ext.results.units import finished_units

pytestmark = pytest.mark.filterwarnings("ignore:the objective has no gradient")

TINY = Amounts(
    images=2, gallery=4, pairs=2, steps=2, coordinates=2, starts=2, additions=2, iterations=2,
    addition_iterations=2, radii=(4.0, 16.0), precision="float32",
)  # fmt: skip


ALIKE = ("resemblance, from afar", "resemblance, SSIM", "resemblance, MS-SSIM")


class TestStatistics:
    def test_the_interval_is_that_of_the_normal_law_where_seeds_do_not_matter(self):
        """One seed's rows repeated: only images vary within each, and their means are normal."""
        rng = np.random.default_rng(0)
        ours = rng.normal(5, 2, size=(1, 400))
        found = compare(ours, ours - 100)
        spread = 1.96 * ours.std() / math.sqrt(400)
        assert found.robust.value == pytest.approx(ours.mean())
        assert found.robust.low == pytest.approx(ours.mean() - spread, abs=0.1 * spread)
        assert found.robust.high == pytest.approx(ours.mean() + spread, abs=0.1 * spread)

    def test_a_paired_difference_knows_that_it_is_constant(self):
        ours = np.random.default_rng(1).normal(size=(3, 20))
        assert compare(ours, ours - 0.5).difference.low == pytest.approx(0.5)
        assert compare(ours, ours - 0.5, paired=False).difference.low < 0.4

    def test_a_seed_that_matters_widens_the_interval_to_its_values(self):
        values = np.repeat([[0.0], [1.0], [2.0]], 50, axis=1)
        found = compare(values, values)
        assert (found.robust.low, found.robust.high) == (0, 2)

    def test_it_covers_the_truth_about_as_often_as_it_says(self):
        """With 12 seeds of 10 images each, where both matter."""
        rng = np.random.default_rng(2)
        covered = 0
        for _ in range(60):
            values = rng.normal(size=(12, 1)) + rng.normal(size=(12, 10))
            found = compare(values, values).robust
            covered += found.low <= 0 <= found.high
        assert covered >= 48

    @pytest.mark.parametrize(
        ("ours", "larger", "verdict"),
        [
            (1.0, True, "separates"),
            (1.0, False, "the other way round"),
            (0.0, True, "does not separate"),
            (-1.0, False, "separates"),
        ],
    )
    def test_verdicts(self, ours, larger, verdict):
        found = compare(np.full((3, 4), ours), np.zeros((3, 4)), larger=larger)
        assert found.verdict == verdict

    def test_the_difference_is_that_of_the_means_and_larger_is_better(self):
        found = compare(np.full((3, 4), 3.0), np.full((3, 4), 1.0))
        assert (found.robust.value, found.standard.value, found.difference.value) == (3, 1, 2)
        assert found.verdict == "separates"

    def test_the_seed_draws_and_is_0(self):
        values = np.random.default_rng(3).normal(size=(3, 20))
        found = compare(values, values)
        assert found == compare(values, values, seed=0)
        assert found != compare(values, values, seed=1)

    @pytest.mark.parametrize(
        "values", [np.ones((3, 5)), np.ones(4), np.ones((0, 4)), np.full((3, 4), np.nan)]
    )
    def test_what_cannot_be_compared_is_refused(self, values):
        other = values if values.size != 15 else np.ones((3, 4))
        with pytest.raises(rr.InputError):
            compare(values, other)


class TestMeasures:
    def test_recovered(self):
        gallery = torch.eye(4)
        found = torch.stack([gallery[0] + 0.1, gallery[3]])
        assert recovered(found, gallery).tolist() == [True, False]

    def test_from_afar_keeps_fields_and_loses_patterns_of_single_pixels(self):
        checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2
        fields = torch.rand(2, 5, 3, 16, 16).repeat_interleave(4, -1).repeat_interleave(4, -2)
        seen = from_afar(fields + 0.2 * (checks - 0.5))
        assert seen.shape == (2, 5, 3, 16, 16)
        torch.testing.assert_close(seen, fields[..., ::4, ::4])

    def test_towards_is_the_cosine_of_the_way(self):
        start = torch.zeros(3, 1, 2)
        target = torch.tensor([4.0, 0]).expand(3, 1, 2)
        found = torch.tensor([[[1.0, 0]], [[1.0, 1]], [[0.0, 0]]])
        assert towards(start, found, target).tolist() == pytest.approx([1, 0.5**0.5, 0])

    def test_halving_radius(self):
        radii = torch.tensor([1.0, 4.0, 16.0])
        halves_between = [1.0, 0.75, 0.25]  # 1/2 falls in the middle of 4 and 16
        at_once, never = [0.25, 0.1, 0.05], [1.0, 1.0, 0.95]
        found = 2 ** halving_radius(radii, torch.tensor([halves_between, at_once, never]).T)
        assert found.tolist() == pytest.approx([8, 1, 16])

    def test_agreement_is_one_where_starts_agree_and_chance_where_all_look_alike(self):
        features = torch.eye(4).expand(3, 4, 4)
        assert agreement(features).tolist() == [1, 1, 1, 1]
        assert float(agreement(torch.zeros(3, 4, 5)).mean()) == pytest.approx(1 / 4)
        shifted = torch.stack([torch.eye(4), torch.eye(4).roll(1, 0)])
        assert float(agreement(shifted).sum()) == 0

    def test_agreement_takes_off_what_all_coordinates_make_of_a_start(self):
        """Starts a hundred times as far apart as the coordinates."""
        starts = 100 * torch.randn(3, 1, 6)
        assert agreement(starts + torch.randn(8, 6)).tolist() == [1] * 8

    def test_evenness(self):
        even, jump = torch.arange(5.0), torch.tensor([0.0, 0, 0, 3, 3])
        path = torch.stack([even, jump, torch.zeros(5)])[..., None]
        assert evenness(path).tolist() == pytest.approx([1, 1 / 4, 0])

    def test_off_the_blend(self):
        weights = torch.linspace(0, 1, 3).view(1, 3, 1, 1, 1)
        blend = (1 - weights) * torch.ones(1, 1, 3, 2, 2)
        assert float(off_the_blend(blend, blend)) == 0
        ghostless = blend.clone()
        ghostless[:, 1] = 1
        assert float(off_the_blend(ghostless, blend)) == pytest.approx(0.5)

    def test_within_ends_does_not_count_the_ends(self):
        classes = torch.tensor([[9, 1, 2, 3, 9], [1, 1, 1, 2, 2]])
        assert within_ends(classes, torch.tensor([[1, 3], [1, 2]])).tolist() == pytest.approx(
            [2 / 3, 1]
        )

    def test_angles_go_the_short_way(self):
        first, second = torch.tensor([350.0, 10, 0]), torch.tensor([10.0, 350, 180])
        assert angle_between(first, second).tolist() == [20, 20, 180]


@pytest.fixture(scope="module")
def fine():
    return DATASETS["critters_fine"](custom_class_args={"n_val": 24})


@pytest.fixture(scope="module")
def three():
    return [rr.load_model(f"critters-{name}") for name in ("robust", "standard", "vgg")]


class Stop(Exception):
    pass


@pytest.fixture(scope="module")
def resumed(fine, three, tmp_path_factory):
    """A scorecard interrupted in its third trial, and what the same call did afterwards."""
    trials = tmp_path_factory.mktemp("trials")
    given = {"judge": three[2], "amounts": TINY, "trials": trials}

    def stop(done, in_all):
        if done == 2 * PARTS + 1:
            raise Stop

    with pytest.raises(Stop):
        scorecard(*three[:2], fine, progress=stop, **given)
    before = {path: path.stat().st_mtime_ns for path in trials.glob("*-*.json")}
    seen: list[tuple[int, int]] = []
    card = scorecard(*three[:2], fine, progress=lambda *at: seen.append(at), **given)
    return card, given, before, seen


@pytest.fixture(scope="module")
def card(resumed):
    return resumed[0]


def test_progress_that_returns_true_ends_the_run_and_keeps_the_seeds_that_are_there(
    resumed, fine, three
):
    card, given = resumed[:2]
    told = []

    def stop(done, in_all):
        told.append(done)
        return done > 6 * PARTS

    ended = scorecard(*three[:2], fine, seeds=4, progress=stop, **given)
    assert told[-1] == 6 * PARTS + 1
    assert ended.claims == card.claims
    assert (ended.made_with["seeds"], ended.made_with["stopped"]) == (3, True)
    with pytest.raises(rr.InputError, match="ended the run after 0 seeds, and 3 are needed"):
        scorecard(*three[:2], fine, judge=three[2], amounts=TINY, progress=lambda *_: True)


def test_progress_is_a_bar_or_nothing_as_in_every_call(resumed, fine, three, capsys):
    card, given = resumed[:2]
    for shown in (False, None, True):
        assert capsys.readouterr().err.count("part") == 0
        assert scorecard(*three[:2], fine, progress=shown, **given).claims == card.claims
    assert f"{6 * PARTS}/{6 * PARTS}" in capsys.readouterr().err
    with pytest.raises(rr.InputError, match="progress='yes': give True for a bar"):
        scorecard(*three[:2], fine, progress="yes", **given)


def test_a_name_for_no_model_is_told(fine, three):
    with pytest.raises(rr.InputError, match="names has 'robst': give names for robust, standard"):
        scorecard(*three[:2], fine, names={"robst": "mine"})


def test_every_claim_has_its_measures(card):
    taken = [one["name"] for claim in card.claims for one in claim["measures"]]
    all_names = [one.name for claim in CLAIMS for one in claim.measures]
    assert sorted([*taken, *card.left_out]) == sorted(all_names)
    assert card.left_out == {}
    for claim in card.claims:
        for one in claim["measures"]:
            assert one["n"][0] == 3
            for role in ("robust", "standard"):
                assert one[role]["low"] <= one[role]["value"] <= one[role]["high"]


def test_the_same_seed_measures_the_same(fine, three):
    first, second = (list(measure(three[0], fine, None, TINY, eps=4.0, seed=5)) for _ in range(2))
    assert len(first) == PARTS
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_without_a_judge_or_factors_what_needs_them_is_left_out(three):
    animals = DATASETS["critters"](custom_class_args={"n_val": 24})
    torch.manual_seed(0)
    pair = [rr.load_model(animals.get_model("critters_resnet"), dataset=animals) for _ in range(2)]
    card = scorecard(*pair, animals, amounts=TINY)
    assert {"class recovered", "hue error", "feature added, class kept"} <= set(card.left_out)
    assert set(card.verdicts()) == {
        "recovered, from afar", "towards the target, from afar", "halving radius",
        "left at the radius trained against", "same from every start, from afar",
        "off the pixel blend", *ALIKE,
    }  # fmt: skip


def test_it_is_kept_as_json_and_as_a_page(card, tmp_path):
    card.save(tmp_path)
    kept = json.loads((tmp_path / "scorecard.json").read_text("utf-8"))
    assert kept["claims"] == json.loads(json.dumps(card.claims))
    assert kept["made_with"]["seeds"] == 3
    assert [unit.manifest["id"] for unit in finished_units(tmp_path, ORDER)] == ["scorecard"]
    page = write_report(tmp_path, ORDER).read_text("utf-8")
    for claim in CLAIMS:
        assert html.escape(claim.statement) in page.replace("&#39;", "&#x27;")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": 2}, "seeds=2"),
        ({"steps": 1}, "steps=1"),
        ({"coordinates": 1}, "coordinates=1"),
        ({"gallery": 1}, "gallery=1"),
        ({"radii": (16.0, 4.0)}, "radii="),
        ({"gallery": 1000}, "takes 1000 validation images, there are 24: give a smaller gallery"),
        ({"images": 20, "gallery": 20}, "takes 40 validation images"),
        ({"eps": 0.0}, "eps=0.0"),
        ({"seeds": "3"}, "give the number, seeds=3"),
    ],
)
def test_bad_input_is_named(fine, three, changes, said):
    with pytest.raises(rr.InputError, match=said):
        scorecard(*three[:2], fine, **{"amounts": TINY, **changes})


def test_a_judge_does_not_judge_itself(fine, three):
    with pytest.raises(rr.InputError, match="the judge has the weights"):
        scorecard(*three[:2], fine, judge=three[0], amounts=TINY)


class TestTrials:
    def test_an_interrupted_scorecard_goes_on(self, resumed):
        _, _, before, seen = resumed
        assert sorted(path.stem for path in before) == ["robust-0", "standard-0"]
        assert {path: path.stat().st_mtime_ns for path in before} == before
        assert seen[:2] == [(PARTS, 6 * PARTS), (2 * PARTS, 6 * PARTS)]
        assert seen[2:] == [(done, 6 * PARTS) for done in range(2 * PARTS + 1, 6 * PARTS + 1)]

    def test_kept_numbers_are_the_measured_ones(self, resumed, fine, three):
        judge = Judge(three[2], coarse_labels(), known_factors(fine))
        eps = three[0].card["attack"]["eps"]
        again = measure(three[1], fine, judge, TINY, eps=eps, seed=0)
        kept = json.loads((resumed[1]["trials"] / "standard-0.json").read_text("utf-8"))
        assert kept == {name: one.float().tolist() for part in again for name, one in part.items()}

    def test_more_seeds_go_on_from_the_kept_ones(self, resumed, fine, three):
        seen: list[tuple[int, int]] = []
        more = scorecard(
            *three[:2], fine, seeds=4, progress=lambda *at: seen.append(at), **resumed[1]
        )
        assert seen[:6] == [(k * PARTS, 8 * PARTS) for k in range(1, 7)]
        assert len(seen) == 6 + 2 * PARTS
        assert more.made_with["seeds"] == 4

    def test_trials_of_other_settings_are_refused(self, tmp_path):
        settings = {"scale": {"images": 18, "pairs": 8}, "eps": 4.0}
        Trials(tmp_path, settings, overwrite=False).keep("robust", 0, {"a": torch.ones(2)})
        other = {"scale": {"images": 8, "pairs": 8}, "eps": 4.0}
        with pytest.raises(
            rr.InputError, match=r"made with scale\.images=18 \(now 8\): give these"
        ):
            Trials(tmp_path, other, overwrite=False)
        kept = Trials(tmp_path, settings, overwrite=True).get("robust", 0)
        assert kept is not None
        assert kept["a"].tolist() == [1, 1]
        assert Trials(tmp_path, other, overwrite=True).get("robust", 0) is None
        with pytest.raises(rr.InputError, match=r"scale\.images=8 \(now 18\)"):
            Trials(tmp_path, settings, overwrite=False)

    def test_numbers_come_back_as_they_were(self, tmp_path):
        trials = Trials(tmp_path, {}, overwrite=False)
        values = torch.rand(50) * 1e-3
        trials.keep("standard", 7, {"a": values})
        found = Trials(tmp_path, {}, overwrite=False).get("standard", 7)
        assert found is not None
        assert torch.equal(found["a"], values)
        assert trials.get("standard", 8) is None

    def test_a_damaged_trial_is_named(self, tmp_path):
        trials = Trials(tmp_path, {}, overwrite=False)
        (tmp_path / "robust-0.json").write_text("{")
        with pytest.raises(rr.InputError, match=r"robust-0\.json is damaged: .*; delete it"):
            trials.get("robust", 0)


def test_the_command(command, monkeypatch, tmp_path):
    monkeypatch.setattr("robust_reps_ext.experiments.scorecard.settings.QUICK", TINY)
    pair = ["--model", "critters-robust", "--against", "critters-standard"]
    common = ["scorecard", *pair, "--dataset", "critters_fine", "--out", tmp_path]
    status, said, told = command(*common, "--quick")
    assert status == 0, told
    assert "class recovered" in said
    assert "index.html" in said
    kept = json.loads((tmp_path / "scorecard.json").read_text("utf-8"))
    assert kept["made_with"]["models"]["judge"]["name"] == "critters-vgg"

    for more, message in (
        (["--seeds", "1"], "seeds=1"),
        (["--n", "1000"], "--n 1000: beside the targets as many others are needed"),
        (["--quick", "--n", "3"], "scorecard-trials was made with"),
    ):
        status, _, told = command(*common, *more)
        assert status == 2
        assert message in told.splitlines()[-1]
