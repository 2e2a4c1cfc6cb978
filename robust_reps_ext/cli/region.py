"""The options that say where and how far images may change."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from .flags import option

__all__ = ["RegionOptions"]


class Constraint(str, Enum):
    """What images are held to, in upstream's words."""

    l2 = "2"
    linf = "inf"
    unconstrained = "unconstrained"


@dataclass(frozen=True, kw_only=True)
class RegionOptions:
    """What images are held to; what is None is the experiment's own."""

    constraint: Annotated[
        Constraint | None,
        option("An L2 ball of radius --eps, an L-inf ball, or [0, 1] alone; default: 2."),
    ] = None
    mask: Annotated[
        str | None,
        option(
            "Where pixels may change: a box in pixels, or a picture of the images' size, white "
            "or opaque there.",
            "FILE|X,Y,W,H",
        ),
    ] = None
