"""Mends `robustness.tools.helpers`: accuracy, averages, estimated gradients, label maps."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..attack.estimation import calc_est_grad
from ..data import label_maps
from ..data.prefetcher import DataPrefetcher
from ..mend import Mend, bind, derive, fails

if TYPE_CHECKING:
    from robustness.tools.helpers import AverageMeter as UpstreamMeter
else:
    UpstreamMeter = object

__all__ = ["MENDS", "accuracy"]


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


class AverageMeter(UpstreamMeter):
    """Keeps the latest value and the average of all so far, weighted by `n`."""

    def update(self, val: Any, n: int = 1) -> None:
        """Count `val` as `n` values; none at all leaves the average as it was."""
        if n == 0:
            self.val = val
        else:
            super().update(val, n)


def _normalize_any_channels(module: ModuleType) -> None:
    upstream = module.InputNormalize.__init__

    @functools.wraps(upstream)
    def __init__(self: Any, new_mean: Any, new_std: Any) -> None:
        upstream(self, *(torch.as_tensor(one).flatten() for one in (new_mean, new_std)))

    module.InputNormalize.__init__ = __init__


def _normalized(self: Any, x: Tensor) -> Tensor:
    """`InputNormalize.forward`: (x - mean) / std, x clamped to [0, 1].

    The gradient is that of x wherever x is in [0, 1], and 0 outside.
    """
    outside = (x < 0) | (x > 1)
    inside = torch.where(outside, x.detach().clamp(0, 1), x)
    normalized: Tensor = (inside - self.new_mean) / self.new_std
    return normalized


def _stops_at_the_bounds(module: ModuleType) -> bool:
    with torch.inference_mode(False), torch.enable_grad():
        black = torch.zeros(1, 1, 1, 1, requires_grad=True)
        normalizer = module.InputNormalize(torch.zeros(1), torch.ones(1))
        (gradient,) = torch.autograd.grad(normalizer(black).sum(), black)
    return not gradient.any()


def _miscounts(module: ModuleType) -> bool:
    logits, labels = torch.eye(2), torch.arange(2)
    return (
        fails(lambda: module.accuracy(logits, labels, topk=(5,)), RuntimeError)
        or len(module.accuracy(logits, labels, topk=(2,), exact=True)[0]) != 2
    )


def _loses_the_classes(mapping: Callable[..., Any], ranges: Sequence[Any]) -> bool:
    return mapping(["n01440764"], {"n01440764": 0}, ranges)[0] is None


def _lacks(function: str, parameter: str) -> Callable[[ModuleType], bool]:
    return lambda module: parameter not in inspect.signature(getattr(module, function)).parameters


MENDS: tuple[Mend, ...] = (
    Mend.replacing(
        accuracy,
        "tools/helpers.py:41",
        "A k above the number of classes fails, an empty batch too; exact top-5 is 5N long.",
        _miscounts,
    ),
    Mend(
        name="InputNormalize",
        where="tools/helpers.py:90",
        why="The mean of one channel, given as a number, or one of shape (C, 1, 1), ends in a "
        "normaliser of another shape, which no checkpoint fits.",
        present=lambda module: module.InputNormalize(*torch.ones(2)).new_mean.dim() != 3,
        apply=_normalize_any_channels,
    ),
    Mend(
        name="InputNormalize.forward",
        where="tools/helpers.py:98",
        why="Since torch 2.14 clamp has no gradient at its bounds: a pixel that is 0 or 1 never "
        "moves again.",
        present=_stops_at_the_bounds,
        apply=bind("InputNormalize", forward=_normalized),
    ),
    Mend(
        name="AverageMeter.update",
        where="tools/helpers.py:151",
        why="An empty first batch divides by zero.",
        present=lambda module: fails(
            lambda: module.AverageMeter().update(0.0, 0), ZeroDivisionError
        ),
        apply=derive("AverageMeter", AverageMeter),
    ),
    Mend.replacing(
        calc_est_grad,
        "tools/helpers.py:20",
        "All queries run as one batch, a single query fails, channels_last images fail.",
        _lacks("calc_est_grad", "max_batch"),
    ),
    Mend.replacing(
        DataPrefetcher,
        "tools/helpers.py:103",
        "Needs CUDA, gives one batch too many, takes pairs only, mixes nested loops up.",
        _lacks("DataPrefetcher", "device"),
    ),
    Mend.replacing(
        label_maps.restricted_label_mapping,
        "tools/helpers.py:172",
        "A label is the folder's position, wrong in an incomplete or polluted tree.",
        lambda module: _loses_the_classes(module.restricted_label_mapping, [(0, 0)]),
    ),
    Mend.replacing(
        label_maps.custom_label_mapping,
        "tools/helpers.py:188",
        "A number is a folder's position, and the WordNet ids that one is to give match none.",
        lambda module: _loses_the_classes(module.custom_label_mapping, [{0}]),
    ),
)
