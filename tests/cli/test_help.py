"""`--help` in 80 columns: whole words, groups, and numbers that a person can read."""

from __future__ import annotations

import re

import pytest
import typer
from robustness.datasets import DATASETS

from robust_reps_ext import cli
from robust_reps_ext.cli.help import ORDER

GROUPS = typer.main.get_command(cli.app).commands
LEAVES = {
    f"{name} {inner}".strip(): command
    for name, group in GROUPS.items()
    for inner, command in getattr(group, "commands", {"": group}).items()
    if not command.hidden
}


@pytest.fixture
def shown(command, monkeypatch):
    """The help of a command, as a terminal of 80 columns has it."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(name):
        status, out, err = command(*name.split(), "--help")
        assert (status, err) == (0, "")
        return out

    return call


@pytest.mark.parametrize("name", ["", "models", "store", *LEAVES])
def test_it_fits_and_holds_no_jargon_of_types(shown, name):
    text = shown(name)
    assert max(map(len, text.splitlines())) <= 80
    for unwanted in (r"<bool>", r"\d{10}", r"<=x", r"[│╭╰]"):
        assert not re.search(unwanted, text)


@pytest.mark.parametrize("name", LEAVES)
def test_no_word_is_broken_and_nothing_is_left_out(shown, name):
    text = " ".join(shown(name).split())
    for one in LEAVES[name].params:
        assert " ".join((one.help or "").split()) in text
        assert one.param_type_name == "argument" or one.opts[0] in text


def test_groups_stand_in_one_order(shown):
    names = re.findall(r"^(\w+):$", shown("visualize"), re.M)
    assert names == [name for name in ORDER if name in names]
    assert names[:2] == ["Model", "Data"]


def test_the_commands_are_listed_with_their_whole_sentence(shown):
    text = " ".join(shown("").split())
    assert "Find images that a network represents as it does given ones (section 4.1)." in text


def test_data_sets_are_named(shown):
    text = shown("invert")
    ours = {name for name, one in DATASETS.items() if "robust_reps_ext" in str(one)}
    assert {*ours, "cifar", "imagenet"} <= {*re.findall(r"\w+", text)}
