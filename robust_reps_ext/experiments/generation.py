"""Images of a class from a random start (Santurkar et al. 2019, section 3.1), or from a sketch."""

from __future__ import annotations

from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor
from typing_extensions import Unpack

from ..models.inputs import channels_of, images_for, size_of
from ..models.loading import Model, Normalize, as_model
from ..results.synthesis import Synthesis
from ..runtime.errors import InputError
from ..runtime.images import Images
from ..runtime.numbers import whole
from ..runtime.signatures import keywords
from ..synthesis import Progress, noise
from ..synthesis.settings import Options, Settings
from .classes import as_classes, toward
from .gaussians import ClassGaussians
from .inversion import is_word

__all__ = ["generate"]


@keywords(Options)
def generate(
    model: Model,
    classes: Any,
    *,
    start: str | ClassGaussians | Images = "noise",
    n: int = 1,
    size: int | None = None,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Synthesis:
    """Make images of classes: min -log softmax(z(x))_y over x near a start.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    classes
        One class y or several, each a number, or a name where the model's file knows them. With
        images as `start`, one for all of them or one for each.
    start
        ``"noise"`` for N(0, 1) / 20 + 0.5, ``"grey"`` for 0.5 everywhere; what `fit_gaussians`
        gives, for a draw of each class (theirs); or images (N, C, H, W) in [0, 1], such as
        sketches.
    n
        Images of each class, by default 1, class after class; of no use with images as `start`.
    size
        Height and width of images from noise or grey; default: what the model's file tells.
    seed
        For the draws.
    progress
        True for a bar, or ``progress(steps_done, steps_in_all, mean_cross_entropy)``.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    **options
        See `robust_reps_ext.synthesis.settings.Options`. By default theirs: 60 steps of 1 within
        eps 40 of the start. These lengths are for 224 pixels and scale with the image's side.

    Returns
    -------
    Synthesis
        `objective` is the cross-entropy to the class.

    Raises
    ------
    InputError
        If there is no such class or it has no Gaussian, nothing tells the size, or a setting is
        out of range.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> made = rr.generate(model, [2, 7], n=2, size=64, iterations=2)
    >>> made.images.shape
    torch.Size([4, 3, 64, 64])
    """
    model = as_model(model, normalize)
    n, first = whole("n", n, 1), whole("first", options.get("first") or 0)
    if isinstance(start, ClassGaussians) or is_word(start):
        begin, wanted = _drawn(model, classes, start, n, size, seed, first)
    else:
        if n != 1:
            raise InputError(f"n={n}: with images as start there is one result for each: leave out")
        begin = images_for(model, "start", start)
        wanted = as_classes(model, classes, begin)
    settings = Settings.paper(begin, options, eps=40.0, step_size=1.0, iterations=60)
    return toward(model, wanted, begin, settings, seed=seed, progress=progress)


def _drawn(
    model: AttackerModel,
    classes: Any,
    start: str | ClassGaussians,
    n: int,
    size: int | None,
    seed: int,
    first: int,
) -> tuple[Tensor, Tensor]:
    """The starts, and the class of each."""
    alone = isinstance(classes, (str, int)) or getattr(classes, "ndim", None) == 0
    many = 1 if alone else len(classes)
    if not many:
        raise InputError("no classes: give one or several")
    if isinstance(start, ClassGaussians):
        channels, height, width = start.mean.shape[1:]
        if channels != channels_of(model):
            raise InputError(
                f"the Gaussians are of {channels} channels, the model takes {channels_of(model)}: "
                "fit them to images as the model takes them"
            )
        shape = (height * start.downsample, width * start.downsample)
    else:
        shape = (_side(model, size),) * 2
    like = torch.full((many, channels_of(model), *shape), 0.5)
    wanted = as_classes(model, classes, like).repeat_interleave(n)
    like = like.repeat_interleave(n, dim=0)
    if isinstance(start, ClassGaussians):
        return start.sample(wanted, seed=seed, first=first), wanted
    if start == "noise":
        return noise(like, seed=seed, first=first), wanted
    if start == "grey":
        return like, wanted
    raise InputError(
        f'start={start!r} is not known: give "noise", "grey", what fit_gaussians gives, or images'
    )


def _side(model: AttackerModel, size: int | None) -> int:
    if size is not None:
        return whole("size", size, 1)
    told = size_of(model)
    if told is None:
        raise InputError("nothing says which size of images the model takes: give size=")
    return told
