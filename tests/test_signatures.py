"""What a notebook shows of the package: its names, and every keyword of a call."""

from __future__ import annotations

import inspect

import pytest

import robust_reps_ext as rr
from robust_reps_ext.experiments.constrained import Curve
from robust_reps_ext.experiments.pairs import near_pairs
from robust_reps_ext.experiments.scorecard.settings import Amounts
from robust_reps_ext.synthesis.settings import Options

CALLS = {name: getattr(rr, name) for name in rr.__all__ if callable(getattr(rr, name))}
WITH_OPTIONS = {
    "add_feature", "interpolate", "invert", "invert_within", "metamers", "robustify", "visualize",
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_every_keyword_has_its_name_and_type(name):
    for one in inspect.signature(CALLS[name]).parameters.values():
        assert one.kind is not one.VAR_KEYWORD
        assert one.annotation is not one.empty


def test_experiments_name_the_options_that_they_take():
    for call in [*(CALLS[name] for name in WITH_OPTIONS), near_pairs]:
        shown = inspect.signature(call).parameters
        assert {*Options.__annotations__} <= {*shown}
        assert shown["eps"].kind is inspect.Parameter.KEYWORD_ONLY
        assert shown["eps"].default is None
    assert inspect.signature(rr.scorecard).parameters["pairs"].default == Amounts().pairs


def test_the_package_lists_what_there_is():
    listed = {name for name in dir(rr) if not name.startswith("_")}
    assert {*rr.__all__} - {"__version__"} <= listed
    assert not listed & {"TYPE_CHECKING", "startup"}
    assert all(getattr(rr, name) is not None for name in listed)


def test_a_seed_that_is_not_given_is_zero():
    kinds = [kind for kind in CALLS.values() if inspect.isclass(kind)]
    kinds.append(Curve)
    calls = [*CALLS.values(), *(one for kind in kinds for one in vars(kind).values())]
    seeds = [
        given["seed"].default
        for given in (inspect.signature(call).parameters for call in calls if callable(call))
        if "seed" in given and given["seed"].default is not inspect.Parameter.empty
    ]
    assert len(seeds) >= 18
    assert set(seeds) == {0}
