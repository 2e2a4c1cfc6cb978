"""Section 4.1, Fig. 4 and 5: how near R(x2) can an image come within an L2 ball around x1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from ..models.inputs import images_for
from ..models.loading import Model, Normalize, as_model
from ..models.representation import representation
from ..results.plots import Line, curve_figure
from ..results.result import Result, spread
from ..results.synthesis import Synthesis
from ..runtime.errors import InputError
from ..runtime.images import Images
from ..runtime.numbers import ascending
from ..runtime.signatures import keywords
from ..synthesis import Progress, optimize
from ..synthesis.objectives import RepresentationMatching
from ..synthesis.settings import FASTEST, Options, Settings, at_size
from .inversion import near_enough

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["FIGURE_5", "Curve", "default_radii", "invert_within"]

FIGURE_5 = (2, 8, 32, 128)
"""The paper's radii, at 224 pixels."""

FEWEST = 5
"""Pairs that a band needs."""


@dataclass(frozen=True, repr=False)
class Curve(Result):
    """Relative distance to the target against the radius allowed around the source.

    Attributes
    ----------
    radii
        (R,), in the order given.
    synthesis
        The one run behind it, R * N images: N for each radius, one radius after the other.
    """

    radii: Tensor
    synthesis: Synthesis

    @property
    def distance(self) -> Tensor:
        """(R, N), min ||R(x1 + delta) - R(x2)|| / ||R(x2)|| over ||delta|| <= radius."""
        return self.synthesis.objective.view(len(self.radii), -1)

    @property
    def images(self) -> Tensor:
        """(R, N, C, H, W), where it is reached (Fig. 5)."""
        return self.synthesis.images.unflatten(0, (len(self.radii), -1))

    @property
    def sources(self) -> Tensor:
        """(N, C, H, W), the images x1."""
        return self.synthesis.start[: self.distance.shape[1]]

    @property
    def targets(self) -> Tensor:
        """(N, C, H, W), the images x2."""
        images = self.synthesis.target_images
        if images is None:
            raise InputError("the run was stored without its targets: make it again")
        return images[: self.distance.shape[1]]

    @property
    def mean(self) -> Tensor:
        """(R,), the mean over pairs."""
        return self.distance.mean(dim=1)

    def band(
        self, *, confidence: float = 0.95, seed: int = 0
    ) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """Bootstrap confidence band of the mean over pairs: low (R,) and high (R,).

        None, None with fewer than five pairs, of which resampling says next to nothing.
        """
        if self.distance.shape[1] < FEWEST:
            return None, None
        from scipy.stats import bootstrap  # slow to import: only where it is needed

        interval = bootstrap(
            (self.distance.numpy(),),
            np.mean,
            axis=1,
            confidence_level=confidence,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        return torch.from_numpy(interval.low).float(), torch.from_numpy(interval.high).float()

    def figure(self) -> Figure:
        """Mean distance against radius, with its band where there is one: Fig. 4."""
        return curve_figure(self.radii, [self.line()])

    def line(self, label: str = "") -> Line:
        """The mean and its band, as figures take them."""
        low, high = self.band()
        return Line(self.mean, low, high, label, self.distance.shape[1])

    def to_frame(self) -> pandas.DataFrame:
        """A row for each radius and pair, in the order of the images of `synthesis`."""
        frame = self.synthesis.to_frame().rename(columns={"objective": "distance"})
        pairs = self.distance.shape[1]
        frame.insert(0, "radius", self.radii.repeat_interleave(pairs).tolist())
        frame.insert(1, "pair", list(range(pairs)) * len(self.radii))
        return frame

    def _told(self) -> tuple[str, str]:
        radii, pairs = self.distance.shape
        return (
            f"Curve of {pairs} pairs at {radii} radii, {spread(self.radii)}: mean distance "
            f"{', '.join(f'{one:.3g}' for one in self.mean.tolist())}"
        ), self.synthesis.made()

    def _check(self) -> None:
        self.synthesis._check()
        if self.radii.dim() != 1 or len(self.synthesis) % len(self.radii):
            raise ValueError(f"{len(self.synthesis)} images at {len(self.radii)} radii")


@keywords(Options)
def invert_within(
    model: Model,
    targets: Images,
    sources: Images,
    *,
    radii: Sequence[float] | None = None,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Curve:
    """Match R(x2) within balls of growing radius around x1, all radii and pairs in one run.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    targets, sources
        The images x2 and x1, (N, C, H, W) in [0, 1].
    radii
        L2 radii in pixel space, ascending. By default Fig. 5's, 2, 8, 32 and 128 at 224 pixels,
        brought to the size of the images, see `robust_reps_ext.synthesis.settings.at_size`; under
        ``constraint="inf"`` they are divided by sqrt(C H W), which moves an image as far.
    seed
        Recorded.
    progress
        True for a bar, or ``progress(steps_done, steps_in_all, mean_distance)``.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    **options
        See `robust_reps_ext.synthesis.settings.Options`; `eps` is what `radii` gives, the rest
        by default as for `invert`. With ``schedule="paper"`` steps are the paper's, but no longer
        than a tenth of the radius, which a longer step would overshoot. The best iterate counts.

    Returns
    -------
    Curve

    Raises
    ------
    InputError
        If radii are empty, negative or not ascending, or the shapes of the images differ.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> x1, x2 = torch.rand(2, 2, 3, 64, 64)
    >>> curve = rr.invert_within(model, x2, x1, radii=(1, 4), iterations=3)
    >>> curve.distance.shape
    torch.Size([2, 2])
    """
    model = as_model(model, normalize)
    targets = images_for(model, "targets", targets)
    sources = images_for(model, "sources", sources)
    if targets.shape != sources.shape:
        raise InputError(
            f"targets have shape {tuple(targets.shape)}, sources {tuple(sources.shape)}: "
            "give pairs of images of one size"
        )
    if radii is None:
        radii = default_radii(targets, options.get("constraint"))
    radius = _checked(radii, options)
    n, r = len(targets), len(radius)
    each = radius.repeat_interleave(n)
    given: Options = {**options, "eps": each}
    # A schedule whose steps grow short cannot overshoot, and starts as long as the ball allows.
    if given.get("step_size") is None and given.get("schedule") == "paper":
        given["step_size"] = (each / 10).clamp(max=Settings.paper(targets, {}).step_size)
    settings = Settings.paper(targets, given, schedule=FASTEST, use_best=True)
    result = optimize(
        model,
        RepresentationMatching(fake_relu=settings.fake_relu),
        target=representation(model, targets, layer=settings.layer).repeat(r, 1),
        start=sources.repeat(r, 1, 1, 1),
        settings=settings,
        stop_when=near_enough(settings, options),
        target_images=targets.repeat(r, 1, 1, 1),
        numbers=(settings.first + torch.arange(n)).repeat(r),
        seed=seed,
        progress=progress,
    )
    return Curve(radius, result)


def default_radii(images: Tensor, constraint: Any = None) -> list[float]:
    """Fig. 5's for images (N, C, H, W) of this size; of an L-inf ball, those that move as far."""
    return [at_size(radius, images, constraint=constraint) for radius in FIGURE_5]


def _checked(radii: Sequence[float], options: Options) -> Tensor:
    if options.get("eps") is not None:
        raise InputError("eps is what radii give here: leave one of them out")
    if str(options.get("constraint")) == "unconstrained":
        raise InputError('constraint="unconstrained" has no radius: choose another')
    return torch.tensor(ascending("radii", radii, finite=False))
