"""Move images along directions of the representation, of whatever origin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..models.dictionaries import read_dictionary
from ..models.layer_names import Layer
from ..models.one_pass import latent_at
from ..runtime.errors import InputError
from ..runtime.numbers import shown
from .protocol import check_numbers, in_range
from .reading import OfRepresentation

__all__ = ["Direction"]


class Direction(OfRepresentation):
    """max <R(x), v> / ||v||_2: how far R(x) lies along a direction v of the representation.

    The target is the number of the vector for each image, (N,) of int64. Vectors are brought to
    length 1, so that their lengths do not matter and values of different ones compare; a weight
    before the objective in a sum stands for a length.

    Parameters
    ----------
    vectors
        (K, k), or one (k,), finite and none of them 0: differences of mean representations,
        weights of a linear probe, principal components.
    fake_relu
        Let the gradient pass straight through the representation's ReLU (default): a coordinate
        that is off has no other gradient.
    layer
        Another layer than the one that the model is read at, as of `RepresentationMatching`.

    Raises
    ------
    InputError
        If vectors are none; when called, if they are of another length than R(x), or the target
        is no number of a vector for each image.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.synthesis.settings import Settings
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> images = torch.rand(4, 3, 64, 64)
    >>> rep = rr.representation(model, images)
    >>> towards = rr.Direction(rep[:2].mean(0) - rep[2:].mean(0))
    >>> which = torch.zeros(4, dtype=torch.int64)
    >>> rr.synthesize(model, towards, which, images, Settings(2.0, 0.5, 3)).images.shape
    torch.Size([4, 3, 64, 64])
    """

    name = "direction"
    targeted = False

    def __init__(self, vectors: Any, *, fake_relu: bool = True, layer: Layer | None = None) -> None:
        super().__init__(fake_relu=fake_relu, layer=layer)
        try:
            found = torch.as_tensor(vectors).detach().float()
        except (TypeError, ValueError, RuntimeError):
            found = torch.empty(())
        found = found[None] if found.dim() == 1 else found
        if found.dim() != 2 or not found.numel():
            raise InputError(f"vectors={shown(vectors)}: give directions of R(x), (K, k) or (k,)")
        length = found.norm(dim=1, keepdim=True)
        if not (length.isfinite() & (length > 0)).all():
            bad = int((~(length.isfinite() & (length > 0))).flatten().nonzero()[0])
            raise InputError(f"vector {bad} is 0 or not finite: it is no direction")
        self.vectors = found / length

    @classmethod
    def from_argument(cls, argument: str) -> Direction:
        """Of ``--adv-objective direction:FILE``."""
        return cls(read_dictionary(argument))

    def __call__(self, model: nn.Module, inp: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        rep = latent_at(model, inp, *self.reads).float()
        if rep.shape[1] != self.vectors.shape[1]:
            raise InputError(
                f"directions have {self.vectors.shape[1]} coordinates, R(x) has {rep.shape[1]}: "
                "give directions of this layer of this network"
            )
        check_numbers(target, len(rep), "the number of the direction for each image")
        in_range(target, len(self.vectors), "direction", "there are")
        if self.vectors.device != rep.device:
            self.vectors = self.vectors.to(rep.device)
        return (rep * self.vectors[target]).sum(dim=1), rep

    def training_target(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The number of a direction for each image, from torch's global generator."""
        return torch.randint(len(self.vectors), labels.shape[:1]).to(
            images.device, non_blocking=images.device.type == "cuda"
        )
