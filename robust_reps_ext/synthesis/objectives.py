"""What is optimised: the paper's losses, with the call of upstream's ``custom_loss``.

Each is used as ``model(x, target, make_adv=True, custom_loss=objective,
targeted=objective.targeted, ...)``, and by name as ``--adv-objective`` in training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..models.one_pass import latent_at
from ..runtime.errors import InputError
from ..runtime.numbers import shown
from .protocol import Objective, check_numbers, complete
from .reading import OfRepresentation

__all__ = [
    "ALL",
    "CoordinateMaximization",
    "InterpolationTarget",
    "Objective",
    "RepresentationMatching",
    "check_coordinates",
    "complete",
    "relative_distance",
]

ALL = "all"
SMALLEST_NORM = 1e-12


def check_coordinates(coordinates: Any, size: int) -> Tensor:
    """`coordinates` as int64, (K,); `InputError` unless they are coordinates of R(x) in R^size.

    One number is one coordinate, ``"all"`` every one.
    """
    if isinstance(coordinates, str):
        if coordinates != ALL:
            raise InputError(f'coordinates={coordinates!r}: give numbers, or "{ALL}"')
        return torch.arange(size)
    try:
        found = torch.atleast_1d(torch.as_tensor(coordinates))
        if found.dim() > 1 or found.is_complex() or found.dtype == torch.bool:
            raise TypeError
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"coordinates={shown(coordinates)}: give whole numbers, 0 to {size - 1}"
        ) from None
    if not len(found):
        raise InputError(f"no coordinates: give some of 0 to {size - 1}")
    for i in found.tolist():
        if i != i // 1 or not 0 <= i < size:
            raise InputError(
                f"coordinate {i} is out of range: R(x) has coordinates 0 to {size - 1}"
            )
    return found.long()


def relative_distance(representation: Tensor, target: Tensor) -> Tensor:
    """||R - target||_2 / ||target||_2 for each row, (N, k) and (N, k) to (N,).

    To a target of norm 0 (or below 1e-12, whose ratios would overflow) it is ||R - target||_2.
    """
    distance = torch.linalg.vector_norm(representation - target, dim=1)
    norm = torch.linalg.vector_norm(target, dim=1)
    return distance / norm.where(norm > SMALLEST_NORM, norm.new_ones(()))


class RepresentationMatching(OfRepresentation):
    """min ||R(x) - R(x2)||_2 / ||R(x2)||_2, equations (1) and (4); the target is R(x2), (N, k).

    Parameters
    ----------
    fake_relu
        Let the gradient pass straight through the representation's ReLU.
    layer
        Another layer than the one that the model is read at, by name or as a function of the
        network; the target is ``representation(model, images, layer=layer)``.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> images = torch.rand(2, 3, 64, 64)
    >>> target = rr.representation(model, images.flip(0))
    >>> objective = rr.RepresentationMatching()
    >>> _, found = model(images, target, make_adv=True, custom_loss=objective, targeted=True,
    ...                  constraint="2", eps=3.0, step_size=0.5, iterations=2)
    >>> found.shape
    torch.Size([2, 3, 64, 64])
    """

    name = "representation_matching"
    targeted = True

    def __call__(self, model: nn.Module, inp: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        rep = latent_at(model, inp, *self.reads).float()
        if target.shape != rep.shape:
            raise InputError(
                f"target has shape {tuple(target.shape)}: give R(x) of each image, "
                f"{tuple(rep.shape)} here"
            )
        return relative_distance(rep, target), rep

    def training_target(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The representation of the next image of the batch: equation (1) on training pairs."""
        return self.latent(model, images).roll(1, dims=0)


class InterpolationTarget(RepresentationMatching):
    """min ||R(x) - (lambda R(x1) + (1 - lambda) R(x2))||_2, equation (6), relative as in (4).

    The target is what `between` returns.
    """

    name = "interpolation_target"

    @staticmethod
    def between(left: Tensor, right: Tensor, weight: float | Tensor) -> Tensor:
        """lambda R(x1) + (1 - lambda) R(x2) for representations (N, k), lambda in [0, 1]."""
        return weight * left + (1 - weight) * right

    def training_target(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Half-way between each image's representation and that of the next in the batch."""
        latent = self.latent(model, images)
        return self.between(latent, latent.roll(1, dims=0), 0.5)


class CoordinateMaximization(OfRepresentation):
    """max R(x)_i, equation (5); the target is the coordinate i of each image, (N,) of int64.

    Parameters
    ----------
    fake_relu
        Let the gradient pass straight through the representation's ReLU: a coordinate that is
        off has no other gradient.
    layer
        Another layer than the one that the model is read at, as of `RepresentationMatching`.
    """

    name = "coordinate_maximization"
    targeted = False

    def __call__(self, model: nn.Module, inp: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        rep = latent_at(model, inp, *self.reads).float()
        check_numbers(target, len(rep), "the coordinate of each image")
        if target.is_cpu:  # an accelerator would have to wait
            check_coordinates(target, rep.shape[1])
        return rep.gather(1, target[:, None]).squeeze(1), rep

    def training_target(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """A coordinate for each image, drawn from torch's global generator."""
        size = self.latent(model, images[:1]).shape[1]
        return torch.randint(size, labels.shape[:1]).to(
            images.device, non_blocking=images.device.type == "cuda"
        )
