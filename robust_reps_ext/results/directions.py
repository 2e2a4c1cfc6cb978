"""Directions in the space of a representation: the result of `directions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..runtime.errors import InputError
from .activations import Activations, Extreme
from .figures import Channels
from .result import Result

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["METHODS", "Directions", "Sparsity"]

METHODS = ("pca", "class", "probe", "given")


@dataclass(frozen=True, repr=False)
class Sparsity:
    """How accurate linear heads are, from few features to many; empty but for ``"probe"``.

    Attributes
    ----------
    cost
        (P,), the weight of the L1 norm beside the mean cross-entropy, descending.
    features
        (P, K) int64, how many features the head of each class has.
    accuracy
        (P,), share of the held-out images whose class is told right.
    held_out
        How many these are.
    chosen
        Which of the P gives the directions: the sparsest within one standard error of the best in
        which every class has a feature.
    """

    cost: Tensor
    features: Tensor
    accuracy: Tensor
    held_out: int
    chosen: int

    def to_frame(self) -> pandas.DataFrame:
        """A row for each cost: features of a class, of all classes together, and accuracy."""
        import pandas

        return pandas.DataFrame(
            {
                "cost": self.cost.tolist(),
                "features_per_class": self.features.double().mean(dim=1).tolist(),
                "features": self.features.sum(dim=1).tolist(),
                "accuracy": self.accuracy.tolist(),
                "held_out": self.held_out,
                "chosen": [i == self.chosen for i in range(len(self.cost))],
            }
        )


@dataclass(frozen=True, repr=False)
class Directions(Result):
    """Directions in R^k, and the images of the data that lie farthest along each.

    Attributes
    ----------
    method
        ``"pca"``, ``"class"`` or ``"probe"``; ``"given"`` where the vectors were.
    vectors
        (K, k), each of length 1 (of zeros where a probe has no feature).
    names
        K names: of components, or of classes.
    strength
        (K,): the share of the variance that a component explains; the distance of a class' mean
        from the mean of all; the length of a head's weights; how far the data spreads along a
        given direction, as a standard deviation.
    bias
        (K,), of a probe's heads; else zeros.
    mean
        (k,), of R over the data.
    most, least
        The images at both ends of each direction. Values are (R(x) - mean) . vector.
    sparsity
        Of a probe.
    seen
        How many images were looked at.
    """

    method: str
    vectors: Tensor
    names: list[str]
    strength: Tensor
    bias: Tensor
    mean: Tensor
    most: Extreme
    least: Extreme
    sparsity: Sparsity
    seen: int

    def scores(self, latents: Tensor) -> Tensor:
        """Of representations (N, k), (N, K): logits of a probe, else (R - mean) . vector."""
        if self.method == "probe":
            return latents @ (self.vectors * self.strength[:, None]).T + self.bias
        return (latents - self.mean) @ self.vectors.T

    def features(self, direction: int, n: int | None = None) -> list[tuple[int, float]]:
        """The coordinates of R that a direction has, with their weights, the largest first.

        Parameters
        ----------
        direction
            0 to K - 1.
        n
            At most so many; default: all that are not 0.

        Raises
        ------
        InputError
            If there is no such direction.
        """
        if not 0 <= direction < len(self.vectors):
            raise InputError(f"direction={direction}: there are 0 to {len(self.vectors) - 1}")
        vector = self.vectors[direction]
        order = vector.abs().argsort(descending=True, stable=True)
        order = order[: int((vector != 0).sum())][:n]
        return [(int(i), float(vector[i])) for i in order]

    def figure(self, *, channels: Channels | None = None) -> Figure:
        """For each direction a row of the images at both ends, the farthest first.

        `channels` are those that are shown, see `robust_reps_ext.results.figures.image_grid`.
        """
        from .captions import two_digits
        from .figures import Row, image_grid

        rows = []
        for i, name in enumerate(self.names):
            ends = {"most": self.most.value[i], "least": self.least.value[i]}
            captions = [
                f"{end}: {two_digits(one, zeros=True)}"
                for end, values in ends.items()
                for one in values.tolist()
            ]
            images = torch.cat([self.most.images[i], self.least.images[i]])
            rows.append(Row(images, name, captions))
        return image_grid(rows, columns=len(rows[0].images), channels=channels)

    def to_frame(self) -> pandas.DataFrame:
        """A row for each image at each end of each direction; rank 0 is the farthest one."""
        places = torch.arange(len(self.names))
        both = Activations(places, self.most, self.least, self.seen, self.most.value.shape[1])
        frame = both.to_frame().rename(columns={"coordinate": "direction"})
        frame.insert(1, "name", [self.names[i] for i in frame["direction"]])
        frame.insert(2, "strength", [float(self.strength[i]) for i in frame["direction"]])
        return frame

    def _told(self) -> tuple[str, str]:
        count, size = self.vectors.shape
        told = {
            "pca": f"{float(self.strength.sum()):.0%} of the variance",
            "class": "means of classes from the mean of all",
            "probe": "",
            "given": "given vectors along which the data spreads most",
        }[self.method]
        if self.method == "probe":
            i = self.sparsity.chosen
            used = float(self.sparsity.features[i].double().mean())
            told = (
                f"{used:.1f} features a class, {float(self.sparsity.accuracy[i]):.1%} of "
                f"{self.sparsity.held_out} held-out images right"
            )
        return (
            f"{count} directions in R^{size} by {self.method}, of {self.seen} images"
        ), f"{told}; {', '.join(self.names)}"

    def _some(self) -> Directions:
        count = 8
        vars_of = {name: getattr(self, name) for name in vars(self)}
        for name in ("vectors", "names", "strength", "bias"):
            vars_of[name] = vars_of[name][:count]
        for end in ("most", "least"):
            kept = vars(vars_of[end])
            vars_of[end] = Extreme(**{name: one[:count] for name, one in kept.items()})
        return Directions(**vars_of)

    def _check(self) -> None:
        count, size = self.vectors.shape
        shapes = {
            "strength": (count,),
            "bias": (count,),
            "mean": (size,),
        }
        for name, shape in shapes.items():
            if tuple(getattr(self, name).shape) != shape:
                raise ValueError(f"its {name} does not fit {count} directions in R^{size}")
        if self.method not in METHODS or len(self.names) != count:
            raise ValueError(f"{len(self.names)} names of {count} directions by {self.method}")
        if any(not isinstance(name, str) for name in self.names):
            raise ValueError("its names are no texts")
        ends = Activations(
            torch.arange(count), self.most, self.least, self.seen, self.most.value.shape[1]
        )
        ends._check()
        path, steps = self.sparsity, len(self.sparsity.cost)
        if path.accuracy.shape != (steps,) or path.features.shape[:1] != (steps,):
            raise ValueError("its sparsity does not fit together")
        if self.method == "probe" and not 0 <= path.chosen < steps:
            raise ValueError(f"head {path.chosen} of {steps} is chosen")
