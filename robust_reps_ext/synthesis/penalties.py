"""Objectives on the image itself, in [0, 1]: parts of a sum that keep it smooth, or near."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..runtime.errors import InputError
from .sums import Part

__all__ = ["DistanceFromStart", "TotalVariation"]


class TotalVariation(Part):
    """min the mean of ``|x[i + 1, j] - x[i, j]|`` plus that of ``|x[i, j + 1] - x[i, j]|``: 0 to 2.

    It takes no target. Means are over channels and positions, so that a weight means the same at
    every size.

    Examples
    --------
    >>> import torch, robust_reps_ext as rr
    >>> stripes = torch.tensor([0.0, 1.0]).repeat(1, 3, 8, 4)
    >>> values, _ = rr.TotalVariation()(None, stripes, None, stripes)
    >>> values
    tensor([1.])
    """

    name = "total_variation"
    targeted = True
    on_images = True
    takes_target = False
    reads = ()

    def __call__(
        self, model: Any, inp: Tensor, target: Any, images: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        x = _seen(self.name, images)
        total = x.new_zeros(len(x))
        for axis in (2, 3):
            if x.shape[axis] > 1:
                total = total + x.diff(dim=axis).abs().flatten(1).mean(dim=1)
        return total, total[:, None]

    def training_target(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The labels, which are not looked at."""
        return labels


class DistanceFromStart(Part):
    """min the mean of (x - x0)^2 over channels and pixels, in 0 to 1.

    The target is the images x0, (N, C, H, W) in [0, 1]; in `synthesize`, None stands for the start.
    It has no slope at the start itself, and tells a move of many pixels by little from one of few
    by much, as the ball that `eps` is the radius of does; but it is paid for from the first step.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.synthesis.settings import Settings
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> start, targets = torch.rand(2, 3, 64, 64), (torch.tensor([2, 7]), None)
    >>> near = rr.ClassLogit() + 10 * rr.DistanceFromStart()
    >>> rr.synthesize(model, near, targets, start, Settings(2.0, 0.5, 3)).images.shape
    torch.Size([2, 3, 64, 64])
    """

    name = "distance_from_start"
    targeted = True
    on_images = True
    takes_target = False
    reads = ()

    def __call__(
        self, model: Any, inp: Tensor, target: Any, images: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        x = _seen(self.name, images)
        if not isinstance(target, Tensor) or target.shape != x.shape:
            what = tuple(target.shape) if isinstance(target, Tensor) else target
            raise InputError(
                f"target of {self.name} is {what}: give the images that it is from, "
                f"{tuple(x.shape)}"
            )
        values = (x - target).square().flatten(1).mean(dim=1)
        return values, values[:, None]

    def filled(self, target: Any, start: Tensor) -> Any:
        """The start, where there is no target."""
        return start if target is None else target

    def training_target(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The images before the attack."""
        return images


def _seen(name: str, images: Tensor | None) -> Tensor:
    if images is None:
        raise InputError(
            f"{name} is of the images in [0, 1], which were not given: call it through "
            "robust_reps_ext.synthesize, an AttackerModel, or with images="
        )
    return images
