"""Which images of the page activate the units of a network most."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from ..experiments.activations import ALL, most_activating
from ..results.activations import Activations
from ..runtime.numbers import whole
from .jobs import Job
from .pictures import Gallery
from .wanted import Network

__all__ = ["SHOWN", "Units"]

SHOWN = 12
"""Units on one page."""

IMAGES = 5
KEPT = 4


@dataclass(frozen=True)
class _Key:
    network: int
    layer: str | None


class Units:
    """The most activating images of every unit, found once for a network and a layer."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._found: OrderedDict[_Key, Activations] = OrderedDict()

    def known(self, number: int, layer: str | None) -> Activations | None:
        """What was found before."""
        return self._found.get(_Key(number, layer))

    def find(self, number: int, network: Network, layer: str | None, job: Job) -> Activations:
        """Go through the images of the page once.

        Raises
        ------
        InputError
            If the network has no such layer.
        """
        images = self._gallery.at(network.shape)
        found = most_activating(
            network.model,
            images.split(32),
            coordinates=ALL,
            k=min(IMAGES, len(images)),
            layer=layer,
        )
        self._found[_Key(number, layer)] = found
        while len(self._found) > KEPT:
            self._found.popitem(last=False)
        return found

    def page(self, found: Activations, first: Any) -> dict[str, Any]:
        """`SHOWN` units from `first` on: the numbers and values of the images of each."""
        size = len(found.coordinates)
        first = min(whole("unit", first), max(0, size - 1))
        rows = range(first, min(first + SHOWN, size))
        return {
            "size": size,
            "first": first,
            "units": [
                {
                    "unit": i,
                    "images": found.most.index[i].tolist(),
                    "values": [round(one, 4) for one in found.most.value[i].tolist()],
                    "least": float(found.least.value[i, 0]),
                }
                for i in rows
            ],
        }
