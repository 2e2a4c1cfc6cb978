"""The section of the page that `metamers` makes, of one network and of a pair."""

from __future__ import annotations

from functools import partial

import pandas
import pytest
from robustness.datasets import DATASETS

import robust_reps_ext as rr
from robust_reps_ext.results.units import finished_units

GIVEN = (
    "metamers", "--model", "critters-robust", "--against", "critters-standard",
    "--dataset", "critters_fine", "--n", 2, "--layers", "body.8,penultimate", "--pairs", 8,
    "--iterations", 1, "--judges", "critters-vgg",
)  # fmt: skip


def test_a_pair_stands_side_by_side_on_the_page(command, tmp_path, monkeypatch):
    data_set = partial(DATASETS["critters_fine"], custom_class_args={"n_val": 18})
    monkeypatch.setitem(DATASETS, "critters_fine", data_set)
    out = tmp_path / "out"
    status, said, err = command(*GIVEN, "--out", out)
    assert status == 0, err
    [store] = out.glob("metamers-*")
    pair = {
        role: rr.Metamers.load(store / f"found{end}.safetensors")
        for role, end in {"robust": "", "standard": "-standard"}.items()
    }
    assert not pair["robust"].images.equal(pair["standard"].images)
    assert pair["robust"].targets.equal(pair["standard"].targets)
    [unit] = finished_units(out, ["ladder"])
    told = unit.manifest["metadata"]["networks"]
    assert [*told] == ["robust", "standard"]
    for role, one in told.items():
        made = pair[role]
        assert [share["correct"] for share in one["successes"]] == made.success.sum(1).tolist()
        assert one["captions"] == made.lacks()
        assert [*one["recognised"]] == ["critters-vgg"]
        for layer, histograms in zip(made.layers, one["null"], strict=True):
            finite = made.null.of(layer).isfinite().sum(0).tolist()
            assert [sum(histogram["counts"]) for histogram in histograms] == finite
        looks = pandas.read_csv(store / f"resemblance{'' if role == 'robust' else '-standard'}.csv")
        assert looks["layer"].tolist() == [layer for layer in made.layers for _ in range(2)]
        assert {"from afar", "from afar by chance", "from afar ceiling"} <= {*looks.columns}
    page = (out / "report" / "index.html").read_text()
    assert str(out / "report" / "index.html") in said
    assert page.count('aria-label="snr') == page.count('aria-label="pearson') == 2 * 2
    assert page.count("recognised by critters-vgg") == 2
    # Once more: nothing is made again, and nothing is left beside it.
    before = sorted(out.rglob("*"))
    assert command(*GIVEN, "--out", out)[0] == 0
    assert sorted(out.rglob("*")) == before


def test_another_second_network_is_another_run(command, tmp_path, monkeypatch):
    data_set = partial(DATASETS["critters_fine"], custom_class_args={"n_val": 18})
    monkeypatch.setitem(DATASETS, "critters_fine", data_set)
    status, _, err = command(*GIVEN, "--against", "nowhere.pt", "--out", tmp_path / "out")
    assert status == 2
    assert "nowhere.pt" in err


@pytest.mark.parametrize("values", [[], [float("inf")], [1.0], [1.0, 1.0, 3.0]])
def test_histograms_of_few_values(values):
    import torch

    from robust_reps_ext.experiments.metamers.unit import BINS, _histogram

    found = _histogram(torch.tensor(values).double(), torch.tensor([2.0]).double())
    assert len(found["counts"]) == BINS
    assert sum(found["counts"]) == sum(value < 10 for value in values)
    assert found["low"] < found["high"]
    assert found["low"] <= 2.0 <= found["high"]
