"""Section 2, Fig. 2: pairs of images with nearly equal representations and different content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from typing_extensions import Unpack

from ..models.inputs import images_for
from ..models.loading import Model, Normalize, as_model
from ..results.figures import Channels
from ..results.result import Result, spread
from ..results.synthesis import MOST_SHOWN, Synthesis, distances
from ..runtime.errors import InputError
from ..runtime.images import Images
from ..runtime.signatures import keywords
from ..synthesis import Progress
from ..synthesis.settings import Options
from .inversion import invert

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["Pairs", "near_pairs"]


@dataclass(frozen=True, repr=False)
class Pairs(Result):
    """Images x1' and x2 with R(x1') near R(x2).

    Attributes
    ----------
    synthesis
        The one run behind them, N images.
    """

    synthesis: Synthesis

    @property
    def images(self) -> Tensor:
        """(N, C, H, W), x2, as given."""
        targets = self.synthesis.target_images
        if targets is None:
            raise InputError("the run was stored without its targets: make it again")
        return targets

    @property
    def sources(self) -> Tensor:
        """(N, C, H, W), the images x1 that the search started from."""
        return self.synthesis.start

    @property
    def found(self) -> Tensor:
        """(N, C, H, W), x1'. Of a standard model it tends to look like x1."""
        return self.synthesis.images

    @property
    def distance(self) -> Tensor:
        """(N,), ||R(x1') - R(x2)|| / ||R(x2)||."""
        return self.synthesis.objective

    @property
    def apart(self) -> Tensor:
        """(N,), ||x1' - x2||, the L2 distance of the two images."""
        return distances(self.found, self.images)

    @property
    def moved(self) -> Tensor:
        """(N,), ||x1' - x1||, how far x1' is from where it started."""
        return distances(self.found, self.sources)

    def figure(self, *, channels: Channels | None = None) -> Figure:
        """The images x2, x1 and x1', with the distance under each: Fig. 2.

        `channels` are those that are shown, see `robust_reps_ext.results.figures.image_grid`.
        """
        return self.synthesis.figure(channels=channels)

    def _some(self) -> Pairs:
        return Pairs(self.synthesis[:MOST_SHOWN])

    def to_frame(self) -> pandas.DataFrame:
        """A row for each pair: the three distances."""
        frame = self.synthesis.to_frame().rename(columns={"objective": "distance"})
        frame.insert(1, "apart", self.apart.tolist())
        return frame

    def _told(self) -> tuple[str, str]:
        return (
            f"{len(self.synthesis)} Pairs, distance {spread(self.distance)}; apart "
            f"{spread(self.apart)}"
        ), self.synthesis.made()

    def _check(self) -> None:
        self.synthesis._check()
        if self.images.shape != self.found.shape:
            raise ValueError("its pairs are of several sizes")


@keywords(Options)
def near_pairs(
    model: Model,
    images: Images,
    *,
    sources: Images | None = None,
    normalize: Normalize = None,
    seed: int = 0,
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> Pairs:
    """Find for each image another one that the model represents almost equally: Fig. 2.

    An inversion that starts from an image of other content.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    images
        The images x2, (N, C, H, W) in [0, 1].
    sources
        The images x1, of the same shape; default: of each image the next one.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.
    seed
        Recorded.
    progress
        True for a bar, or ``progress(steps_done, steps_in_all, mean_distance)``.
    **options
        See `robust_reps_ext.synthesis.settings.Options`; by default those of `invert`,
        with ``schedule="paper"`` the inversion parameters of appendix A.6.2.

    Returns
    -------
    Pairs

    Raises
    ------
    InputError
        If there is one image only and no source, or the shapes differ.

    Examples
    --------
    >>> import torch, torchvision
    >>> import robust_reps_ext as rr
    >>> from robust_reps_ext.experiments.pairs import near_pairs
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> pairs = near_pairs(model, torch.rand(2, 3, 64, 64), iterations=2)
    >>> pairs.found.shape, pairs.distance.shape
    (torch.Size([2, 3, 64, 64]), torch.Size([2]))
    """
    model = as_model(model, normalize)
    images = images_for(model, "images", images)
    if sources is None:
        if len(images) < 2:
            raise InputError("one image has no other to start from: give two or more, or sources")
        sources = images.roll(-1, dims=0)
    result = invert(model, images, start=sources, seed=seed, progress=progress, **options)
    return Pairs(result)
