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
