"""cox's objects as text, and its parameters."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

import robust_reps_ext  # noqa: F401
from robust_reps_ext.results import safe_pickle
from robust_reps_ext.runtime.errors import InputError

import cox.utils  # isort: skip
from cox.utils import Parameters, obj_to_string, string_to_obj  # isort: skip
from cox_stores import Bomb


def test_objects_of_code_stay_text_until_trusted(tmp_path):
    mark = tmp_path / "mark"
    text = obj_to_string(Bomb(mark))
    with pytest.warns(UserWarning, match=r"system is not a plain value.*trusting"):
        assert string_to_obj(text) == text
    assert not mark.exists()
    with safe_pickle.trusting():
        string_to_obj(text)
    assert mark.exists()
    assert not safe_pickle.trusted()


def test_text_that_is_no_object_stays_as_it_is():
    for text in ("hello", "a=b", "é", "1"):
        assert string_to_obj(text) == text
    assert string_to_obj("") is None
    assert string_to_obj(None) is None
    assert string_to_obj(3) == 3


def test_parameters_are_the_same_in_any_case():
    parameters = Parameters({"LR": 0.1, "eps": None})
    assert parameters.lr == parameters.LR == 0.1
    assert "Lr" in parameters
    assert "eps" in parameters
    assert parameters.missing is None
    assert "missing" not in parameters
    parameters.Eps = 3
    assert parameters.as_dict() == {"lr": 0.1, "eps": 3}
    del parameters.EPS
    assert list(parameters) == ["lr"]
    with pytest.raises(AttributeError):
        del parameters.eps


def test_parameters_keep_the_callers_dict():
    given = {"a": 1}
    parameters = Parameters(given)
    parameters.b = 2
    assert given == {"a": 1, "b": 2}


@pytest.mark.parametrize("values", [{}, {"A": [1]}])
def test_parameters_can_be_copied_and_pickled(values):
    parameters = Parameters(values)
    for other in (
        copy.copy(parameters),
        copy.deepcopy(parameters),
        pickle.loads(pickle.dumps(parameters)),
    ):
        assert type(other) is Parameters
        assert other.as_dict() == parameters.as_dict()
    if values:
        assert copy.deepcopy(parameters).a is not parameters.a


def test_parameters_given_twice_are_named():
    with pytest.raises(InputError, match="'A' is given twice"):
        Parameters({"a": 1, "A": 2})


def test_parameters_print_whatever_they_hold():
    assert "function" in str(Parameters({"hook": lambda: None, "call": print}))


def test_override_json_fills_what_is_none(tmp_path):
    path = tmp_path / "preset.json"
    path.write_text(json.dumps({"Lr": 0.5, "epochs": 3}))
    merged = cox.utils.override_json(Parameters({"lr": None, "epochs": 7, "seed": None}), path)
    assert merged.as_dict() == {"lr": 0.5, "epochs": 7, "seed": None}
    with pytest.raises(InputError, match=r"missing \['seed'\]"):
        cox.utils.override_json(
            Parameters({"lr": 1, "epochs": 7, "seed": None}), path, check_consistency=True
        )


@pytest.mark.parametrize(("text", "reason"), [("{", "not JSON"), ("[1]", "no JSON object")])
def test_override_json_names_a_broken_file(tmp_path, text, reason):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"broken\.json.* {reason}"):
        cox.utils.override_json(Parameters({}), str(path))
    with pytest.raises(InputError, match="absent"):
        cox.utils.override_json(Parameters({}), str(tmp_path / "absent"))
