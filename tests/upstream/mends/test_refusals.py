"""What upstream refuses we refuse with an error that is also of upstream's kind."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import warnings

import pytest
import refused

import robust_reps_ext as rr

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # upstream's word about apex
    import robustness.main  # noqa: F401


@pytest.fixture(scope="module")
def upstreams():
    """Of each refusal the kinds that upstream's error is of."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", refused.__file__],
        env={**os.environ, "ROBUST_REPS_EXT_DISABLE": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# What torch and upstream raise as they did.
AS_EVER = {
    "a_data_set_with_an_unknown_argument",
    "no_such_data_set",
    "no_such_table",
    "torchvisions_weights_for_cifar",
}


def kinds(error):
    return [f"{kind.__module__}:{kind.__qualname__}" for kind in type(error).__mro__]


@pytest.mark.parametrize("name", refused.REFUSED)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_an_error_is_of_upstreams_kind_and_one_line(upstreams, tmp_path, name):
    error = refused.raised(name, tmp_path)
    *theirs, _ = upstreams[name]
    assert theirs[0] != "builtins:NoneType"
    assert [kind for kind in theirs if kind not in kinds(error)] == []
    assert isinstance(error, rr.InputError) is not (name in AS_EVER)
    line = str(error)
    in_a_worker = line.startswith("Caught ")
    assert name in AS_EVER or in_a_worker or (line and "\n" not in line and line[0] not in "'\"")


@pytest.mark.parametrize("kind", [KeyError, OSError, json.JSONDecodeError, UnicodeDecodeError])
def test_an_error_of_two_kinds_says_its_line_and_can_be_sent(kind):
    error = rr.InputError.also(kind)("eps=-1 is negative: give 0 or more")
    again = pickle.loads(pickle.dumps(error))
    for one in (error, again):
        assert isinstance(one, kind)
        assert type(one) is rr.InputError.also(kind)
        assert str(one) == "eps=-1 is negative: give 0 or more"
    assert type(error).__name__ == "InputError"
    assert rr.InputError.also(ValueError) is rr.InputError
