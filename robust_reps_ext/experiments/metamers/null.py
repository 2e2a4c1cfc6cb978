"""How alike two images of a data set are by chance: the null distribution of the measures."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Sequence, Sized
from dataclasses import dataclass, replace
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from ...models.inputs import images_for, reading_of
from ...models.loading import Model, as_model, weights_digest
from ...models.stages import LayersReader
from ...results.plots import histogram_figure
from ...results.result import Result
from ...runtime.batches import Batches
from ...runtime.errors import InputError
from ...runtime.images import Images
from ...runtime.modules import device_of, evaluating
from ...runtime.numbers import whole
from ...runtime.randomness import check_seed, own_generators, shuffled
from ...synthesis import Progress
from .likeness import MEASURES, alike, ranks

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["Null", "null_distribution"]

BATCH = 64
SHIFTS = 8  # of the images of a batch: each is the target of so many others
SECONDS = 30.0


@dataclass(frozen=True, repr=False)
class Null(Result):
    """The measures of pairs of different images.

    Attributes
    ----------
    layers
        Names of the L layers.
    values
        (L, P, 3), float64: `MEASURES` of P pairs.
    made_of
        Digests of the weights and of the images, and the seed.
    """

    layers: list[str]
    values: Tensor
    made_of: dict[str, Any]

    def __len__(self) -> int:
        """The number of pairs."""
        return self.values.shape[1]

    def of(self, layer: str) -> Tensor:
        """(P, 3), the measures at a layer.

        Raises
        ------
        InputError
            If it was not measured.
        """
        if layer not in self.layers:
            known = ", ".join(self.layers)
            raise InputError(f"layer {layer!r}: the null distribution is of {known}")
        return self.values[self.layers.index(layer)]

    def chance(self, layer: str, values: Tensor) -> Tensor:
        """How often a pair of different images would be as alike, or more: (n, 3) of p-values.

        Each is (1 + the number of such pairs) / (1 + P), which no number of pairs can make 0.

        Parameters
        ----------
        layer
            One of `layers`.
        values
            (n, 3), in the order of `MEASURES`.
        """
        null = self.of(layer).sort(dim=0).values
        below = torch.stack(
            [
                torch.searchsorted(null[:, i].contiguous(), values[:, i].double().contiguous())
                for i in range(len(MEASURES))
            ],
            dim=1,
        )
        return (1 + len(self) - below).double() / (1 + len(self))

    def quantile(self, layer: str, share: float, *, confidence: float = 0.95) -> Tensor:
        """(3, 3): of each measure the quantile, and the ends of its confidence interval.

        The ends are order statistics, whatever the distribution is; where there are too few pairs
        for one, it is infinite.

        Parameters
        ----------
        layer
            One of `layers`.
        share
            In (0, 1).
        confidence
            Of the interval.
        """
        from scipy.stats import binom  # slow to import: only where it is needed

        if not 0 < share < 1:
            raise InputError(f"share={share}: give a number between 0 and 1")
        null, n = self.of(layer).sort(dim=0).values, len(self)
        tails = ((1 - confidence) / 2, (1 + confidence) / 2)
        low, high = (int(binom.ppf(tail, n, share)) for tail in tails)
        ends = torch.full((2, len(MEASURES)), torch.inf, dtype=torch.float64)
        ends[0] = null[low - 1] if low >= 1 else -torch.inf
        if high < n:
            ends[1] = null[high]
        return torch.stack([null.quantile(share, dim=0), *ends], dim=1)

    def figure(self) -> Figure:
        """A histogram of each measure at each layer."""
        return histogram_figure(
            [self.values[i].T for i in range(len(self.layers))], self.layers, MEASURES
        )

    def to_frame(self) -> pandas.DataFrame:
        """A row for each layer and measure: how many pairs, and where they lie."""
        import pandas

        rows = []
        for layer in self.layers:
            values = self.of(layer)
            for i, measure in enumerate(MEASURES):
                middle, most = float(values[:, i].median()), float(values[:, i].max())
                pairs = {"pairs": len(self), "median": middle, "largest": most}
                rows.append({"layer": layer, "measure": measure, **pairs})
        return pandas.DataFrame(rows)

    def _told(self) -> tuple[str, str]:
        return (
            f"Null distribution of {len(self)} pairs at {len(self.layers)} layers",
            ", ".join(self.layers),
        )

    def _check(self) -> None:
        if self.values.shape != (len(self.layers), len(self), len(MEASURES)):
            raise ValueError(f"values of shape {tuple(self.values.shape)}")


def null_distribution(
    model: Model,
    data: Images | Dataset[Any] | DataLoader[Any],
    *,
    layers: Sequence[str],
    pairs: int = 10_000,
    seed: int = 0,
    path: str | os.PathLike[str] | None = None,
    progress: bool | Progress = False,
) -> Null:
    """Measure pairs of different images, in one pass through as many of the data as it takes.

    Images come in batches of 64, in a random order; in a batch, each is measured against up to 8
    others.

    Parameters
    ----------
    model
        As `load_model` returns it, or anything that it takes.
    data
        Images (N, C, H, W), or a data set or loader of (image, label).
    layers
        Names, see `robust_reps_ext.models.stages.LayersReader`.
    pairs
        How many. Feather et al. 2023 take a million; with n pairs, what lies outside all of them
        would do so by chance once in n + 1 times.
    seed
        Of the order.
    path
        A file to keep them in, and to go on with where it holds fewer, by default none. It is
        refused if it was made of another network, other data, layers, or seed.
    progress
        True for a bar, or ``progress(images_done, images_in_all, correlation)``; where it returns
        True, the pairs until then are the result.

    Raises
    ------
    InputError
        If there are fewer than two images, or the file is of something else.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.experiments.metamers import null_distribution
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> null = null_distribution(model, torch.rand(6, 3, 64, 64), layers=["layer1"], pairs=20)
    >>> len(null), null.values.shape
    (20, torch.Size([1, 20, 3]))
    """
    model, seed = as_model(model), check_seed(seed)
    pairs = whole("pairs", pairs, 1)
    images = _data_set(model, data)
    size = min(BATCH, len(images))
    shifts = min(SHIFTS, size - 1)
    begun = _begun(model, images, layers, seed, path)
    values = [begun.values]
    each = size * shifts
    first, last = len(begun) // each, math.ceil(pairs / each)
    orders = (shuffled(len(images), seed=seed + again) for again in count())
    batches = islice((order[i : i + size] for order in orders
                      for i in range(0, len(order) - size + 1, size)), first, last)  # fmt: skip
    loader = DataLoader(Subset(images, list(chain.from_iterable(batches))), size)
    saved = time.monotonic()
    data = Batches(loader, reading_of(model), progress=progress)
    with evaluating(model), own_generators(device_of(model)):
        reader: LayersReader | None = None
        for some, _ in data:
            reader = reader or LayersReader(model, layers, some)
            values.append(_of_pairs(reader(some)[1], shifts))
            data.value = float(values[-1][0, :, 1].median())
            if path is not None and time.monotonic() - saved > SECONDS:
                replace(begun, values=torch.cat(values, dim=1)).save(path)
                saved = time.monotonic()
    made = replace(begun, values=torch.cat(values, dim=1))
    if path is not None and len(made) > len(begun):
        made.save(path)
    return replace(made, values=made.values[:, :pairs])


def _data_set(model: AttackerModel, data: Any) -> Any:
    """What holds the images, in whatever form they are given."""
    if isinstance(data, DataLoader):
        data = data.dataset
    if not isinstance(data, Dataset):
        data = TensorDataset(images_for(model, "data", data))
    if isinstance(data, IterableDataset) or not isinstance(data, Sized):
        raise InputError(
            "the data has no length, and pairs are drawn at random: give images, or a data set "
            "with __len__ and __getitem__"
        )
    if len(data) < 2:
        raise InputError(f"the data has {len(data)} images: pairs need two or more")
    return data


def _begun(model: AttackerModel, images: Any, layers: Sequence[str], seed: int, path: Any) -> Null:
    """What the file holds, once it is known to be of this; nothing where there is no file."""
    with own_generators(device_of(model)):  # a loader draws, too
        some, _ = next(iter(Batches(DataLoader(images, BATCH), reading_of(model))))
    digest = hashlib.sha256(some.cpu().contiguous().numpy().tobytes()).hexdigest()[:16]
    made_of = {
        "weights": weights_digest(model),
        "images": f"{len(images)}, the first {len(some)} with digest {digest}",
        "seed": seed,
    }
    nothing = torch.empty(len(layers), 0, len(MEASURES), dtype=torch.float64)
    new = Null(list(layers), nothing, made_of)
    if path is None or not Path(path).exists():
        return new
    kept = Null.load(path)
    for name, there, wanted in [
        ("layers", kept.layers, new.layers),
        *((name, kept.made_of.get(name), one) for name, one in made_of.items()),
    ]:
        if there != wanted:
            raise InputError(
                f"{path} was made with {name} {there}, and this is {wanted}: give another file, or "
                "remove it"
            )
    return kept


def _of_pairs(values: Sequence[Tensor], shifts: int) -> Tensor:
    """(L, shifts * n, 3): each image of a batch as the target of those that follow it."""
    found = []
    for rows in values:
        placed = ranks(rows)
        others = ((rows.roll(-i, 0), placed.roll(-i, 0)) for i in range(1, shifts + 1))
        found.append(torch.cat([alike(rows, one, placed, place) for one, place in others]))
    return torch.stack(found).cpu()
