"""What docs/security.md says: that its tests are there, and those that stand nowhere else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from robust_reps_ext.cli import console
from robust_reps_ext.experiments.paper.units import ORDER
from robust_reps_ext.results.figures import save_figure
from robust_reps_ext.results.plots import Line, accuracy_figure, curve_figure
from robust_reps_ext.results.store import ExperimentStore
from robust_reps_ext.results.units import finished_units
from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.runtime.files import writing

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "security.md"
UNIT = {
    "format": 3,
    "finished": "2026-01-01",
    **dict.fromkeys(("id", "kind", "numbers", "title", "digest"), "x"),
    "runs": [],
    "pictures": [],
    "metadata": {},
    "study": {},
}


def test_every_statement_has_its_tests():
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row.split("|")[3])
        assert named, row
        for file, name in named:
            texts = [path.read_text("utf-8") for path in HERE.rglob(file)]
            assert any(f"def {name}(" in text for text in texts), (file, name)


@pytest.mark.parametrize("names", [["../../secret"], ["/etc/passwd"], [".hidden"], ["a/b"]])
@pytest.mark.parametrize("where", ["runs", "pictures"])
def test_a_unit_names_no_file_elsewhere(tmp_path, names, where):
    (tmp_path / "one").mkdir()
    manifest = tmp_path / "one" / "unit.json"
    manifest.write_text(json.dumps(UNIT))
    assert finished_units(tmp_path, ORDER) == []
    manifest.write_text(json.dumps(UNIT | {where: names}))
    with pytest.raises(InputError, match=r"unit\.json is damaged"):
        finished_units(tmp_path, ORDER)


@pytest.mark.parametrize("label", ["$x_.pt", r"$\frac{$", "a$b$c"])
def test_names_in_figures_are_no_formulas(tmp_path, label):
    line = Line([0.9], [0.8], [0.95], label)
    for figure in (accuracy_figure(["clean"], [line]), curve_figure([2.0], [line])):
        [text] = figure.axes[0].get_legend().get_texts()
        assert text.get_text() == label
        assert save_figure(figure, tmp_path / "figure.png").stat().st_size > 1000


def test_names_beside_a_bar_are_no_markup(capsys):
    with console.progress("[/bold][red]model.pt", "images") as move:
        move(1, 2)
    assert "[/bold][red]model.pt" in capsys.readouterr().err


def test_beside_a_long_name_numbers_stay_whole(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    monkeypatch.setenv("COLUMNS", "80")
    with console.progress("Figures 2, 3, 13a, 16: Inversion from another image", "steps") as move:
        move(200, 400)
    said = capsys.readouterr().err
    assert "200/400" in said
    assert "Figures 2, 3, 13a, 16: Inversion from another image" in said
    assert "…" not in said


def test_a_bar_that_never_moved_leaves_no_trace(capsys):
    with pytest.raises(InputError), console.progress("Inverting", "steps"):
        raise InputError("wrong")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "", ".", "..", "a\0b", "-rf"])
def test_nothing_is_written_outside_the_folder(tmp_path, name):
    with pytest.raises(InputError, match="cannot name a file"):
        ExperimentStore.resume(tmp_path / "out", experiment=name, settings={})
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_through_a_link(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("as it was")
    (tmp_path / "result").symlink_to(secret)
    seen = []
    for _ in range(2):
        with writing(tmp_path / "result", "") as file:
            seen.append(Path(file.name).name)
            file.write(b"new")
    assert secret.read_text() == "as it was"
    assert (tmp_path / "result").read_bytes() == b"new"
    assert not (tmp_path / "result").is_symlink()
    assert seen[0] != seen[1]
