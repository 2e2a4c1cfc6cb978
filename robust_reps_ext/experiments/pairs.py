"""Section 2, Fig. 2: pairs of images with nearly equal representations and different content."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from robustness.attacker import AttackerModel
from torch import Tensor
from typing_extensions import Unpack

from ..results.synthesis import Synthesis
from ..runtime.errors import InputError
from ..runtime.images import as_images
from ..synthesis import Progress
from ..synthesis.settings import Options
from .inversion import invert

__all__ = ["Pairs", "near_pairs"]


@dataclass(frozen=True)
class Pairs:
    """Images x1' and x2 with R(x1') near R(x2).

    Attributes
    ----------
    images
        (N, C, H, W), x2, as given.
    sources
        (N, C, H, W), the images x1 that the search started from.
    found
        (N, C, H, W), x1'. Of a standard model it still looks like x1.
    distance
        (N,), ||R(x1') - R(x2)|| / ||R(x2)||.
    apart
        (N,), ||x1' - x2||, the L2 distance of the two images.
    moved
        (N,), ||x1' - x1||, how far x1' is from where it started.
    synthesis
        The one run behind them.
    """

    images: Tensor
    sources: Tensor
    found: Tensor
    distance: Tensor
    apart: Tensor
    moved: Tensor
    synthesis: Synthesis


def near_pairs(
    model: AttackerModel,
    images: Tensor,
    *,
    sources: Tensor | None = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Pairs:
    """Find for each image another one that the model represents almost equally: Fig. 2.

    An inversion that starts from an image of other content.

    Parameters
    ----------
    model
        As `load_model` returns it, or anything that it takes.
    images
        The images x2, (N, C, H, W) in [0, 1].
    sources
        The images x1, of the same shape; default: of each image the next one.
    seed
        Recorded.
    progress
        True for a bar, or ``progress(steps_done, steps_in_all, mean_distance)``.
    **options
        See `robust_reps_ext.synthesis.settings.Options`; by default the inversion parameters of
        appendix A.6.2.

    Returns
    -------
    Pairs

    Raises
    ------
    InputError
        If there is one image only and no source, or the shapes differ.

    Examples
    --------
    >>> import torch, torchvision
    >>> import robust_reps_ext as rr
    >>> from robust_reps_ext.experiments.pairs import near_pairs
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> pairs = near_pairs(model, torch.rand(2, 3, 64, 64), iterations=2)
    >>> pairs.found.shape, pairs.distance.shape
    (torch.Size([2, 3, 64, 64]), torch.Size([2]))
    """
    images = as_images("images", images)
    if sources is None:
        if len(images) < 2:
            raise InputError("one image has no other to start from: give two or more, or sources")
        sources = images.roll(-1, dims=0)
    result = invert(model, images, start=sources, seed=seed, progress=progress, **options)
    return Pairs(
        images=images,
        sources=result.start,
        found=result.images,
        distance=result.objective,
        apart=_distance(result.images, images),
        moved=_distance(result.images, result.start),
        synthesis=result,
    )


def _distance(left: Tensor, right: Tensor) -> Tensor:
    return torch.linalg.vector_norm((left - right).flatten(1), dim=1)
