"""Starts of generation (Santurkar et al. 2019): a Gaussian of each class, downsampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..results.figures import Row, image_grid
from ..results.folder import digest_of
from ..results.result import Result
from ..runtime.batches import batches
from ..runtime.errors import InputError
from ..runtime.labels import as_labels
from ..runtime.numbers import whole
from ..runtime.randomness import GAUSSIAN, normal
from .sweeps import watched

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["ClassGaussians", "fit_gaussians", "kept_gaussians"]

DOWNSAMPLE = 4
"""Theirs at 224 pixels: so the full covariance has 9408 rows, not 150,528."""


@dataclass(frozen=True, repr=False)
class ClassGaussians(Result):
    """A Gaussian of the images of each class, downsampled by averaging squares of pixels.

    Attributes
    ----------
    mean
        (K, C, h, w), of the downsampled images.
    factor
        (K, r, C, h, w): of a class, flattened to (r, C h w), A with A^T A the covariance, divided
        by the number of images as theirs. r is the smaller of C h w and the most images of a class.
    count
        (K,), images of each class; 0 where there was none.
    downsample
        Height and width of a square of pixels that became one.
    fitted_on
        What the images were, as `fit_gaussians` was told.
    """

    mean: Tensor
    factor: Tensor
    count: Tensor
    downsample: int
    fitted_on: dict[str, Any]

    def covariance(self, label: int) -> Tensor:
        """(C h w, C h w), of one class."""
        flat = self.factor[label].flatten(1)
        return flat.T @ flat

    def sample(self, classes: Any, *, seed: int = 0, first: int = 0) -> Tensor:
        """Draw an image for each class in a list; the draw belongs to the seed and its number.

        Parameters
        ----------
        classes
            (N,), whole numbers.
        seed
            Of the draw, 0 or more.
        first
            Number of the first image among all that are drawn with this seed.

        Returns
        -------
        Tensor
            (N, C, H, W), the mean + A^T w with w from N(0, I), clamped to [0, 1]; each of its
            pixels becomes a square, as theirs do.

        Raises
        ------
        InputError
            If a class is out of range, or had no image.

        Examples
        --------
        >>> import torch
        >>> from robust_reps_ext.experiments.gaussians import fit_gaussians
        >>> images, labels = torch.rand(6, 3, 8, 8), torch.tensor([0, 1, 0, 1, 0, 1])
        >>> fit_gaussians([(images, labels)], classes=2).sample([1, 1, 0]).shape
        torch.Size([3, 3, 8, 8])
        """
        chosen = as_labels(classes, len(classes), len(self.count))
        for label in chosen.tolist():
            if not self.count[label]:
                raise InputError(
                    f"class {label} has no Gaussian: no image was of it; give images of it, or "
                    'start="noise"'
                )
        numbers = range(first, first + len(chosen))
        weights = normal(numbers, (self.factor.shape[1],), seed=seed, stream=GAUSSIAN)
        drawn = torch.stack(
            [
                self.mean[label] + (row @ self.factor[label].flatten(1)).view_as(self.mean[label])
                for label, row in zip(chosen.tolist(), weights, strict=True)
            ]
        )
        return enlarged(drawn.clamp(0, 1), self.downsample)

    def figure(self) -> Figure:
        """The means, and one draw of each class."""
        there = self.count.nonzero().flatten()
        means = enlarged(self.mean[there].clamp(0, 1), self.downsample)
        rows = [Row(means, "mean", [str(i) for i in there.tolist()], below="class")]
        return image_grid([*rows, Row(self.sample(there), "drawn")])

    def to_frame(self) -> pandas.DataFrame:
        """A row for each class: how many images, and the total variance."""
        import pandas

        variance = self.factor.square().flatten(1).sum(1)
        return pandas.DataFrame({"images": self.count.tolist(), "variance": variance.tolist()})

    def _told(self) -> tuple[str, str]:
        size = "x".join(map(str, self.mean.shape[1:]))
        told = ", ".join(f"{name} {value}" for name, value in self.fitted_on.items())
        return (
            f"Gaussians of {int((self.count > 0).sum())} classes, {size}, of {self.count.sum()} "
            f"images downsampled by {self.downsample}",
            told or "of images that were given",
        )

    def _check(self) -> None:
        k = len(self.count)
        if self.mean.dim() != 4 or len(self.mean) != k or self.downsample < 1:
            raise ValueError("the shapes of mean and count do not fit")
        if self.factor.dim() != 5 or self.factor.shape[2:] != self.mean.shape[1:]:
            raise ValueError("the shapes of factor and mean do not fit")
        if len(self.factor) != k or self.count.dim() != 1 or int(self.count.min()) < 0:
            raise ValueError("the shapes of factor and count do not fit")
        if not (self.mean.isfinite().all() and self.factor.isfinite().all()):
            raise ValueError("a number is not finite")


def fit_gaussians(
    data: Any,
    *,
    classes: int,
    downsample: int = DOWNSAMPLE,
    most: int | None = None,
    fitted_on: dict[str, Any] | None = None,
) -> ClassGaussians:
    """Fit the Gaussian of each class, in one pass over batches of images and labels.

    Parameters
    ----------
    data
        A loader or a data set of (images, labels), images (N, C, H, W) in [0, 1].
    classes
        How many there are.
    downsample
        Squares of so many pixels a side become their mean, by default 4, as theirs at 224 pixels;
        1 leaves images as they are (theirs for CIFAR).
    most
        Leave out further images of a class once it has so many; default: take all.
    fitted_on
        What the images are, for the file.

    Returns
    -------
    ClassGaussians
        Their samples have the mean and the covariance of the images. Nothing is added to the
        covariance (theirs: 0.0001 to its diagonal, which a matrix of full rank needs). Memory holds
        at most 2 C h w images of each class, downsampled: the rest is folded in by a QR
        decomposition in float64.

    Raises
    ------
    InputError
        If there are no images or labels, a label is out of range, or `downsample` does not divide
        height and width.

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.experiments.gaussians import fit_gaussians
    >>> images, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 0, 1])
    >>> fit_gaussians([(images, labels)], classes=2, downsample=2).mean.shape
    torch.Size([2, 3, 4, 4])
    """
    classes, downsample = whole("classes", classes, 1), whole("downsample", downsample, 1)
    most = None if most is None else whole("most", most, 1)
    sums = [_Rows() for _ in range(classes)]
    shape: torch.Size | None = None
    for images, labels in batches(data):
        if labels is None:
            raise InputError("the data has no labels: give batches (images, labels)")
        wanted = as_labels(labels, len(images), classes)
        small = shrunk("images", images, downsample)
        if shape is not None and small.shape[1:] != shape:
            raise InputError("the images are of several sizes: give images of one size")
        shape = small.shape[1:]
        for label in wanted.unique().tolist():
            sums[label].add(small[wanted == label].flatten(1).double(), most)
        if most is not None and all(one.count >= most for one in sums):
            break
    if shape is None:
        raise InputError("the data has no images: give some of each class")
    size = shape.numel()
    found = [one.mean_and_factor(size) for one in sums]
    rank = max(len(factor) for _, factor in found)
    factors = torch.zeros(classes, rank, size)
    for padded, (_, factor) in zip(factors, found, strict=True):
        padded[: len(factor)] = factor
    return ClassGaussians(
        torch.stack([mean for mean, _ in found]).float().view(classes, *shape),
        factors.view(classes, rank, *shape),
        torch.tensor([one.count for one in sums]),
        downsample,
        dict(fitted_on or {}),
    )


def kept_gaussians(
    folder: Path,
    images: Any,
    *,
    classes: int,
    downsample: int = DOWNSAMPLE,
    fitted_on: dict[str, Any],
    progress: Callable[[int, int], None],
) -> ClassGaussians:
    """Those in the file of a folder that was fitted on the same; else fit them and write it.

    Parameters
    ----------
    folder
        Where the file is, or goes: ``gaussians-<digest of what it was fitted on>.safetensors``.
    images
        A data set of (image, label).
    classes, downsample
        See `fit_gaussians`.
    fitted_on
        What tells the images from others; their number is added.
    progress
        ``progress(images_done, images_in_all)``.

    Raises
    ------
    InputError
        If the file is damaged, or an image cannot be read.
    """
    facts = {**fitted_on, "images": len(images), "classes": classes, "downsample": downsample}
    path = folder / f"gaussians-{digest_of(facts)[:16]}.safetensors"
    if path.exists():
        found = ClassGaussians.load(path)
        if found.fitted_on != facts:
            raise InputError(f"{path} was fitted on other images than its name says: remove it")
        return found
    watching = watched(images, 256, progress)
    found = fit_gaussians(watching, classes=classes, downsample=downsample, fitted_on=facts)
    folder.mkdir(parents=True, exist_ok=True)
    found.save(path)
    return found


class _Rows:
    """The images of a class, flattened, with a 1 before each; many become the R of their QR.

    R^T R is what the rows' product is: its corner the number of images, then the sums.
    """

    def __init__(self) -> None:
        self.count, self.rows = 0, torch.empty(0, 0, dtype=torch.float64)

    def add(self, flat: Tensor, most: int | None) -> None:
        flat = flat if most is None else flat[: max(0, most - self.count)]
        if not len(flat):
            return
        self.count += len(flat)
        ones = flat.new_ones(len(flat), 1)
        new = torch.cat([ones, flat], dim=1)
        self.rows = torch.cat([self.rows, new]) if self.rows.numel() else new
        if len(self.rows) > 2 * self.rows.shape[1]:
            self.rows = torch.linalg.qr(self.rows, mode="r").R

    def mean_and_factor(self, size: int) -> tuple[Tensor, Tensor]:
        """The mean (size,), and A (r, size)."""
        if not self.count:
            return torch.zeros(size), torch.zeros(1, size)
        r = torch.linalg.qr(self.rows, mode="r").R
        # The first row is the mean (both times the root of the number), the others what is left.
        mean = r[0, 1:] / r[0, 0]
        factor = r[1:, 1:] / self.count**0.5
        return mean, factor if len(factor) else torch.zeros(1, size)


def shrunk(name: str, images: Tensor, by: int) -> Tensor:
    """Images whose pixels are the means of squares of `by` x `by` pixels."""
    height, width = images.shape[-2:]
    if height % by or width % by:
        raise InputError(
            f"{name} of {height} x {width} pixels cannot be downsampled by {by}: choose a factor "
            "that divides both"
        )
    return F.avg_pool2d(images, by) if by > 1 else images


def enlarged(images: Tensor, by: int) -> Tensor:
    """Images each of whose pixels becomes a square of `by` x `by`."""
    return images.repeat_interleave(by, dim=-2).repeat_interleave(by, dim=-1)
