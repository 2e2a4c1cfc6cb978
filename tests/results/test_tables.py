"""The tables of a folder of results, by experiment and model."""

from __future__ import annotations

import pytest
from stored_experiments import SETTINGS, resume, synthesis

import robust_reps_ext as rr
from robust_reps_ext.results.units import Found, Heading, keep

STUDY = {"models": {"robust": {"name": "a.pt"}, "standard": {"name": "b.pt"}}}
MADE_WITH = {"digest": "d", "study": STUDY}


@pytest.fixture
def out(tmp_path):
    for model, numbers in (("a.pt", [1, 2]), ("b.pt", [5])):
        settings = {**SETTINGS, "n": len(numbers)}
        with resume(tmp_path / model, settings=settings, provenance={"model": model}) as store:
            store.add("inversion", synthesis(numbers), [{"label": "dog"}] * len(numbers))
        store.path.rename(tmp_path / store.id)
    share = {"share": 0.5, "interval": [0.4, 0.6]}
    metadata = {"eps": 4.0, "images": 64, "columns": ["clean", "PGD-20"]}
    metadata["rows"] = {role: [share, share] for role in ("robust", "standard")}
    keep(tmp_path, Heading("tables", "table", "", ""), Found(metadata=metadata), MADE_WITH)
    runs = {"robust": synthesis([3]), "standard": synthesis([4])}
    keep(tmp_path, Heading("fig6", "grid", "", ""), Found(runs, {"start": "noise"}), MADE_WITH)
    return tmp_path


def test_each_experiment_has_a_table_whose_rows_say_the_model(out):
    found = rr.results(out)
    assert set(found) == {"invert", "tables", "fig6"}
    inverted = found["invert"]
    assert [*inverted.columns[:2]] == ["model", "folder"]
    assert inverted.groupby("model")["objective"].mean().to_dict() == {"a.pt": 1.5, "b.pt": 5}
    assert set(inverted["label"]) == {"dog"}
    table = found["tables"]
    assert table.groupby("model")["attack"].apply(list).to_dict() == {
        "a.pt": ["clean", "PGD-20"],
        "b.pt": ["clean", "PGD-20"],
    }
    assert set(table["accuracy"]) == {0.5}
    assert set(table["eps"]) == {4.0}
    assert found["fig6"].set_index("model")["objective"].to_dict() == {"a.pt": 3, "b.pt": 4}


def test_they_show_themselves(out):
    found = rr.results(str(out))
    assert len(repr(found).splitlines()) == 2
    assert "invert 3 rows" in repr(found)
    assert "3 experiments with 2 models" in repr(found)
    frame = found.to_frame()
    assert len(frame) == 6
    assert frame["rows"].sum() == 3 + 4 + 2
    assert "<table" in found._repr_html_()


def test_what_is_not_there_is_one_line(out, tmp_path):
    found = rr.results(out)
    with pytest.raises(rr.InputError, match="no experiment 'inverts': it holds invert"):
        found["inverts"]
    assert "curve" not in found
    with pytest.raises(rr.InputError, match="no folder"):
        rr.results(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(rr.InputError, match="holds no results"):
        rr.results(tmp_path / "empty")


def test_a_network_s_name_may_have_a_dash(tmp_path):
    names = ("critters-robust", "critters-standard")
    study = {"models": {name: {"name": name} for name in names}}
    runs = {name: synthesis([i]) for i, name in enumerate(names)}
    heading, made_with = Heading("translation", "edits", "", ""), {"digest": "d", "study": study}
    keep(tmp_path, heading, Found(runs, {}), made_with)
    frame = rr.results(tmp_path)["translation"]
    assert frame.set_index("model")["objective"].to_dict() == dict(zip(names, (0, 1), strict=True))
