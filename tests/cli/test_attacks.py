"""The command `evaluate` under Auto-PGD, and over several radii."""

from __future__ import annotations

import json
from functools import partial

import pytest
from cox_stores import read
from robustness.datasets import DATASETS

GIVEN = (
    "evaluate", "--model", "critters-standard", "--dataset", "critters_fine", "--n", 6,
    "--attack-steps", 2,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    data_set = partial(DATASETS["critters_fine"], custom_class_args={"n_val": 18})
    monkeypatch.setitem(DATASETS, "critters_fine", data_set)


def test_a_curve_of_the_worst_case_and_an_entry_for_robustbench(command, tmp_path):
    out = tmp_path / "out"
    how = ("--attack", "standard", "--constraint", "inf", "--radii", "0.001,0.05", "--out", out)
    status, said, err = command(*GIVEN, *how)
    assert status == 0, err
    assert "Linf eps 0.001, 0.05" in said
    table = read(out, "results")
    fine = table[table["labels"] == "162 classes"]
    assert fine["attack"].tolist() == ["clean", *["APGD-2", "standard-2"] * 2]
    assert fine["eps"].tolist() == [0, 0.001, 0.001, 0.05, 0.05]
    counts = fine["correct"].tolist()
    assert counts == sorted(counts, reverse=True)
    settings = read(out, "metadata").iloc[0]
    assert (settings["attack"], settings["constraint"]) == ("standard", "inf")
    [folder] = out.iterdir()
    assert (folder / "accuracy.png").stat().st_size > 1000
    entry = json.loads((folder / "robustbench" / "critters-standard.json").read_text())
    assert (entry["dataset"], entry["eps"]) == ("critters_fine", "0.05")
    assert entry["reported"] == f"{100 * counts[-1] / 6:.2f}"
    assert entry["clean_acc"] == f"{100 * counts[0] / 6:.2f}"
    assert "standard-2 of robust_reps_ext on 6 images" in entry["footnote"]
    # Once more: what is finished is not attacked again, and the same is said.
    assert command(*GIVEN, *how)[:2] == (0, said)


def test_numbers_of_another_precision_are_not_gone_on_with(command, tmp_path):
    out = tmp_path / "out"
    for precision, status in (("bfloat16", 0), ("float32", 2), ("bfloat16", 0)):
        ended, _, err = command(*GIVEN, "--precision", precision, "--out", out)
        assert ended == status, err
        assert status == 0 or "was made with precision='bfloat16' (now None)" in err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--attack", "apgd", "--step-size", 0.1), "step_size=0.1: 'apgd' finds its own"),
        (("--radii", "1,0.5"), "radii=(1.0, 0.5) are not ascending"),
        (("--constraint", "inf"), "constraint='inf' has no radius by default"),
        (("--eps", 1, "--radii", "1,2"), "--eps is what --radii give here"),
    ],
)
def test_what_no_attack_can_be_is_told(command, tmp_path, given, said):
    status, _, err = command(*GIVEN, *given, "--out", tmp_path / "out")
    assert status == 2
    assert said in err
