"""Sparse linear heads on a representation (Wong, Santurkar and Mądry 2021), by scikit-learn."""

from __future__ import annotations

import inspect
import math
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..results.directions import Sparsity
from ..runtime.errors import InputError, warn
from ..runtime.progress import bar
from ..runtime.randomness import shuffled
from ..synthesis import Progress

__all__ = ["Heads", "sparse_heads"]

HELD_OUT = 4  # one image in so many of each class
LEAST = 0.01  # the last cost, beside the one at which no feature is left
# Passes of the solver for a cost: as many as so many multiplications allow, between these.
MOST, FEWEST, WORK = 2000, 100, 2e10


@dataclass(frozen=True)
class Heads:
    """A linear head for each class.

    Attributes
    ----------
    weight, bias
        (K, k) and (K,), in units of R: the logits are ``R @ weight.T + bias``.
    sparsity
        Of the whole path.
    """

    weight: Tensor
    bias: Tensor
    sparsity: Sparsity


def sparse_heads(
    latents: Tensor,
    labels: Tensor,
    classes: Sequence[int],
    *,
    steps: int,
    seed: int,
    progress: bool | Progress = False,
) -> Heads:
    """L1-regularised logistic regression on standardised R, over a path of costs.

    Costs fall geometrically from half of the one at which all weights are 0 to a hundredth of it.
    A quarter of the images of each class, which `seed` draws, is held out.

    Parameters
    ----------
    latents, labels
        (N, k) and (N,).
    classes
        K classes, two or more.
    steps
        How many costs, 1 or more.
    seed
        Of the draw, and of the order in which the solver takes the images.
    progress
        True for a bar, or ``progress(costs_done, costs_in_all, mean_features_of_a_class)``.

    Raises
    ------
    InputError
        If a class has fewer than two images, or there are fewer than two classes.
    """
    if len(classes) < 2:
        raise InputError(f"the data has {len(classes)} classes: a probe tells 2 or more apart")
    held = torch.zeros(len(labels), dtype=torch.bool)
    order = torch.tensor(shuffled(len(labels), seed=seed))
    for label in classes:
        own = order[labels[order] == label]
        if len(own) < 2:
            raise InputError(
                f"class {label} has {len(own)} images: a probe learns from some and is tested on "
                "others; give 2 or more of each class"
            )
        held[own[: max(1, len(own) // HELD_OUT)]] = True
    seen = latents[~held].double()
    mean, std = seen.mean(dim=0), seen.std(dim=0, correction=0)
    std = std.where(std > 1e-12, 1.0)
    place = {label: i for i, label in enumerate(classes)}
    y = np.array([place[label] for label in labels.tolist()])
    x = ((latents.double() - mean) / std).numpy()
    kept = (~held).numpy()
    with _telling(progress, steps) as tell:
        weights, biases, costs = _path(x[kept], y[kept], len(classes), steps, seed, tell)
    logits = np.einsum("nj,pcj->pnc", x[~kept], weights) + biases[:, None]
    right = torch.from_numpy((logits.argmax(2) == y[~kept]).mean(axis=1))
    features = torch.from_numpy((weights != 0).sum(axis=2))
    path = Sparsity(torch.from_numpy(costs), features, right, int(held.sum()), 0)
    chosen = _chosen(path)
    weight = torch.from_numpy(weights[chosen]) / std
    bias = torch.from_numpy(biases[chosen]) - weight @ mean
    path = Sparsity(path.cost, path.features, path.accuracy, path.held_out, chosen)
    return Heads(weight.float(), bias.float(), path)


@contextmanager
def _telling(progress: bool | Progress, steps: int) -> Iterator[Callable[[int, float], None]]:
    """What is called with the number of costs that are done, and the mean number of features."""
    shown = bar("cost", shown=progress is True)
    shown.total = steps

    def tell(done: int, features: float) -> None:
        shown.update(done - shown.n)
        if callable(progress):
            progress(done, steps, features)

    try:
        tell(0, 0.0)
        yield tell
    finally:
        shown.close()


def _path(
    x: Any, y: Any, classes: int, steps: int, seed: int, tell: Callable[[int, float], None]
) -> tuple[Any, Any, Any]:
    """Weights (P, K, k) and biases (P, K) of each cost, and the costs (P,)."""
    state = random.getstate()
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    random.setstate(state)  # its first import draws from Python's generator
    shares = np.eye(classes)[y]
    largest = np.abs(x.T @ (shares - shares.mean(axis=0))).max() / len(x)
    if not largest:
        raise InputError("R(x) is the same for all images: there is nothing to tell classes by")
    costs = largest * np.geomspace(0.5, LEAST, steps)
    # scikit-learn 1.8 says it in another word.
    new = inspect.signature(LogisticRegression).parameters["penalty"].default == "deprecated"
    how: dict[str, Any] = {"l1_ratio": 1.0} if new else {"penalty": "l1"}
    passes = int(min(MOST, max(FEWEST, WORK / (x.size * classes))))
    head = LogisticRegression(
        solver="saga",
        tol=1e-3,
        max_iter=passes,
        warm_start=True,
        random_state=seed % 2**32,
        **how,
    )
    weights, biases, unfinished = [], [], []
    for cost in costs:
        head.set_params(C=1 / (cost * len(x)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            head.fit(x, y)
        if head.n_iter_.max() >= passes:
            unfinished.append(f"{cost:.3g}")
        # Of two classes it has one head, which is that of the second.
        both = (-head.coef_, head.coef_) if classes == 2 else (head.coef_,)
        shift = (-head.intercept_, head.intercept_) if classes == 2 else (head.intercept_,)
        weights.append(np.concatenate(both))
        biases.append(np.concatenate(shift))
        tell(len(weights), float((weights[-1] != 0).sum(axis=1).mean()))
    if unfinished:
        warn(f"heads of cost {', '.join(unfinished)} still moved after {passes} passes")
    return np.stack(weights), np.stack(biases), costs


def _chosen(path: Sparsity) -> int:
    """The sparsest within one standard error of the best in which every class has a feature."""
    best = float(path.accuracy.max())
    error = math.sqrt(best * (1 - best) / path.held_out)
    every = (path.features > 0).all(dim=1)
    good = (path.accuracy >= best - error) & every
    for these in (good, every):
        if these.any():
            return int(these.nonzero()[0])
    return len(path.cost) - 1
