"""How near to the truth what was filled or enlarged comes, beside its start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from ..results.synthesis import Synthesis, distances

__all__ = ["Nearer", "nearer"]

FEWEST = 5
"""Images that an interval needs."""


@dataclass(frozen=True)
class Nearer:
    """Means over images of L2 distances to the truth, with 95% bootstrap intervals.

    Attributes
    ----------
    n
        How many images.
    start, result
        Mean distance of the starts, and of the results.
    change
        Mean of result minus start: negative where results are nearer.
    low, high
        The interval of `change`; None with fewer than five images.
    """

    header: ClassVar[tuple[str, ...]] = ("images", "start", "result", "change", "95% from", "to")

    n: int
    start: float
    result: float
    change: float
    low: float | None
    high: float | None

    def row(self) -> tuple[object, ...]:
        """As a table's row, see `header`."""
        ends = ["" if end is None else end for end in (self.low, self.high)]
        return self.n, self.start, self.result, self.change, *ends


def nearer(synthesis: Synthesis, *, seed: int = 0) -> Nearer | None:
    """Of a synthesis with its truth as `target_images`; None of one without.

    Parameters
    ----------
    synthesis
        What `inpaint` or `upscale` returned.
    seed
        Of the bootstrap, 9999 draws of pairs (start, result).

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.experiments.restoration import nearer
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> x = torch.rand(2, 3, 64, 64)
    >>> nearer(rr.upscale(model, x[:, :, ::4, ::4], 4, truth=x, iterations=1)).n
    2
    """
    truth = synthesis.target_images
    if truth is None:
        return None
    start, result = distances(synthesis.start, truth), distances(synthesis.images, truth)
    change = result - start
    low, high = _interval(change, seed) if len(change) >= FEWEST else (None, None)
    return Nearer(len(change), _mean(start), _mean(result), _mean(change), low, high)


def _mean(values: Tensor) -> float:
    return float(values.double().mean())


def _interval(values: Tensor, seed: int) -> tuple[float, float]:
    from scipy.stats import bootstrap  # slow to import: only where it is needed

    found = bootstrap(
        (values.double().numpy(),),
        np.mean,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)
