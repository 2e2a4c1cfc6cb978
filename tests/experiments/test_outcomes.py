"""What is said of images to which a feature was added, where R(x) are the pixels."""

from __future__ import annotations

import pytest
import torch
from networks import PLAIN, Linear, wrapped

import robust_reps_ext as rr
from robust_reps_ext.experiments.addition import outcomes


def test_when_a_coordinate_leads():
    """One leads from the start, one after some steps, one cannot: its ball is too small."""
    model = wrapped(Linear(12), PLAIN)
    images = torch.full((3, 3, 2, 2), 0.5)
    images.view(3, -1)[0, 3] = 0.9
    images.view(3, -1)[1, 7] = 0.8
    images.view(3, -1)[2, 7] = 1.0
    eps = torch.tensor([1.0, 1.0, 0.05])
    added = rr.add_feature(model, images, coordinate=3, eps=eps, step_size=0.1, iterations=8)
    first, second, third = outcomes(model, added, 3)
    assert first == "leads already"
    assert second in ("leads after 3 steps", "leads after 4 steps")
    assert third == "did not lead in 8 steps"


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_one_that_leads_at_the_last_step_has_made_them_all(steps):
    """R(x)_3 begins at 0.4 and is 0.1 larger after each step; another is just below the last."""
    model = wrapped(Linear(12), PLAIN)
    images = torch.full((2, 3, 2, 2), 0.4)
    images.view(2, -1)[:, 7] = torch.tensor([0.4 + 0.1 * steps - 0.05, 0.4])
    made = {"step_size": 0.1, "eps": 5.0, "schedule": "paper", "precision": "float32"}
    added = rr.add_feature(model, images, coordinate=3, iterations=steps, **made)
    plural = "s" * (steps > 1)
    assert outcomes(model, added, 3) == [f"leads after {steps} step{plural}", "leads after 1 step"]
