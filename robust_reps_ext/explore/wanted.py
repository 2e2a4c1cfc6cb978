"""What a page may ask of a network: read from what it sends, and computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from robustness.attacker import AttackerModel
from torch import Tensor
from torch.nn.functional import interpolate

from ..experiments.interpolation import interpolates
from ..experiments.inversion import invert
from ..experiments.visualization import visualize
from ..models.representation import representation
from ..results.synthesis import Synthesis
from ..runtime.errors import InputError, near
from ..runtime.masks import as_mask
from ..runtime.numbers import real, shown, whole
from ..runtime.randomness import check_seed
from ..synthesis import Progress, noise, optimize
from ..synthesis.class_objectives import ClassLogit
from ..synthesis.directions import Direction
from ..synthesis.objectives import InterpolationTarget, Objective
from ..synthesis.settings import FASTEST, STEADY, Options, Settings
from .pictures import Picture

__all__ = ["KINDS", "SCHEDULES", "STEPS", "Network", "Wanted"]

SCHEDULES = ("lbfgs", "cosine-momentum", "paper")
"""Those that a page may choose."""

MOST_PAINTED = 256
"""Rows of a mask that is painted."""

STEPS = 10
"""The slider between two images has one step more: lambda is 0, 1/10, ..., 1."""


@dataclass(frozen=True)
class Network:
    """A network that the page shows.

    Attributes
    ----------
    name
        What it is called.
    source
        What ``--model`` gave.
    model
        As `load_model` returns it.
    shape
        Channels and side of the images that it takes.
    classes
        Names of its classes, which may be fewer than it has.
    layers
        Layers to choose from; any other that it has may be named, too.
    size
        Number of coordinates of R(x) at the penultimate layer.
    loading
        Keywords with which `load_model` makes it again of `source`.
    """

    name: str
    source: str
    model: AttackerModel
    shape: tuple[int, int]
    classes: tuple[str, ...]
    layers: tuple[str, ...]
    size: int
    loading: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What is to be computed, the same for each network.

    Attributes
    ----------
    kind
        One of `KINDS`.
    image, other
        The image chosen; and the second one, where there is one: the source of a match, the
        image at lambda 0, or where a direction comes from, which leads to `image`.
    start
        ``"noise"``, ``"grey"``, ``"image"`` (of what has no target), or ``"other"``.
    layer, eps, schedule, iterations
        See `robust_reps_ext.synthesis.settings.Options`.
    coordinate
        Of R(x), for kind ``"coordinate"``.
    number
        Of the class, for kind ``"class"``.
    mask
        Where pixels may change, (1, 1, H, W), in the size in which it was painted; default:
        everywhere.
    place
        Of the slider, 0 to `STEPS`, for kind ``"between"``.
    seed
        Of the noise.
    """

    kind: str
    image: Picture
    other: Picture | None = None
    start: str = "noise"
    layer: str | None = None
    eps: float | None = None
    schedule: str | None = None
    iterations: int | None = None
    coordinate: int = 0
    number: int = 0
    mask: Tensor | None = None
    place: int = 0
    seed: int = 0

    @classmethod
    def read(cls, given: Mapping[str, Any], find: Callable[[Any], Picture]) -> Wanted:
        """What a page has sent.

        Parameters
        ----------
        given
            The attributes that are not the default; ``image`` and ``other`` as `find` knows them.
        find
            The picture of a number.

        Raises
        ------
        InputError
            If a value cannot be used.
        """
        kind = _one_of("objective", given.get("kind"), tuple(KINDS))
        starts = KINDS[kind].starts
        start = _one_of("start", given.get("start", starts[0]), starts)
        other = given.get("other")
        if other is None and (kind in ("between", "direction") or start == "other"):
            raise InputError("there is one image only: choose a second one")
        schedule, layer = given.get("schedule") or None, given.get("layer") or None
        if layer is not None and not (isinstance(layer, str) and len(layer) <= 200):
            raise InputError(f"layer={shown(layer)}: give a name")
        iterations, eps = given.get("iterations"), given.get("eps")
        return cls(
            kind=kind,
            image=find(given.get("image")),
            other=None if other is None else find(other),
            start=start,
            layer=layer,
            eps=None if eps is None else real("eps", eps, "0 or more", finite=False),
            schedule=None if schedule is None else _one_of("schedule", schedule, SCHEDULES),
            iterations=None if iterations is None else whole("iterations", iterations, 1),
            coordinate=whole("coordinate", given.get("coordinate", 0)),
            number=whole("class", given.get("class", 0)),
            mask=None if kind == "between" else _mask(given.get("mask")),
            place=whole("place", given.get("place", 0), most=STEPS),
            seed=check_seed(given.get("seed", 0)),
        )

    @property
    def told(self) -> Options:
        """The keywords that say how PGD runs, but for the mask."""
        return {
            "layer": self.layer,
            "eps": self.eps,
            "schedule": self.schedule or KINDS[self.kind].schedule,
            "iterations": self.iterations,
        }

    def options(self, network: Network) -> Options:
        """The keywords that say how PGD runs."""
        return self.told if self.mask is None else {**self.told, "mask": self.mask_for(network)}

    def mask_for(self, network: Network) -> Tensor:
        """Where pixels may change, in the size of a network's images."""
        assert self.mask is not None
        side = network.shape[1]
        return as_mask(interpolate(self.mask.float(), (side, side), mode="nearest"))

    @property
    def weight(self) -> float:
        """Lambda, the share of `image`."""
        return float(torch.linspace(0, 1, STEPS + 1)[self.place])

    def begin(self, network: Network) -> Tensor:
        """Where the run starts, (1, C, H, W)."""
        image = self.image.at(network.shape)
        if self.kind == "between":
            return _between(image, self._second(network), self.weight)
        return {
            "noise": lambda: noise(image, seed=self.seed),
            "grey": lambda: torch.full_like(image, 0.5),
            "image": lambda: image,
            "other": lambda: self._second(network),
        }[self.start]()

    def make(self, network: Network, progress: Progress) -> Synthesis:
        """Compute it, one image.

        Raises
        ------
        InputError
            If the network has no such layer or coordinate.
        """
        return KINDS[self.kind].make(self, network, progress)

    def _second(self, network: Network) -> Tensor:
        assert self.other is not None  # `read` has asked for it
        return self.other.at(network.shape)


@dataclass(frozen=True)
class _Kind:
    """One kind: where it may start, its schedule unless another is asked for, and its call."""

    starts: tuple[str, ...]
    schedule: str
    make: Callable[[Wanted, Network, Progress], Synthesis]


def _match(wanted: Wanted, network: Network, progress: Progress) -> Synthesis:
    return invert(
        network.model,
        wanted.image.at(network.shape),
        start=wanted.begin(network),
        seed=wanted.seed,
        progress=progress,
        **wanted.options(network),
    )


def _coordinate(wanted: Wanted, network: Network, progress: Progress) -> Synthesis:
    return visualize(
        network.model,
        coordinates=[wanted.coordinate],
        seeds=wanted.begin(network),
        seed=wanted.seed,
        progress=progress,
        **wanted.options(network),
    ).synthesis


def _blend(wanted: Wanted, network: Network, progress: Progress) -> Synthesis:
    return interpolates(
        network.model,
        wanted.image.at(network.shape),
        wanted._second(network),
        torch.tensor([wanted.weight]),
        wanted.options(network),
        seed=wanted.seed,
        progress=progress,
    )


def _class(wanted: Wanted, network: Network, progress: Progress) -> Synthesis:
    return _raised(wanted, network, ClassLogit(), wanted.number, progress)


def _direction(wanted: Wanted, network: Network, progress: Progress) -> Synthesis:
    ends = wanted._second(network), wanted.image.at(network.shape)
    back, ahead = (representation(network.model, one, layer=wanted.layer) for one in ends)
    if torch.equal(back, ahead):
        raise InputError("both images have the same representation: choose two that differ")
    return _raised(wanted, network, Direction(ahead - back), 0, progress)


def _raised(
    wanted: Wanted, network: Network, objective: Objective, target: int, progress: Progress
) -> Synthesis:
    """One image, by the schedule of what has no end to come near."""
    start = wanted.begin(network)
    return optimize(
        network.model,
        objective,
        torch.tensor([target]),
        start,
        Settings.paper(start, wanted.options(network), schedule=STEADY),
        seed=wanted.seed,
        progress=progress,
    )


_between = InterpolationTarget.between

KINDS: dict[str, _Kind] = {
    "match": _Kind(("noise", "grey", "other"), FASTEST, _match),
    "coordinate": _Kind(("noise", "image"), STEADY, _coordinate),
    "class": _Kind(("noise", "image"), STEADY, _class),
    "direction": _Kind(("other", "image", "noise"), STEADY, _direction),
    "between": _Kind(("blend",), FASTEST, _blend),
}
"""By name, what a page may ask for."""


def _mask(given: Any) -> Tensor | None:
    """What was painted, from a row of 0 and 1 for each row of pixels."""
    if given is None:
        return None
    fits = isinstance(given, list) and 1 <= len(given) <= MOST_PAINTED
    if not fits or not all(
        isinstance(row, str) and len(row) == len(given) and set(row) <= {"0", "1"} for row in given
    ):
        raise InputError("mask is no square of 0 and 1: paint it again")
    return as_mask(torch.from_numpy(np.array([[c == "1" for c in row] for row in given])))


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        close = near(value, known, known) if isinstance(value, str) else ", ".join(known)
        raise InputError(f"{name}={shown(value)} is not known: choose {close}")
    return value
