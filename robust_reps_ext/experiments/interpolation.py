"""Appendix A.5: images between two images, by interpolating between their representations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from robustness.attacker import AttackerModel
from torch import Tensor
from typing_extensions import Unpack

from ..models.inputs import images_for
from ..models.loading import Model, Normalize, as_model
from ..models.representation import representation
from ..results.figures import Channels, panel_figure
from ..results.layouts import interpolations
from ..results.result import Result, spread
from ..results.synthesis import MOST_SHOWN, Synthesis
from ..runtime.errors import InputError
from ..runtime.images import Images
from ..runtime.numbers import whole
from ..runtime.signatures import keywords
from ..synthesis import Progress, optimize
from ..synthesis.objectives import InterpolationTarget
from ..synthesis.settings import FASTEST, Options, Settings
from .inversion import near_enough

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["Interpolation", "interpolate", "interpolates"]


@dataclass(frozen=True, repr=False)
class Interpolation(Result):
    """A path between two images, for each of N pairs.

    Attributes
    ----------
    weights
        (T + 1,), lambda = 0, 1/T, ..., 1: the share of the left image.
    synthesis
        The one run behind it, N * (T + 1) images: the T + 1 of a pair after each other.
    """

    weights: Tensor
    synthesis: Synthesis

    @property
    def images(self) -> Tensor:
        """(N, T + 1, C, H, W), the interpolates of equation (6)."""
        return self.synthesis.images.unflatten(0, (-1, len(self.weights)))

    @property
    def blend(self) -> Tensor:
        """(N, T + 1, C, H, W), the pixel blends they started from."""
        return self.synthesis.start.unflatten(0, (-1, len(self.weights)))

    @property
    def distance(self) -> Tensor:
        """(N, T + 1), relative distance to the interpolated representation."""
        return self.synthesis.objective.view(-1, len(self.weights))

    def figure(self, *, channels: Channels | None = None) -> Figure:
        """For each pair pixel blends, and interpolates, from the left image to the right: Fig. 12.

        `channels` are those that are shown, see `robust_reps_ext.results.figures.image_grid`.
        """
        numbers = [str(i + 1) for i in range(len(self.distance))]
        ends = ([f"left {i}" for i in numbers], [f"right {i}" for i in numbers])
        shown = interpolations({"representation": self.synthesis}, self.weights.tolist(), *ends)
        return panel_figure(shown, channels=channels)

    def _some(self) -> Interpolation:
        pairs = max(1, 2 * MOST_SHOWN // len(self.weights))
        return Interpolation(self.weights, self.synthesis[: pairs * len(self.weights)])

    def to_frame(self) -> pandas.DataFrame:
        """A row for each pair and weight, in the order of the images of `synthesis`."""
        frame = self.synthesis.to_frame().rename(columns={"objective": "distance"})
        pairs, steps = self.distance.shape
        frame.insert(0, "pair", [pair for pair in range(pairs) for _ in range(steps)])
        frame.insert(1, "lambda", self.weights.tolist() * pairs)
        return frame

    def _told(self) -> tuple[str, str]:
        pairs, steps = self.distance.shape
        return (
            f"Interpolation of {pairs} pairs in {steps - 1} steps, distance {spread(self.distance)}"
        ), self.synthesis.made()

    def _check(self) -> None:
        self.synthesis._check()
        if self.weights.dim() != 1 or len(self.synthesis) % len(self.weights):
            raise ValueError(f"{len(self.synthesis)} images of {len(self.weights)} weights")


@keywords(Options)
def interpolate(
    model: Model,
    left: Images,
    right: Images,
    *,
    steps: int = 10,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Interpolation:
    """Find images that match lambda R(x1) + (1 - lambda) R(x2): equation (6), Fig. 12, 17, 18.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    left, right
        The images x1 and x2, (N, C, H, W) in [0, 1].
    steps
        T: lambda takes the T + 1 values 0, 1/T, ..., 1.
    seed
        Recorded.
    progress
        True for a bar, or ``progress(steps_done, steps_in_all, mean_distance)``.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    **options
        See `robust_reps_ext.synthesis.settings.Options`; by default those of `invert`, with
        ``schedule="paper"`` the inversion parameters of appendix A.6.2. Each run starts from the
        pixel blend, and the best iterate counts. At lambda 0 and 1, where nothing is to be found,
        the images themselves are the result.

    Returns
    -------
    Interpolation

    Raises
    ------
    InputError
        If steps is below 1 or the shapes of the images differ.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> x1, x2 = torch.rand(2, 1, 3, 64, 64)
    >>> rr.interpolate(model, x1, x2, steps=2, iterations=2).images.shape
    torch.Size([1, 3, 3, 64, 64])
    """
    model = as_model(model, normalize)
    left = images_for(model, "left", left)
    right = images_for(model, "right", right).to(left.device)
    if left.shape != right.shape:
        raise InputError(
            f"left has shape {tuple(left.shape)}, right {tuple(right.shape)}: "
            "give pairs of images of one size"
        )
    steps = whole("steps", steps, 1)
    weights = torch.linspace(0, 1, steps + 1)
    run = interpolates(model, left, right, weights, options, seed=seed, progress=progress)
    return Interpolation(weights, run)


def interpolates(
    model: AttackerModel,
    left: Tensor,
    right: Tensor,
    weights: Tensor,
    options: Options,
    *,
    seed: int,
    progress: bool | Progress,
) -> Synthesis:
    """The images at some lambda between each pair, those of a pair after each other.

    Parameters
    ----------
    model
        As `load_model` returns it.
    left, right
        (N, C, H, W), on one device.
    weights
        The values of lambda, (T,).
    options, seed, progress
        See `interpolate`.
    """
    settings = Settings.paper(left, options, schedule=FASTEST, use_best=True)
    objective = InterpolationTarget(fake_relu=settings.fake_relu)
    shares = weights.to(left.device)
    blend = objective.between(left[:, None], right[:, None], shares.view(-1, 1, 1, 1))
    ends = [representation(model, images, layer=settings.layer) for images in (left, right)]
    target = objective.between(ends[0][:, None], ends[1][:, None], shares.view(-1, 1))
    run = optimize(
        model,
        objective,
        target=target.flatten(0, 1),
        start=blend.flatten(0, 1).clamp(0, 1),
        settings=settings,
        stop_when=near_enough(settings, options),
        numbers=(settings.first + torch.arange(len(left))).repeat_interleave(len(weights)),
        seed=seed,
        progress=progress,
    )
    return _with_ends(run, (weights % 1 == 0).repeat(len(left)))


def _with_ends(run: Synthesis, ends: Tensor) -> Synthesis:
    """The run whose ends, (N,) bool, are the images themselves.

    PGD would leave them where the network computes with less precision than the targets.
    """
    images, values = ends.to(run.images.device), ends.to(run.objective.device)
    shape = (-1, *[1] * (run.images.dim() - 1))
    frames = run.frames
    if frames is not None:
        pixels = (run.start * 255).round().to(frames)
        frames = torch.where(ends.to(frames.device).view(shape), pixels, frames)
    return replace(
        run,
        images=torch.where(images.view(shape), run.start, run.images),
        objective=run.objective.masked_fill(values, 0.0),
        trace=run.trace.masked_fill(ends.to(run.trace.device), 0.0),
        frames=frames,
    )
