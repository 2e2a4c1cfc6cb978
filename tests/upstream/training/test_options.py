"""Scripts keep their own options beside upstream's; the command has ours."""

from __future__ import annotations

import argparse
import importlib

import pytest
from robustness import defaults
from training_command import datasets

from robust_reps_ext.upstream.training.options import GROUPS, OURS, command_parser, entries

OWN = [entry[0] for group in GROUPS for entry in OURS.get(group, [])]


def with_upstreams(parser):
    for group in GROUPS:
        defaults.add_args_to_parser(getattr(defaults, group), parser)
    return parser


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("first", [True, False])
def test_an_option_of_a_script_is_the_scripts(own, first):
    parser = argparse.ArgumentParser() if first else with_upstreams(argparse.ArgumentParser())
    parser.add_argument_group("mine").add_argument(f"--{own}", type=lambda text: f"mine: {text}")
    if first:
        with_upstreams(parser)
    args = parser.parse_args([f"--{own}", "x", "--eps", "3"])
    assert getattr(args, own.replace("-", "_")) == "mine: x"
    for group in GROUPS[:3]:
        needed = [entry for entry in getattr(defaults, group) if entry[3] != "REQUIRED"]
        defaults.check_and_fill_args(args, needed, datasets.CIFAR)
    assert getattr(args, own.replace("-", "_")) == "mine: x"


def test_a_flag_may_be_a_scripts_where_upstream_reads_a_value():
    parser = argparse.ArgumentParser(conflict_handler="resolve")
    with_upstreams(parser).add_argument("--resume", action="store_true")
    assert parser.parse_args([]).resume is False


def test_short_forms_of_upstreams_options_mean_what_they_meant():
    parser = with_upstreams(argparse.ArgumentParser())
    assert parser.parse_args(["--save", "5"]).save_ckpt_iters == 5
    with pytest.raises(SystemExit):
        parser.parse_args(["--resume"])


def test_the_lists_are_upstreams(pristine):
    theirs = importlib.import_module("pristine.defaults")
    for group in GROUPS:
        names = [entry[0] for entry in getattr(defaults, group)]
        assert names == [entry[0] for entry in getattr(theirs, group)]
        defaults_of = [entry[3] for entry in getattr(defaults, group)]
        assert defaults_of == [entry[3] for entry in getattr(theirs, group)]


def test_the_command_has_all_of_ours():
    parser = command_parser()
    for group in GROUPS:
        for name, kind, _, _ in entries(group):
            value = str(kind[0]) if isinstance(kind, list) else "1"
            args = parser.parse_args([f"--{name}", value])
            assert str(getattr(args, name.replace("-", "_"))) in (value, f"{value}.0")
    assert parser.parse_args(["--resume"]).resume == "latest"
    assert len(OWN) == len(set(OWN)) == sum(map(len, OURS.values()))
