"""`python -m robustness.main` in this process, on critters."""

from __future__ import annotations

import warnings

import pytest

import robust_reps_ext  # noqa: F401

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # upstream's word about apex
    from robustness import datasets, defaults

from training_command import DotsData


@pytest.fixture(autouse=True)
def dots(monkeypatch):
    """The data set registered as upstream's documentation says, after everything is imported."""
    monkeypatch.setitem(datasets.DATASETS, "dots", DotsData)
    entry = {"epochs": 2, "batch_size": 6, "weight_decay": 0.0, "step_lr": 1}
    monkeypatch.setitem(defaults.TRAINING_DEFAULTS, DotsData, entry)
    choices = defaults.MODEL_LOADER_ARGS[0][1]
    choices.append("dots")
    yield
    choices.remove("dots")
