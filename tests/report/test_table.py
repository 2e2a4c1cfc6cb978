"""The table of accuracies on the page: what was measured, the cards, and the paper's apart."""

from __future__ import annotations

import re

import robust_reps_ext as rr
from robust_reps_ext.report.page import write_report
from robust_reps_ext.results.units import Found, Heading, keep

NAMES = {"robust": "critters-robust", "standard": "critters-standard", "vgg": "critters-vgg"}


def test_the_cards_stand_beside_what_was_measured_and_the_papers_apart(tmp_path):
    share = {"share": 0.9, "interval": (0.8, 0.95)}
    cards = {role: rr.load_model(name).card["measured"] for role, name in NAMES.items()}
    metadata = {
        "eps": 4.0,
        "attack": "L2 eps 4",
        "why": "what the robust network was trained against",
        "images": 64,
        "columns": ["clean"],
        "rows": {role: [share] for role in NAMES},
        "cards": cards,
    }
    model = {"name": "a", "arch": "b", "weights": "c"}
    study = {
        "scale": {"name": "quick", "schedule": "paper"},
        "models": dict.fromkeys(NAMES, model),
        "data": {"name": "critters_fine", "folder": "", "side": 64},
        "eps": 4.0,
        "grouped": [0],
        "seed": 0,
    }
    heading = Heading("tables", "table", "Table 4", "Accuracy")
    keep(tmp_path, heading, Found(metadata=metadata), {"digest": "d", "study": study})
    text = " ".join(write_report(tmp_path, ["tables"]).read_text("utf-8").split())
    here, whole, paper = re.findall(r"<table>.*?</table>", text)
    assert "64 validation images, attack L2 eps 4" in here
    assert "The radius is what the robust network was trained against." in text
    # Both sets of labels, over the whole validation set.
    for column, one in cards["robust"]["accuracies"].items():
        assert f"{column}<br><small>{one['images']} images</small>" in whole
        assert f"{100 * one['accuracy']:.1f}%" in whole
    assert {name.split()[0] for name in cards["robust"]["accuracies"]} == {
        "critters",
        "critters_fine",
    }
    assert "attack L2 eps 4" in whole
    assert "92.39%" in paper
    assert "92.39%" not in here + whole
    assert "Another experiment" in text
