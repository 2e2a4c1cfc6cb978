"""Mends `robustness.tools.helpers`: accuracy, averages, estimated gradients, label maps."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

import torch

from ...runtime.errors import InputError
from ..data import label_maps
from ..data.prefetcher import DataPrefetcher
from ..mend import Mend

__all__ = ["MENDS", "accuracy", "calc_est_grad"]

Tensor = torch.Tensor


def accuracy(
    output: Tensor, target: Tensor, topk: Iterable[int] = (1,), exact: bool = False
) -> Any:
    """Top-k accuracy in percent, or image by image.

    Parameters
    ----------
    output
        Logits, (N, classes); or (N, attributes) for multi-task binary classification.
    target
        Labels, (N,); or (N, attributes) of 0 and 1.
    topk
        The k to report. A k above the number of classes counts as all classes.
    exact
        Report image by image instead of the average.

    Returns
    -------
    list of Tensor
        For each k a tensor of shape (1,) in 0..100 (NaN for an empty batch), or with `exact` a
        float tensor (N,) of zeros and ones. For binary attributes upstream's contract stands:
        ``([share], [-1.0])`` with the share of right attributes in 0..1.

    Raises
    ------
    ValueError
        If binary attributes and logits differ in shape.

    Examples
    --------
    >>> logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    >>> accuracy(logits, torch.tensor([0, 1, 1]))[0]
    tensor([66.6667])
    """
    with torch.no_grad():
        target = target.to(output.device)
        if target.dim() > 1:
            if output.shape != target.shape:
                raise ValueError(
                    f"binary attributes have shape {tuple(target.shape)}, but the model gave "
                    f"{tuple(output.shape)}"
                )
            right = output.sigmoid().round().eq(target.round())
            return [right.float().mean()], [-1.0]
        ks = tuple(topk)
        best = output.topk(min(max(ks), output.shape[1]), dim=1).indices
        hits = best.eq(target.view(-1, 1))
        found = [hits[:, :k].any(dim=1).float() for k in ks]
        if exact:
            return found
        percent = 100.0 / len(target) if len(target) else float("nan")
        return [each.sum(0, keepdim=True) * percent for each in found]


def calc_est_grad(
    func: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
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
        Targets, (N, ...).
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
        for directions in noise.split(at_once):
            queries = (x + rad * directions).flatten(0, 1)
            losses = func(queries, y.repeat(len(directions), *(1,) * (y.dim() - 1)))
            total += (losses.view(len(directions), len(x), *per_image) * directions).sum(dim=0)
        return total / len(noise)


def _ignore_empty_updates(module: ModuleType) -> None:
    upstream = module.AverageMeter

    class AverageMeter(upstream):  # type: ignore[misc, valid-type]
        """Keeps the latest value and the average of all so far, weighted by `n`."""

        def update(self, val: Any, n: int = 1) -> None:
            """Count `val` as `n` values; none at all leaves the average as it was."""
            if n == 0:
                self.val = val
            else:
                super().update(val, n)

    module.AverageMeter = AverageMeter  # type: ignore[attr-defined]


def _fails(call: Callable[[], Any], *errors: type[Exception]) -> bool:
    try:
        call()
    except errors:
        return True
    return False


def _miscounts(module: ModuleType) -> bool:
    logits, labels = torch.eye(2), torch.arange(2)
    return (
        _fails(lambda: module.accuracy(logits, labels, topk=(5,)), RuntimeError)
        or len(module.accuracy(logits, labels, topk=(2,), exact=True)[0]) != 2
    )


def _loses_the_classes(mapping: Callable[..., Any], ranges: Sequence[Any]) -> bool:
    return mapping(["n01440764"], {"n01440764": 0}, ranges)[0] is None


MENDS: tuple[Mend, ...] = (
    Mend(
        name="accuracy",
        where="tools/helpers.py:41",
        why="A k above the number of classes fails, an empty batch too; exact top-5 is 5N long.",
        present=_miscounts,
        apply=lambda module: module.__dict__.update(accuracy=accuracy),
    ),
    Mend(
        name="AverageMeter.update",
        where="tools/helpers.py:151",
        why="An empty first batch divides by zero.",
        present=lambda module: _fails(
            lambda: module.AverageMeter().update(0.0, 0), ZeroDivisionError
        ),
        apply=_ignore_empty_updates,
    ),
    Mend(
        name="calc_est_grad",
        where="tools/helpers.py:20",
        why="All queries run as one batch, a single query fails, channels_last images fail.",
        present=lambda module: (
            "max_batch" not in inspect.signature(module.calc_est_grad).parameters
        ),
        apply=lambda module: module.__dict__.update(calc_est_grad=calc_est_grad),
    ),
    Mend(
        name="DataPrefetcher",
        where="tools/helpers.py:103",
        why="Needs CUDA, gives one batch too many, takes pairs only, mixes nested loops up.",
        present=lambda module: "device" not in inspect.signature(module.DataPrefetcher).parameters,
        apply=lambda module: module.__dict__.update(DataPrefetcher=DataPrefetcher),
    ),
    Mend(
        name="restricted_label_mapping",
        where="tools/helpers.py:172",
        why="A label is the folder's position, wrong in an incomplete or polluted tree.",
        present=lambda module: _loses_the_classes(module.restricted_label_mapping, [(0, 0)]),
        apply=lambda module: module.__dict__.update(
            restricted_label_mapping=label_maps.restricted_label_mapping
        ),
    ),
    Mend(
        name="custom_label_mapping",
        where="tools/helpers.py:188",
        why="A number is a folder's position, and the WordNet ids that one is to give match none.",
        present=lambda module: _loses_the_classes(module.custom_label_mapping, [{0}]),
        apply=lambda module: module.__dict__.update(
            custom_label_mapping=label_maps.custom_label_mapping
        ),
    ),
)
