"""Means over seeds and images with bootstrap intervals, for two models side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...runtime.errors import InputError

__all__ = ["VERDICTS", "Comparison", "Estimate", "compare"]

VERDICTS = ("separates", "does not separate", "the other way round")
DRAWS = 4000


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95% interval.

    Attributes
    ----------
    value, low, high
        The mean, and the ends of the interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """What was measured on a robust and a standard model.

    Attributes
    ----------
    robust, standard
        The mean of each.
    difference
        Robust minus standard.
    verdict
        One of `VERDICTS`: ``"separates"`` where the two intervals share no point and the robust
        model's is on the better side.
    """

    robust: Estimate
    standard: Estimate
    difference: Estimate
    verdict: str


def compare(
    robust: np.ndarray,
    standard: np.ndarray,
    *,
    larger: bool = True,
    paired: bool = True,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two models by a bootstrap of two levels: seeds are drawn, then images of each.

    The interval is that of percentiles. With three seeds it is wider than need be where seeds do
    not matter, and too narrow where they matter much.

    Parameters
    ----------
    robust, standard
        (S, N), a number for each seed and image.
    larger
        Whether larger is better.
    paired
        Whether row and column mean the same for both models, as the same image does; the draws
        are then the same too. Otherwise only seeds are.
    confidence
        Of the intervals.
    seed
        Of the draws.

    Raises
    ------
    InputError
        If the arrays are not two of one shape (S, N), are empty, or hold what is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from robust_reps_ext.experiments.scorecard.statistics import compare
    >>> compare(np.ones((3, 8)), np.zeros((3, 8))).verdict
    'separates'
    """
    values = [np.asarray(one, dtype=float) for one in (robust, standard)]
    shapes = [one.shape for one in values]
    if shapes[0] != shapes[1] or values[0].ndim != 2 or not values[0].size:
        raise InputError(f"values have the shapes {shapes}: give two arrays (seeds, images)")
    for name, one in zip(("robust", "standard"), values, strict=True):
        if not np.isfinite(one).all():
            raise InputError(f"{name} holds values that are not finite: leave those images out")
    rng = np.random.default_rng(seed)
    s, n = shapes[0]
    rows = rng.integers(s, size=(DRAWS, s, 1))
    columns = rng.integers(n, size=(DRAWS, s, n))
    others = columns if paired else rng.integers(n, size=columns.shape)
    ours = values[0][rows, columns].mean(axis=(1, 2))
    theirs = values[1][rows, others].mean(axis=(1, 2))
    means = [one.mean() for one in values]
    first = _estimate(means[0], ours, confidence)
    second = _estimate(means[1], theirs, confidence)
    difference = _estimate(means[0] - means[1], ours - theirs, confidence)
    better, worse = (first, second) if larger else (second, first)
    apart, reverse = better.low > worse.high, better.high < worse.low
    verdict = VERDICTS[0] if apart else VERDICTS[2] if reverse else VERDICTS[1]
    return Comparison(first, second, difference, verdict)


def _estimate(value: float, draws: np.ndarray, confidence: float) -> Estimate:
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, (tail, 1 - tail))
    return Estimate(float(value), float(low), float(high))
