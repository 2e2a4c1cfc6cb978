"""Section 4.2: see what a coordinate of the representation stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor, nn
from typing_extensions import Unpack

from ..models.inputs import images_for
from ..models.loading import Model, Normalize, as_model
from ..models.representation import representation
from ..results.figures import Channels, panel_figure
from ..results.layouts import features
from ..results.result import Result, spread
from ..results.synthesis import MOST_SHOWN, Synthesis
from ..runtime.errors import InputError, warn
from ..runtime.images import Images
from ..runtime.modules import evaluating
from ..runtime.numbers import shown
from ..runtime.signatures import keywords
from ..synthesis import Progress, optimize
from ..synthesis.objectives import CoordinateMaximization, check_coordinates
from ..synthesis.settings import STEADY, Options, Settings
from .parameterizations import step_of
from .regularizers import random_transform

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["Visualization", "visualize"]


@dataclass(frozen=True, repr=False)
class Visualization(Result):
    """What maximises each coordinate, from each seed.

    Attributes
    ----------
    coordinates
        (K,), as given.
    predicted
        (S, K), the class the model gives each image (Fig. 19, 20); -1 where it gives no logits.
    synthesis
        The one run behind it, S * K images: the K coordinates of a seed after each other.
    """

    coordinates: Tensor
    predicted: Tensor
    synthesis: Synthesis

    @property
    def seeds(self) -> Tensor:
        """(S, C, H, W), where the runs started."""
        return self.synthesis.start[:: len(self.coordinates)]

    @property
    def images(self) -> Tensor:
        """(S, K, C, H, W), rows are seeds and columns coordinates, as in Fig. 7."""
        return self.synthesis.images.unflatten(0, (-1, len(self.coordinates)))

    @property
    def value(self) -> Tensor:
        """(S, K), R(x)_i."""
        return self.synthesis.objective.view(-1, len(self.coordinates))

    def figure(self, *, channels: Channels | None = None) -> Figure:
        """A row for each seed: where it began, and what it became for each coordinate: Fig. 7.

        R(x)_i stands under each. `channels` are those that are shown, see
        `robust_reps_ext.results.figures.image_grid`.
        """
        return panel_figure(features(self.synthesis, self.coordinates.tolist()), channels=channels)

    def _some(self) -> Visualization:
        count = len(self.coordinates)
        seeds = max(1, 2 * MOST_SHOWN // count)
        return Visualization(
            self.coordinates, self.predicted[:seeds], self.synthesis[: seeds * count]
        )

    def to_frame(self) -> pandas.DataFrame:
        """A row for each seed and coordinate, in the order of the images of `synthesis`."""
        frame = self.synthesis.to_frame().rename(columns={"objective": "value"})
        seeds, coordinates = self.predicted.shape
        frame.insert(0, "seed_image", [seed for seed in range(seeds) for _ in range(coordinates)])
        frame.insert(1, "coordinate", self.coordinates.tolist() * seeds)
        frame["predicted"] = self.predicted.flatten().tolist()
        return frame

    def _told(self) -> tuple[str, str]:
        seeds, coordinates = self.predicted.shape
        return (
            f"Visualization of {coordinates} coordinates from {seeds} seeds, value "
            f"{spread(self.value)}"
        ), self.synthesis.made()

    def _check(self) -> None:
        self.synthesis._check()
        shape = (len(self.synthesis) // len(self.coordinates), *self.coordinates.shape)
        if self.predicted.shape != shape or len(self.synthesis) != self.predicted.numel():
            raise ValueError(f"{len(self.synthesis)} images of {len(self.coordinates)} coordinates")


class _Transformed:
    """The objective seen through a transformation of the input (Fig. 10).

    The target is a coordinate and the number of the image, which decides what is drawn for it.
    """

    name = "coordinate_maximization"
    targeted = False

    def __init__(
        self, objective: CoordinateMaximization, transform: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        self.objective, self.transform = objective, transform

    def __call__(self, model: nn.Module, inp: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        coordinate, number = target.unbind(1)
        return self.objective(model, self.transform(inp, number), coordinate)

    training_target = CoordinateMaximization.training_target


@keywords(Options)
def visualize(
    model: Model,
    *,
    coordinates: int | Sequence[int] | str,
    seeds: Images,
    transform: str | Callable[[Tensor], Tensor] | None = None,
    parameterization: str = "pixels",
    natural: Images | None = None,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Visualization:
    """Maximise single coordinates of the representation: equation (5), Fig. 7, 19 to 22.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    coordinates
        Which coordinates i of R(x); ``"all"`` for every one.
    seeds
        Images x0 to start from, (S, C, H, W) in [0, 1]; noise and grey are images too, see
        `robust_reps_ext.synthesis.noise`.
    transform
        What is seen of the image in every step, as a regulariser for standard networks (Fig. 10):
        ``"jitter,rotate,scale"``, see `regularizers.random_transform`; or a differentiable
        function of a batch of normalised images, which may not write into its input.
    parameterization
        ``"pixels"``; ``"fourier"`` for steps on a Fourier spectrum of decorrelated colours
        (Fig. 9; of the channels themselves where they are not three), see
        `regularizers.DecorrelatedFourierStep`; ``"maco"`` for steps on its phase alone, its
        magnitude being that of natural images (Fel et al. 2023); ``"multi-resolution"`` for steps
        on images of several resolutions whose sum it is (Fort and Whitaker 2025), see
        `parameterizations`. `step_size` is then a length there, and nothing but [0, 1] bounds the
        image.
    natural
        Of ``"maco"``: images of the seeds' size, whose mean magnitude is kept; default:
        photographs that come with installed packages.
    seed
        For what a named `transform` draws, for each image by its seed image's number and its
        coordinate. A function that draws from torch's global generators meets the same numbers in
        every batch, so that with it results do depend on `batch_size`.
    progress
        True for a bar, or ``progress(steps_done, steps_in_all, mean_value)``.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    **options
        See `robust_reps_ext.synthesis.settings.Options`; by default 100 steps whose length
        falls as a cosine. ``schedule="paper"`` is appendix A.6.1, 200 steps of 1, which a spectrum
        has in any case. Either goes at most eps 1000 from the seed. These lengths are for 224
        pixels and scale with the image's side.

    Returns
    -------
    Visualization

    Raises
    ------
    InputError
        If a coordinate is out of range, or a regulariser is not known.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> seeds = torch.rand(2, 3, 64, 64)
    >>> rr.visualize(model, coordinates=[3, 50, 7], seeds=seeds, iterations=2).images.shape
    torch.Size([2, 3, 3, 64, 64])
    """
    model = as_model(model, normalize)
    seeds = images_for(model, "seeds", seeds)
    step = step_of(parameterization, seeds, natural)
    schedule = STEADY if step is None else "paper"
    settings = Settings.paper(seeds, options, schedule=schedule, iterations=200)
    if not (transform is None or isinstance(transform, str) or callable(transform)):
        raise InputError(
            f"transform={shown(transform)}: give names, such as 'jitter,rotate', or a function"
        )
    moves = (
        random_transform(transform, min(seeds.shape[-2:]))
        if isinstance(transform, str)
        else (None if transform is None else partial(_of_all, transform))
    )
    settings = _parameterized(settings, parameterization, step, options)
    size = representation(model, seeds[:1], layer=settings.layer).shape[1]
    chosen = check_coordinates(coordinates, size)
    s, k = len(seeds), len(chosen)
    target, start = chosen.repeat(s), seeds.repeat_interleave(k, dim=0)
    # Whichever seeds and coordinates are in the run.
    numbers = (settings.first + torch.arange(s)).repeat_interleave(k) * size + target
    objective = CoordinateMaximization(fake_relu=settings.fake_relu)
    result = optimize(
        model,
        objective if moves is None else _Transformed(objective, moves),
        target=target if moves is None else torch.stack([target, numbers], dim=1),
        start=start,
        settings=settings,
        numbers=numbers,
        seed=seed,
        progress=progress,
    )
    predicted = predicted_classes(model, result.images, result.settings["batch_size"])
    return Visualization(chosen, predicted.view(s, k), result)


def predicted_classes(model: AttackerModel, images: Tensor, batch_size: int) -> Tensor:
    """The class of each image, (N,); -1 where the model gives no logits (N, classes)."""
    found = []
    try:
        with evaluating(model), torch.no_grad():
            for batch in images.split(batch_size):
                logits = model(batch, with_image=False)
                if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(batch):
                    return torch.full((len(images),), -1)
                found.append(logits.argmax(1).cpu())
    except Exception as error:  # the images are made already: they count more than their classes
        warn(f"no class is told: {type(error).__name__}: {error}")
        return torch.full((len(images),), -1)
    return torch.cat(found)


def _of_all(transform: Callable[[Tensor], Tensor], images: Tensor, numbers: Tensor) -> Tensor:
    """A transformation that is told nothing of the images' numbers."""
    return transform(images)


def _parameterized(settings: Settings, name: str, step: Any, given: Options) -> Settings:
    if step is None:
        return settings
    if settings.schedule != "paper":
        raise InputError(
            f"schedule={settings.schedule!r} moves pixels, parameterization={name!r} does not: "
            "choose schedule='paper'"
        )
    if given.get("eps") is not None:
        raise InputError(
            f"eps={given['eps']} bounds pixels, parameterization={name!r} has no radius: "
            "leave one of them out"
        )
    for pixels in ("constraint", "mask"):
        if given.get(pixels) is not None:
            raise InputError(
                f"{pixels}= is of pixels, parameterization={name!r} moves all of them together: "
                "leave one of them out"
            )
    return replace(settings, constraint=step)
