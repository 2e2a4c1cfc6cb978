"""Answers to a study: read, counted, and how far they reach."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import robust_reps_ext as rr
from robust_reps_ext.results.answers import COLUMNS
from robust_reps_ext.runtime.errors import InputError


def write(path, person, correct, *, study="s", condition="c"):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(COLUMNS)
        for i, right in enumerate(correct):
            row = (study, 0, person, i, condition, f"image {i}", "a", "a" if right else "b")
            writer.writerow([*row, "" if right is None else int(right), 100 * i])
    return path


def test_shares_and_counts(tmp_path):
    write(tmp_path / "1.csv", "ann", [True, True, False, True])
    write(tmp_path / "2.csv", "bob, jr", [True, False, False, True])
    found = rr.read_study(tmp_path)
    [row] = found.to_frame().to_dict("records")
    assert row["correct"] == 5 / 8
    assert (row["answers"], row["people"], row["images"]) == (8, 2, 4)
    assert row["low"] < 5 / 8 < row["high"]
    assert row["milliseconds"] == 150
    assert repr(found) == "8 answers of 2 people\nright: c 62%"
    assert "data:image/png" in found._repr_html_()
    again = type(found).load(found.save(tmp_path / "all.csv"))
    assert again.rows.equals(found.rows)


def test_the_interval_is_as_wide_as_people_and_images_differ(tmp_path):
    """All that people answer alike tells no more than one person does."""
    rng = np.random.default_rng(0)
    answers = (rng.random(40) < 0.5).tolist()
    for i in range(9):
        write(tmp_path / f"{i}.csv", f"person {i}", answers)
    alone = rr.read_study(tmp_path / "0.csv").to_frame().iloc[0]
    together = rr.read_study(tmp_path).to_frame().iloc[0]
    width = 2 * 1.96 * np.sqrt(0.25 / 40)
    assert alone.high - alone.low == pytest.approx(width, rel=0.15)
    assert together.high - together.low == pytest.approx(width, rel=0.15)


def test_what_has_no_right_answer_is_not_counted(tmp_path):
    write(tmp_path / "1.csv", "ann", [None, None])
    found = rr.read_study(tmp_path)
    assert len(found.rows) == 2
    assert found.to_frame().empty


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="no CSV files"):
        rr.read_study(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        rr.read_study(tmp_path / "missing.csv")
    one = write(tmp_path / "1.csv", "ann", [True])
    two = write(tmp_path / "2.csv", "ann", [True])
    with pytest.raises(InputError, match="'ann' answers in"):
        rr.read_study([one, two])
    other = write(tmp_path / "2.csv", "bob", [True], study="t")
    with pytest.raises(InputError, match="2 studies"):
        rr.read_study([one, other])
    one.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="its first line is another"):
        rr.read_study(one)
    other.write_text(other.read_text().replace('"1","0"', '"yes","0"'))
    with pytest.raises(InputError, match="line 2, is damaged"):
        rr.read_study(other)
