"""What making metamers gives: images, how alike they are at every layer, and the successes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...results.accuracies import Accuracy, line_of
from ...results.figures import Channels, Row, image_grid
from ...results.plots import histogram_figure, shares_figure
from ...results.result import Result
from ...results.synthesis import Synthesis
from ..resemblance import resembling
from .likeness import MEASURES
from .null import Null

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["Metamers"]


@dataclass(frozen=True, repr=False)
class Metamers(Result):
    """Metamers of N images at L layers.

    Attributes
    ----------
    layers
        Names of the layers, in the order given.
    synthesis
        The runs behind it, L * N images: N for each layer, one layer after the other.
    measures
        (L, L, N, 3), float64: of the metamers of each layer, at each layer, `MEASURES` between
        target and metamer.
    null
        The same of pairs of different images.
    classes
        (L, N), int64: the class that the network sees in each metamer.
    wanted
        (N,), int64: the class that it has to see.
    """

    layers: list[str]
    synthesis: Synthesis
    measures: Tensor
    null: Null
    classes: Tensor
    wanted: Tensor

    @property
    def images(self) -> Tensor:
        """(L, N, C, H, W)."""
        return self.synthesis.images.unflatten(0, (len(self.layers), -1))

    @property
    def targets(self) -> Tensor:
        """(N, C, H, W)."""
        images = self.synthesis.target_images
        if images is None:
            raise ValueError("the run was stored without its targets")
        return images[: len(self.wanted)]

    @property
    def distance(self) -> Tensor:
        """(L, N), ||A(metamer) - A(target)|| / ||A(target)|| at the layer of each."""
        return self.synthesis.objective.view(len(self.layers), -1)

    @property
    def own(self) -> Tensor:
        """(L, N, 3), the measures at the layer that each was made for."""
        return _at_its_layer(self.measures)

    @property
    def chance(self) -> Tensor:
        """(L, L, N, 3), how often two different images are as alike, see `Null.chance`."""
        n = len(self.wanted)
        columns = [
            self.null.chance(layer, self.measures[:, i].flatten(0, 1)).view(-1, n, len(MEASURES))
            for i, layer in enumerate(self.layers)
        ]
        return torch.stack(columns, dim=1)

    @property
    def outside(self) -> Tensor:
        """(L, L, N, 3), bool: whether no pair of different images is as alike."""
        return self.chance <= 1 / (1 + len(self.null))

    @property
    def class_kept(self) -> Tensor:
        """(L, N), bool: whether the network sees the class in the metamer that it has to."""
        return self.classes == self.wanted

    @property
    def success(self) -> Tensor:
        """(L, N), bool: all measures at its layer lie outside the null, and the class is kept."""
        return _at_its_layer(self.outside).all(dim=2) & self.class_kept

    def shares(self) -> list[Accuracy]:
        """Of each layer, how many metamers are successes, see `Accuracy.interval`."""
        n = len(self.wanted)
        return [
            Accuracy(layer, int(one.sum()), n)
            for layer, one in zip(self.layers, self.success, strict=True)
        ]

    def figure(self, *, channels: Channels | None = None) -> Figure:
        """The ladder: targets, and below them the metamers of each layer, with what they lack."""
        made = zip(self.images, self.layers, self.lacks(), strict=True)
        rows = [Row(images, layer, captions=lacks) for images, layer, lacks in made]
        return image_grid([Row(self.targets, "target"), *rows], channels=channels)

    def lacks(self) -> list[list[str]]:
        """What each metamer lacks to be a success, by layer and image; empty texts for successes.

        ``"within the null"``, ``"class lost"``, or both.
        """
        outside = _at_its_layer(self.outside).all(dim=2).tolist()
        return [
            [
                ", ".join(["within the null"] * (not far) + ["class lost"] * (not good))
                for far, good in zip(apart, kept, strict=True)
            ]
            for apart, kept in zip(outside, self.class_kept.tolist(), strict=True)
        ]

    def shares_figure(self) -> Figure:
        """Success by layer, with Wilson's 95% intervals."""
        return shares_figure(self.layers, [line_of(self.shares())])

    def null_figure(self) -> Figure:
        """The null distribution of each measure at each layer, with its metamers' values in it."""
        values = [self.null.of(layer).T for layer in self.layers]
        return histogram_figure(values, self.layers, MEASURES, [one.T for one in self.own])

    def to_frame(self) -> pandas.DataFrame:
        """A row for each layer and image: the measures at its layer, and whether it succeeds."""
        import pandas

        frame = self.synthesis.to_frame().rename(columns={"objective": "distance"})
        n = len(self.wanted)
        frame = frame.drop(columns="layer", errors="ignore")
        frame.insert(0, "layer", [layer for layer in self.layers for _ in range(n)])
        frame.insert(1, "image", [*range(n)] * len(self.layers))
        own, p = (_at_its_layer(one).flatten(0, 1) for one in (self.measures, self.chance))
        for i, measure in enumerate(MEASURES):
            frame[measure] = own[:, i].tolist()
            frame[f"{measure}_p"] = p[:, i].tolist()
        frame["class"] = self.classes.flatten().tolist()
        frame["class_kept"] = self.class_kept.flatten().tolist()
        frame["success"] = self.success.flatten().tolist()
        return pandas.DataFrame(frame)

    def likeness_frame(self) -> pandas.DataFrame:
        """A row for each layer that a metamer was made for, layer that looks, and image."""
        import pandas

        outside = self.outside
        rows: list[dict[str, Any]] = [
            {"layer": made, "at": at, "image": k}
            | dict(zip(MEASURES, self.measures[i, j, k].tolist(), strict=True))
            | {"outside": bool(outside[i, j, k].all())}
            for i, made in enumerate(self.layers)
            for j, at in enumerate(self.layers)
            for k in range(len(self.wanted))
        ]
        return pandas.DataFrame(rows)

    def resemblance_frame(self) -> pandas.DataFrame:
        """A row for each layer and image: how much the metamer looks like its target.

        See `robust_reps_ext.resemblance`; without rows where there are no two images.
        """
        import pandas

        n = len(self.wanted)
        found = [resembling(self.synthesis[i * n : (i + 1) * n]) for i in range(len(self.layers))]
        return pandas.concat(
            [
                one.to_frame().assign(layer=layer)
                for layer, one in zip(self.layers, found, strict=True)
                if one is not None
            ]
            or [pandas.DataFrame()]
        )

    def _told(self) -> tuple[str, str]:
        shares = ", ".join(f"{one.name} {one.correct}/{one.n}" for one in self.shares())
        return (
            f"Metamers of {len(self.wanted)} images at {len(self.layers)} layers, "
            f"against {len(self.null)} pairs: successes {shares}"
        ), self.synthesis.made()

    def _check(self) -> None:
        self.synthesis._check()
        self.null._check()
        count, n = len(self.layers), len(self.wanted)
        for name, there, shape in [
            ("images", self.synthesis.images[:, 0, 0, 0], (count * n,)),
            ("measures", self.measures, (count, count, n, len(MEASURES))),
            ("classes", self.classes, (count, n)),
        ]:
            if tuple(there.shape) != shape:
                raise ValueError(f"{name} of shape {tuple(there.shape)}, not {shape}")
        for layer in self.layers:
            self.null.of(layer)


def _at_its_layer(values: Tensor) -> Tensor:
    """Of (L, L, N, 3) the (L, N, 3) of each layer's metamers at that layer."""
    return values.diagonal(dim1=0, dim2=1).movedim(-1, 0)
