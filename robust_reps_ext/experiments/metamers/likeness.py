"""How alike two images are to a layer: the three measures of Feather et al. 2023."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["MEASURES", "alike", "likeness", "ranks"]

MEASURES = ("spearman", "pearson", "snr")
"""Rank correlation, correlation, and 10 log10(sum A(x)^2 / sum (A(x) - A(y))^2) in dB."""


def likeness(targets: Tensor, others: Tensor) -> Tensor:
    """The measures of each pair of rows.

    Parameters
    ----------
    targets, others
        (N, k), the activations of the one image and of the other.

    Returns
    -------
    Tensor
        (N, 3), float64, in the order of `MEASURES`. A row that is constant correlates with nothing:
        0; with itself all are alike: 1, 1, and infinite decibels.

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.experiments.metamers.likeness import likeness
    >>> likeness(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 2.0, 4.0]])).round(decimals=3)
    tensor([[ 1.0000,  0.9820, 11.4610]], dtype=torch.float64)
    """
    return alike(targets, others, ranks(targets), ranks(others))


def alike(targets: Tensor, others: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """`likeness`, of rows whose `ranks` are known: those of the targets, and of the others."""
    targets, others = targets.double(), others.double()
    signal = targets.square().sum(1)
    noise = (targets - others).square().sum(1)
    same = noise == 0
    found = [_correlation(first, second), _correlation(targets, others)]
    found = [torch.where(same, 1.0, one) for one in found]
    return torch.stack([*found, 10 * (signal / noise).log10().where(~same, torch.inf)], dim=1)


def ranks(values: Tensor) -> Tensor:
    """The place of each value in its row, from 1; those that are equal share their mean place.

    Parameters
    ----------
    values
        (N, k).

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.experiments.metamers.likeness import ranks
    >>> ranks(torch.tensor([[3.0, 0.0, 0.0, 5.0]]))
    tensor([[3.0000, 1.5000, 1.5000, 4.0000]], dtype=torch.float64)
    """
    ordered, where = values.sort(dim=1)
    places = torch.arange(1, values.shape[1] + 1, device=values.device).expand_as(where)
    begins = torch.ones_like(ordered, dtype=torch.bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = places.where(begins, 0).cummax(dim=1).values
    ends = begins.roll(-1, dims=1)
    ends[:, -1] = True
    last = places.where(ends, values.shape[1] + 1).flip(1).cummin(dim=1).values.flip(1)
    return torch.empty_like(values, dtype=torch.float64).scatter(
        1, where, (first + last).double() / 2
    )


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    varied = [one.amax(dim=1) > one.amin(dim=1) for one in (a, b)]
    a, b = (one - one.mean(dim=1, keepdim=True) for one in (a, b))
    found = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    return found.where(varied[0] & varied[1], 0.0)
