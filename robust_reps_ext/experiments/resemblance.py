"""How much images look like others, by measures of images: no network of this package is asked."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..results.plots import Line, shares_figure
from ..results.result import Result
from ..results.synthesis import Synthesis
from ..runtime.errors import InputError
from ..runtime.images import Images, as_images, side_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["Resemblance", "afar", "can_be_measured", "measure_names", "resemblance", "resembling"]

FIELDS = 16
QUALITY = 75
# Of MS-SSIM (Wang, Simoncelli and Bovik 2003), from the finest scale on.
BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11


@dataclass(frozen=True, repr=False)
class Resemblance(Result):
    """How much N images look like their targets.

    Attributes
    ----------
    measures
        Names of the M measures; of each 1 is the same image, and more is more alike.
    values
        (M, N), float64: of the images with their targets.
    chance
        (M, N): the mean over the targets of the other images.
    ceiling
        (M, N): of the targets after they were written as JPEG files of quality 75.
    """

    measures: list[str]
    values: Tensor
    chance: Tensor
    ceiling: Tensor

    def figure(self) -> Figure:
        """The means of each measure, by chance, and of the ceiling, with 95% intervals."""
        rows = {"images": self.values, "chance": self.chance, "ceiling": self.ceiling}
        lines = []
        for name, one in rows.items():
            mean, half = one.mean(dim=1), 1.96 * one.std(dim=1, correction=0) / one.shape[1] ** 0.5
            ends = (mean - half).tolist(), (mean + half).tolist()
            lines.append(Line(mean.tolist(), *ends, name))
        return shares_figure(self.measures, lines)

    def to_frame(self) -> pandas.DataFrame:
        """A row for each image: each measure, with its chance and its ceiling."""
        import pandas

        columns: dict[str, Any] = {"image": [*range(self.values.shape[1])]}
        for i, name in enumerate(self.measures):
            columns[name] = self.values[i].tolist()
            columns[f"{name} by chance"] = self.chance[i].tolist()
            columns[f"{name} ceiling"] = self.ceiling[i].tolist()
        return pandas.DataFrame(columns)

    def rows(self) -> list[tuple[str, float, float, float]]:
        """For each measure its name, and the means of the images, by chance and of the ceiling."""
        means = (one.mean(dim=1).tolist() for one in (self.values, self.chance, self.ceiling))
        return list(zip(self.measures, *means, strict=True))

    def _told(self) -> tuple[str, str]:
        told = ", ".join(
            f"{name} {value:.2f} (chance {chance:.2f}, ceiling {ceiling:.2f})"
            for name, value, chance, ceiling in self.rows()
        )
        return f"Resemblance of {self.values.shape[1]} images to their targets", told

    def _check(self) -> None:
        for one in (self.values, self.chance, self.ceiling):
            if one.dim() != 2 or one.shape != self.values.shape or len(one) != len(self.measures):
                raise ValueError(f"values of shape {tuple(one.shape)}")


def resemblance(images: Images, targets: Images) -> Resemblance:
    """Measure how much images look like their targets, beside what chance and a copy give.

    ``"from afar"`` is the correlation of the averages over 16 x 16 fields. With torchmetrics
    (``pip install 'robust-reps-ext[metrics]'``) there are ``"SSIM"``, and ``"MS-SSIM"`` over as
    many of its five scales as images of this size have. None needs a file of weights.

    Parameters
    ----------
    images
        (N, C, H, W) in [0, 1], N at least 2, at least 16 pixels high and wide.
    targets
        As many, of the same size: the i-th is what the i-th image should look like.

    Returns
    -------
    Resemblance

    Raises
    ------
    InputError
        If the images do not fit, or are fewer than two or too small.

    Examples
    --------
    >>> import torch, robust_reps_ext as rr
    >>> x = torch.rand(4, 3, 32, 32)
    >>> found = rr.resemblance((x + 0.1).clamp(0, 1), x)
    >>> found.measures[0], bool((found.values > found.chance).all())
    ('from afar', True)
    """
    ours = as_images("images", images).cpu()
    theirs = as_images("targets", targets, size=side_of(ours)).cpu()
    if ours.shape != theirs.shape:
        raise InputError(
            f"images have shape {tuple(ours.shape)}, targets {tuple(theirs.shape)}: give as many, "
            "of one size"
        )
    if len(ours) < 2 or min(ours.shape[-2:]) < FIELDS:
        raise InputError(
            f"images have shape {tuple(ours.shape)}: give two or more, of {FIELDS} pixels and more"
        )
    copies = torch.stack([_copied(one) for one in theirs])
    n = len(ours)
    found: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    for name, measure in _measures(ours):
        others = [measure(ours, theirs.roll(shift, dims=0)) for shift in range(1, n)]
        found[name] = measure(ours, theirs), torch.stack(others).mean(0), measure(copies, theirs)
    values, chance, ceiling = (
        torch.stack([one[i].double() for one in found.values()]) for i in range(3)
    )
    return Resemblance([*found], values, chance, ceiling)


def resembling(synthesis: Synthesis) -> Resemblance | None:
    """Of the results with their targets; None where they are too few or too small to say."""
    targets = synthesis.target_images
    if targets is None or not can_be_measured(targets):
        return None
    return resemblance(synthesis.images, targets)


def can_be_measured(targets: Tensor) -> bool:
    """Whether targets (N, C, H, W) are as many and as large as `resemblance` needs."""
    return len(targets) > 1 and min(targets.shape[-2:]) >= FIELDS


def measure_names(targets: Tensor) -> list[str]:
    """The measures that there are for targets (N, C, H, W) of this number and size."""
    return [name for name, _ in _measures(targets)] if can_be_measured(targets) else []


def resemblances(images: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Measure -> (N,), of images with their targets alone; empty where none can be measured."""
    if not can_be_measured(targets):
        return {}
    return {name: measure(images.cpu(), targets.cpu()) for name, measure in _measures(targets)}


def afar(images: Tensor, targets: Tensor) -> Tensor:
    """(N,): the correlation of the averages over 16 x 16 fields, 0 where one has none."""
    ours, theirs = (
        nn.functional.adaptive_avg_pool2d(one, FIELDS).flatten(1).double()
        for one in (images, targets)
    )
    return nn.functional.cosine_similarity(
        ours - ours.mean(1, keepdim=True), theirs - theirs.mean(1, keepdim=True)
    )


def _measures(images: Tensor) -> Iterator[tuple[str, Callable[[Tensor, Tensor], Tensor]]]:
    yield "from afar", afar
    try:
        from torchmetrics.functional import image as torchmetrics
    except ImportError:  # an extra
        return

    def ssim(x: Tensor, y: Tensor) -> Tensor:
        found = torchmetrics.structural_similarity_index_measure(
            x, y, data_range=1.0, reduction="none"
        )
        return cast(Tensor, found).view(len(x))

    def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
        found: Tensor = torchmetrics.multiscale_structural_similarity_index_measure(
            x, y, data_range=1.0, reduction="none", betas=_betas(x), normalize="relu"
        )
        return found.view(len(x))

    yield "SSIM", ssim
    if len(_betas(images)) > 1:
        yield "MS-SSIM", ms_ssim


def _betas(images: Tensor) -> tuple[float, ...]:
    """Weights of as many scales as are not smaller than the window, together 1."""
    side = min(images.shape[-2:])
    scales = [beta for i, beta in enumerate(BETAS) if side // 2**i >= WINDOW]
    return tuple(beta / sum(scales) for beta in scales)


def _copied(image: Tensor) -> Tensor:
    """A target, (C, H, W), after each three of its channels, or each alone, were a JPEG file."""
    parts = image.split(3) if image.shape[0] % 3 == 0 else image.split(1)
    return torch.cat([_as_jpeg(part) for part in parts])


def _as_jpeg(image: Tensor) -> Tensor:
    pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(
        buffer, format="JPEG", quality=QUALITY
    )
    with Image.open(buffer) as copy:
        back = torch.from_numpy(np.array(copy)).float() / 255
    return back.permute(2, 0, 1) if back.dim() == 3 else back[None]
