"""Who recognises whose metamers: other networks, shown what one takes for the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...models.loading import Model, as_model
from ...results.accuracies import Accuracy, line_of
from ...results.plots import shares_figure
from ...results.result import Result
from ...runtime.errors import InputError
from ..accuracy import predicted_labels
from .result import Metamers

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["Recognition", "recognition"]


@dataclass(frozen=True, repr=False)
class Recognition(Result):
    """The classes that J judges see in the metamers of L layers of N images.

    Attributes
    ----------
    layers, judges
        Names.
    seen
        (J, L, N), int64: the class that a judge sees in a metamer.
    wanted
        (J, N), int64: the class that it sees in the target.
    """

    layers: list[str]
    judges: list[str]
    seen: Tensor
    wanted: Tensor

    @property
    def recognised(self) -> Tensor:
        """(J, L, N), bool: whether a judge sees in the metamer what it sees in the target."""
        return self.seen == self.wanted[:, None]

    def shares(self, judge: str) -> list[Accuracy]:
        """Of each layer, how many metamers a judge recognises, see `Accuracy.interval`."""
        if judge not in self.judges:
            raise InputError(f"judge {judge!r} is none of {', '.join(self.judges)}")
        here = self.recognised[self.judges.index(judge)]
        return [
            Accuracy(layer, int(one.sum()), len(one))
            for layer, one in zip(self.layers, here, strict=True)
        ]

    def figure(self) -> Figure:
        """The shares by layer, a colour for each judge, with Wilson's 95% intervals."""
        lines = [line_of(self.shares(judge), judge) for judge in self.judges]
        return shares_figure(self.layers, lines)

    def to_frame(self) -> pandas.DataFrame:
        """A row for each judge and layer: the share, and the ends of Wilson's 95% interval."""
        import pandas

        rows = []
        for judge in self.judges:
            for one in self.shares(judge):
                low, high = one.interval()
                told = {"recognised": one.share, "low": low, "high": high, "images": one.n}
                rows.append({"judge": judge, "layer": one.name, **told})
        return pandas.DataFrame(rows)

    def _told(self) -> tuple[str, str]:
        means = zip(self.judges, self.recognised.double().mean(dim=(1, 2)).tolist(), strict=True)
        told = ", ".join(f"{judge} {100 * share:.0f}%" for judge, share in means)
        return (
            f"Metamers of {self.wanted.shape[1]} images at {len(self.layers)} layers, before "
            f"{len(self.judges)} judges",
            f"recognised over all layers: {told}",
        )

    def _check(self) -> None:
        shape = (len(self.judges), len(self.layers), self.wanted.shape[-1])
        if tuple(self.seen.shape) != shape or tuple(self.wanted.shape) != shape[::2]:
            raise ValueError(f"classes of shape {tuple(self.seen.shape)}, not {shape}")


def recognition(
    found: Metamers,
    judges: Mapping[str, Model],
    *,
    group: Tensor | None = None,
    batch_size: int = 32,
) -> Recognition:
    """Show the metamers of one network to others.

    A metamer is recognised where a judge sees the class in it that it sees in the target, so that
    judges may have other classes than the network.

    Parameters
    ----------
    found
        As `metamers` returns them.
    judges
        Name -> network, as `load_model` returns it, or anything that it takes.
    group
        Coarse label of each class of the judges, see `evaluate`; default: the classes themselves.
    batch_size
        Images in one forward pass.

    Raises
    ------
    InputError
        If there are no judges, or one cannot be loaded.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.experiments.metamers import recognition
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> made = rr.metamers(model, torch.rand(3, 3, 64, 64), layers=["layer1"], iterations=2)
    >>> recognition(made, {"itself": model}).recognised.shape
    torch.Size([1, 1, 3])
    """
    if not judges:
        raise InputError("there are no judges: give name -> network")
    loaded = {name: as_model(one) for name, one in judges.items()}

    def classes(name: str, images: Tensor) -> Tensor:
        seen = predicted_labels(loaded[name], images, batch_size=batch_size)
        return seen if group is None else group[seen]

    shape = found.images.shape[:2]
    return Recognition(
        layers=found.layers,
        judges=[*loaded],
        seen=torch.stack([classes(name, found.synthesis.images).view(shape) for name in loaded]),
        wanted=torch.stack([classes(name, found.targets) for name in loaded]),
    )
