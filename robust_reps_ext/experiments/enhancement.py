"""Images whose class is made plainer to people (Gaziv et al. 2023, Talbot et al. 2025)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from robustness.attacker import AttackerModel
from torch import Tensor
from typing_extensions import Unpack

from ..models.inputs import images_for
from ..models.loading import Model, Normalize, as_model
from ..results.synthesis import Synthesis
from ..runtime.errors import InputError
from ..runtime.images import Images
from ..runtime.numbers import shown
from ..runtime.signatures import keywords
from ..synthesis import Progress
from ..synthesis.class_objectives import ClassCrossEntropy, ClassLogit, Diverge
from ..synthesis.protocol import Objective
from ..synthesis.settings import Options, Settings
from .accuracy import logits, predicted_labels
from .classes import as_classes, toward

__all__ = ["ENHANCED", "OBJECTIVES", "difficulty", "enhance"]

OBJECTIVES: Mapping[str, Callable[[], Objective]] = {
    "logit": ClassLogit,
    "cross-entropy": ClassCrossEntropy,
    "diverge": Diverge,
}
# Of Talbot et al. 2025 for ImageNet, at 224 pixels.
ENHANCED = {"eps": 20.0, "step_size": 0.5, "iterations": 40}


@keywords(Options)
def enhance(
    model: Model,
    images: Images,
    labels: Any = None,
    *,
    objective: str = "logit",
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Synthesis:
    """Make the class of images plainer: max z(x)_y over x near the image, z being the logits.

    What raises a class for a robust network does so for people, too (Gaziv et al. 2023), who
    learn classes faster from such images, easy ones first (Talbot et al. 2025).

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    images
        (N, C, H, W) in [0, 1].
    labels
        The class y, one for all or one for each, a number, or a name where the model's file knows
        them; default: what the model takes each image for. (Theirs: the true one.)
    objective
        ``"logit"`` (theirs) raises z(x)_y, `ClassLogit`; ``"cross-entropy"`` raises y and lowers
        all other classes, `ClassCrossEntropy`; ``"diverge"`` is the opposite, which lowers y and
        raises no other, `Diverge`.
    seed
        Recorded.
    progress
        True for a bar, or ``progress(steps_done, steps_in_all, mean_objective)``.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    **options
        See `robust_reps_ext.synthesis.settings.Options`. By default those of Talbot et al. 2025 for
        ImageNet: 40 steps of 0.5 within eps 20 of the image. (For dermoscopy: eps 8, 16 steps.)
        These lengths are for 224 pixels and scale with the image's side. All steps together go as
        far as eps: a larger one takes more of them.

    Returns
    -------
    Synthesis
        `objective` is what `objective` names; ``settings["classes"]`` are the classes y, and
        ``settings["difficulty"]`` is what `difficulty` gives of the images as they were.

    Raises
    ------
    InputError
        If there is no such class or objective, or a setting is out of range.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> plainer = rr.enhance(model, torch.rand(2, 3, 64, 64), [4, 7], iterations=2)
    >>> plainer.settings["classes"], len(plainer.settings["difficulty"])
    ([4, 7], 2)
    """
    if not isinstance(objective, str) or objective not in OBJECTIVES:
        raise InputError(
            f"objective={shown(objective)} is not known: choose {' or '.join(OBJECTIVES)}"
        )
    model = as_model(model, normalize)
    images = images_for(model, "images", images)
    settings = Settings.paper(images, options, **ENHANCED)  # type: ignore[arg-type]
    if labels is None:
        labels = predicted_labels(model, images)
    classes = as_classes(model, labels, images)
    found = toward(
        model,
        classes,
        images,
        settings,
        objective=OBJECTIVES[objective](),
        seed=seed,
        progress=progress,
    )
    hard = difficulty(model, images, classes).tolist()
    return replace(found, settings={**found.settings, "difficulty": hard})


def difficulty(model: AttackerModel, images: Tensor, classes: Tensor) -> Tensor:
    """How hard it is to see its class in each image, (N,): -z(x)_y, by a robust network's logits.

    The order is that of Talbot et al. 2025, who bring the logits of a data set to 0 (the highest)
    to 1 (the lowest). Numbers of different networks do not compare.

    Parameters
    ----------
    model
        As `load_model` returns it.
    images
        (N, C, H, W) in [0, 1].
    classes
        y, (N,) of int64.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.experiments.enhancement import difficulty
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> difficulty(model, torch.rand(2, 3, 64, 64), torch.tensor([4, 7])).shape
    torch.Size([2])
    """
    return -logits(model, images).float().gather(1, classes[:, None]).squeeze(1)
