"""Objectives on the logits z(x) of a network: raise a class, be taken for it, or leave it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.one_pass import LOGITS
from ..runtime.errors import InputError
from .protocol import check_numbers, in_range
from .sums import Part

__all__ = ["ClassCrossEntropy", "ClassLogit", "Diverge"]


class _OfClass(Part):
    """An objective whose target is a class of each image, (N,) of int64."""

    name: str
    targeted: bool
    reads = (LOGITS,)

    def __call__(self, model: nn.Module, inp: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The values (N,), and the logits (N, classes) they come from."""
        logits = model(inp).float()
        check_numbers(target, len(logits), "the class of each image")
        in_range(target, logits.shape[1], "class", "the network has classes")
        return self.values(logits, target), logits

    def values(self, logits: Tensor, target: Tensor) -> Tensor:
        """Of logits (N, classes) and classes (N,): (N,)."""
        raise NotImplementedError

    def training_target(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Another class than the label for each image, from torch's global generator."""
        with torch.no_grad():
            classes = model(images[:1])[0].shape[1]
        if classes < 2:
            raise InputError("the network has one class: there is no other to aim at")
        ahead = torch.randint(1, classes, labels.shape[:1]).to(
            labels.device, non_blocking=labels.device.type == "cuda"
        )
        return (labels + ahead) % classes


class ClassLogit(_OfClass):
    """max z(x)_y, the logit of a class; the target is the class y of each image, (N,) of int64.

    It is how Gaziv et al. 2023 and Talbot et al. 2025 enhance a class in an image. Other logits
    may rise as well; `ClassCrossEntropy` holds them down.

    In training, the adversary raises another class than the label, drawn for each image.

    Raises
    ------
    InputError
        When called, if the target is no class of each image.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.synthesis.settings import Settings
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> classes, start = torch.tensor([2, 7]), torch.rand(2, 3, 64, 64)
    >>> enhanced = rr.synthesize(model, rr.ClassLogit(), classes, start, Settings(2.0, 0.5, 3))
    >>> enhanced.objective.shape
    torch.Size([2])
    """

    name = "class_logit"
    targeted = False

    def values(self, logits: Tensor, target: Tensor) -> Tensor:
        return logits.gather(1, target[:, None]).squeeze(1)


class ClassCrossEntropy(_OfClass):
    """min -log softmax(z(x))_y, the cross-entropy to a class; the target is y, (N,) of int64.

    The class rises and all others fall. Where the network is sure already, it hardly has a slope.
    Santurkar et al. 2019 make and edit images by it.

    In training, the adversary aims at another class than the label, drawn for each image.

    Raises
    ------
    InputError
        When called, if the target is no class of each image.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.synthesis.settings import Settings
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> classes, start = torch.tensor([2, 7]), torch.rand(2, 3, 64, 64)
    >>> settings = Settings(2.0, 0.5, 3)
    >>> rr.synthesize(model, rr.ClassCrossEntropy(), classes, start, settings).images.shape
    torch.Size([2, 3, 64, 64])
    """

    name = "class_cross_entropy"
    targeted = True

    def values(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, reduction="none")


class Diverge(_OfClass):
    """min z(x)_y + log sum over j != y of exp z(x)_j: lower a class and raise no other.

    The target is the class y of each image that it is to leave, (N,) of int64. The slopes with
    respect to the logits are 1 for y and the softmax of the others among themselves for those:
    none is negative, so that no logit gains by another's loss, and of the others the highest is
    held down most. Maximising the cross-entropy to y instead raises whichever class is next. The
    words "lower the true class while raising no other" are those of percept modulation (Gaziv et
    al. 2023, Talbot et al. 2025), the formula is this package's.

    In training, the adversary lowers the label's class.

    Raises
    ------
    InputError
        When called, if the target is no class of each image, or there is one class only.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.synthesis.settings import Settings
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> labels, start = torch.tensor([2, 7]), torch.rand(2, 3, 64, 64)
    >>> rr.synthesize(model, rr.Diverge(), labels, start, Settings(2.0, 0.5, 3)).images.shape
    torch.Size([2, 3, 64, 64])
    """

    name = "diverge"
    targeted = True

    def values(self, logits: Tensor, target: Tensor) -> Tensor:
        if logits.shape[1] < 2:
            raise InputError("the network has one class: there is no other that must not rise")
        others = logits.scatter(1, target[:, None], -torch.inf).logsumexp(1)
        return logits.gather(1, target[:, None]).squeeze(1) + others

    def training_target(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The label of each image."""
        return labels
