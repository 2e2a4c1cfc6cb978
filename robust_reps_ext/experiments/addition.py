"""Section 4.2.1: add a feature to images, and stop as soon as it leads."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from typing_extensions import Unpack

from ..models.inputs import images_for
from ..models.loading import Model, Normalize, as_model
from ..models.representation import representation
from ..results.synthesis import Synthesis
from ..runtime.images import Images
from ..runtime.signatures import keywords
from ..synthesis import Progress, optimize
from ..synthesis.objectives import CoordinateMaximization, check_coordinates
from ..synthesis.settings import STEADY, Options, Settings

__all__ = ["add_feature", "outcomes"]


@keywords(Options)
def add_feature(
    model: Model,
    images: Images,
    coordinate: int | Sequence[int],
    *,
    early_stop: bool = True,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Synthesis:
    """Raise R(x)_i from each image until it exceeds every other coordinate: Fig. 11, 23.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    images
        (N, C, H, W) in [0, 1].
    coordinate
        i, one for all images or one for each.
    early_stop
        Leave an image as it is once its R(x)_i is above all other coordinates.
    seed
        Recorded.
    progress
        True for a bar, or ``progress(steps_done, steps_in_all, mean_value)``.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    **options
        See `robust_reps_ext.synthesis.settings.Options`; by default 100 steps whose length
        falls as a cosine. ``schedule="paper"`` is the authors' notebook, 800 steps of 0.1. Either
        goes at most eps 1000 from the image. These lengths are for 224 pixels and scale with the
        image's side.

    Returns
    -------
    Synthesis
        `objective` is R(x)_i of each image.

    Raises
    ------
    InputError
        If a coordinate is out of range.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> added = rr.add_feature(model, torch.rand(2, 3, 64, 64), coordinate=3, iterations=3)
    >>> added.images.shape
    torch.Size([2, 3, 64, 64])
    """
    model = as_model(model, normalize)
    images = images_for(model, "images", images)
    settings = Settings.paper(images, options, schedule=STEADY, step_size=0.1, iterations=800)
    size = representation(model, images[:1], layer=settings.layer).shape[1]
    chosen = check_coordinates(coordinate, size)
    return optimize(
        model,
        CoordinateMaximization(fake_relu=settings.fake_relu),
        target=chosen.expand(len(images)) if len(chosen) == 1 else chosen,
        start=images,
        settings=settings,
        stop_when=_leads if early_stop else None,
        seed=seed,
        progress=progress,
    )


def outcomes(model: Model, added: Synthesis, coordinate: int) -> list[str]:
    """Of each image, whether the coordinate leads, and after how many steps, in words.

    Parameters
    ----------
    model
        That the feature was added for.
    added
        What `add_feature` returned.
    coordinate
        Which was raised.

    Returns
    -------
    list of str
        ``"leads after 96 steps"``, ``"leads already"`` or ``"did not lead in 800 steps"``. Steps
        are counted as the trace has them, of 800 every eighth, rounded up.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.experiments.addition import outcomes
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> images = torch.rand(1, 3, 64, 64)
    >>> added = rr.add_feature(model, images, coordinate=3, iterations=2)
    >>> len(outcomes(model, added, 3))
    1
    """
    latent = representation(model, added.images, layer=added.settings.get("layer"))
    leads = _leads(latent[:, coordinate], latent).tolist()
    # Once an image is left as it is, its value stays; but the last is computed anew, in float32.
    steps, trace = added.trace_steps.tolist(), added.trace
    rounding = 1e-4 if added.settings.get("computed_in") == "float32" else 1e-2
    moving = trace[:-1] != trace[-2:-1]
    moving[-1:] = ~trace[-1:].isclose(trace[-2:-1], rtol=rounding)
    last = [int(column.nonzero().max()) + 1 if column.any() else 0 for column in moving.T]
    return [
        f"did not lead in {_steps(steps[-1])}"
        if not lead
        else f"leads after {_steps(steps[at])}"
        if at
        else "leads already"
        for lead, at in zip(leads, last, strict=True)
    ]


def _steps(count: float) -> str:
    return f"{count:.0f} step{'s' * (count != 1)}"


def _leads(value: Tensor, representation: Tensor) -> Tensor:
    """Whether R(x)_i is above every other coordinate: the largest one, and not shared."""
    first, second = representation.topk(2, dim=1).values.unbind(1)
    return (value >= first) & (first > second)
