"""What is said of progress in a pipe."""

from __future__ import annotations

import pytest

from robust_reps_ext.cli import console


@pytest.mark.parametrize(("value", "beside"), [("distance", ", distance 0.250"), ("", "")])
def test_a_number_is_told_with_its_name_or_not_at_all(value, beside, monkeypatch, capsys):
    monkeypatch.setattr("robust_reps_ext.runtime.progress.BETWEEN", -1)
    with console.progress("Looking", "images", value) as move:
        for done in range(1, 100):
            move(done, 1000, 0.25)
    said = capsys.readouterr().err.splitlines()
    assert f"Looking: 99/1000 images{beside}" in said


def test_no_column_breaks_a_word_where_there_is_room(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    header = ("model", "image", "label", "class", "cross-entropy")
    row = ("photographs-standard", 494, "a grasshopper of fields", "European fire salamander", 0.4)
    console.show_table(header, [row])
    said = capsys.readouterr().out
    assert {*" ".join(map(str, header + row[:4])).split(), "0.400"} == {*said.split()}
    assert max(map(len, said.splitlines())) <= 80


def test_a_long_path_leaves_room_for_what_is_beside_it(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    console.show_table(("", "what"), [("x" * 70, "words that say what it is " * 3)])
    said = capsys.readouterr().out.splitlines()
    assert len(said) <= 4
    assert "".join(said).count("x") == 70
