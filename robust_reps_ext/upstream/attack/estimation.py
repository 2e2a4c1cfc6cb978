"""Gradients estimated from values alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...runtime.errors import InputError
from .state import of_rows

__all__ = ["calc_est_grad"]


def calc_est_grad(
    func: Callable[[Tensor, Any], Tensor],
    x: Tensor,
    y: Any,
    rad: float,
    num_samples: int,
    max_batch: int = 256,
) -> Tensor:
    """Gradient of `func` at `x` up to scale, estimated from antithetic pairs on a sphere.

    Parameters
    ----------
    func
        Loss of a batch, ``func(images, targets) -> (n,)``.
    x
        Images, (N, ...).
    y
        Targets, (N, ...), or a tuple of some, as sums of objectives have.
    rad
        Radius of the sphere that the queries lie on.
    num_samples
        Queries for each image, made as ``num_samples // 2`` pairs, at least one pair.
    max_batch
        How many images `func` is given at once, rounded to whole batches of N. It bounds the
        memory and changes nothing else. Passed to `Attacker` as ``est_grad=(rad, n, max_batch)``.

    Returns
    -------
    Tensor
        Shaped like `x`.

    Raises
    ------
    InputError
        If `num_samples` is below one.
    """
    if num_samples < 1:
        raise InputError(
            f"num_samples={num_samples}: estimating a gradient needs at least 2 queries"
        )
    pairs = max(num_samples // 2, 1)
    per_image = (1,) * (x.dim() - 1)
    with torch.no_grad():
        half = torch.randn_like(x.repeat(pairs, *per_image))
        half = half / half.flatten(1).norm(dim=-1).view(-1, *per_image)
        noise = torch.cat([-half, half]).view(2 * pairs, *x.shape)
        total = torch.zeros_like(x)
        at_once = max(1, max_batch // max(len(x), 1))
        rows = torch.arange(len(x), device=x.device)
        for directions in noise.split(at_once):
            queries = (x + rad * directions).flatten(0, 1)
            losses = func(queries, of_rows(y, rows.repeat(len(directions))))
            total += (losses.view(len(directions), len(x), *per_image) * directions).sum(dim=0)
        return total / len(noise)
