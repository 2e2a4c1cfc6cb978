"""The measures, against scipy and in closed form."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from robust_reps_ext.experiments.metamers import likeness
from robust_reps_ext.experiments.metamers.likeness import ranks

ROWS = arrays(np.float32, (2, 3, 9), elements=st.integers(-4, 4).map(float))  # with many ties


@settings(deadline=None)
@given(ROWS)
def test_ranks_are_scipys(rows):
    found = ranks(torch.from_numpy(rows[0]))
    np.testing.assert_allclose(found, stats.rankdata(rows[0], axis=1), atol=1e-12)


@settings(deadline=None)
@given(ROWS)
def test_correlations_are_scipys(rows):
    found = likeness(*map(torch.from_numpy, rows))
    for i, (x, y) in enumerate(zip(*rows, strict=True)):
        if (x == y).all():
            wanted = (1.0, 1.0)
        elif np.ptp(x) == 0 or np.ptp(y) == 0:
            wanted = (0.0, 0.0)
        else:
            wanted = stats.spearmanr(x, y).statistic, stats.pearsonr(*np.float64([x, y])).statistic
        np.testing.assert_allclose(found[i, :2], wanted, atol=1e-9)


def test_decibels():
    """Noise of a tenth of the signal is 20 dB, of all of it 0, none is without bound."""
    x = torch.tensor([[3.0, 4.0, 0.0]])
    for noise, wanted in [([0.3, 0.4, 0.0], 20.0), ([3.0, 4.0, 0.0], 0.0), ([0, 0, 0], np.inf)]:
        np.testing.assert_allclose(likeness(x, x + torch.tensor([noise]))[0, 2], wanted, atol=1e-5)


def test_many_at_once_are_each_alone():
    rows = torch.rand(2, 5, 40, generator=torch.Generator().manual_seed(0))
    together = likeness(*rows)
    alone = torch.cat([likeness(x[None], y[None]) for x, y in zip(*rows, strict=True)])
    torch.testing.assert_close(together, alone)
