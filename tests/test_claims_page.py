"""docs/claims.md: every row names tests that are there, and nothing of the paper is left out."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "claims.md"
NAME = re.compile(r"`((?:\w+/)*test_\w+\.py)::(test_\w+)`")
TEXT = PAGE.read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| where ")
]


def numbers(word):
    """All that rows name: "Fig. 3, 13a, 19 to 22" gives 3, 13, 19, 20, 21, 22."""
    found = set()
    for where, *_ in ROWS:
        for part in re.findall(rf"{word} (\d+[ab]?(?:(?:, | to )\d+[ab]?)*)", where):
            for piece in part.split(", "):
                first, *last = [int(one.strip("ab")) for one in piece.split(" to ")]
                found |= set(range(first, (last or [first])[0] + 1))
    return found


@cache
def defined(file):
    """The functions of a file of tests; its name, with a folder where there are two, is enough."""
    [path] = HERE.rglob(file)
    tree = ast.parse(path.read_text("utf-8"))
    return {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]}: {row[1][:30]}" for row in ROWS])
def test_a_row_names_tests_that_are_there(row):
    _, _, told = row
    named = NAME.findall(told)
    assert named
    assert NAME.sub("", told).strip(", ") == ""
    for file, name in named:
        assert name in defined(file)


def test_every_equation_table_and_figure_has_a_row():
    assert numbers("eq.") == set(range(1, 7))
    assert numbers("Table") == set(range(1, 6))
    assert numbers("Fig.") == set(range(2, 24))  # Fig. 1 is made of the others


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([\w./-]+)\)", TEXT):
        assert (PAGE.parent / link).exists(), link
