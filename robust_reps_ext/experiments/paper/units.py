"""The figures and tables of the paper that a run makes, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ...results.units import Found, Heading
from ...synthesis import Progress
from .figures import (
    activations,
    additions,
    features,
    interpolations,
    inversion_from_images,
    inversion_from_noise,
    inversion_of_kaleidoscopes,
    pairs_of_images,
    regularized,
    within_radii,
)
from .study import Study
from .tables import accuracies

__all__ = ["ORDER", "PHOTOGRAPHS", "UNITS", "Unit"]


@dataclass(frozen=True)
class Unit(Heading):
    """A figure or table of the paper, and how it comes about.

    Attributes
    ----------
    compute
        In code; the rest is of `Heading`. `numbers` are those of Restricted ImageNet.
    imagenet
        What the paper calls it for ImageNet; empty where it has no such figure.
    """

    compute: Callable[[Study, bool | Progress], Found]
    imagenet: str = ""

    def of(self, data: str) -> Unit:
        """The same with the numbers that it has for a data set, by upstream's name of that."""
        if data == "restricted_imagenet":
            return self
        if data == "imagenet" and self.imagenet:
            return replace(self, numbers=self.imagenet)
        return replace(self, numbers=f"nearest to {self.numbers}")


UNITS: tuple[Unit, ...] = (
    Unit("fig6", "grid", "Figures 6, 13b, 14b, 15", "Inversion from noise", inversion_from_noise),
    Unit("fig2", "pairs", "Figure 2", "Pairs with nearly equal representations", pairs_of_images),
    Unit(
        "fig3",
        "grid",
        "Figures 3, 13a",
        "Inversion from another image",
        inversion_from_images,
        "Figure 16",
    ),
    Unit("fig14", "grid", "Figure 14a", "Inversion of kaleidoscopes", inversion_of_kaleidoscopes),
    Unit("fig4", "curve", "Figures 4, 5", "How far one has to go", within_radii),
    Unit("fig7", "features", "Figures 7, 19-21", "Single coordinates", features, "Figure 22"),
    Unit("fig8", "activations", "Figure 8", "What activates a coordinate", activations),
    Unit("fig9", "regularized", "Figures 9, 10", "The same with a regulariser", regularized),
    Unit("fig11", "additions", "Figures 11, 23", "Adding a feature", additions),
    Unit("fig12", "interpolation", "Figures 12, 17, 18", "Between two images", interpolations),
    Unit("tables", "table", "Table 4", "Accuracy", accuracies, "Table 5"),
)
"""In the order in which they are made: pictures first."""

PHOTOGRAPHS: tuple[Unit, ...] = tuple(
    replace(unit, id=f"photographs-{unit.id}", title=f"Photographs: {unit.title.lower()}")
    for unit in UNITS
    if unit.id in ("fig6", "fig3", "fig7", "fig11", "fig12")
)
"""Those that need no labels, of photographs beside another data set."""

# Of version 0.1, which had it apart from Fig. 6.
FORMER = "fig14b"

ORDER = (
    *(unit.id for unit in PHOTOGRAPHS),
    UNITS[-1].id,
    *(unit.id for unit in UNITS[:4]),
    FORMER,
    *(unit.id for unit in UNITS[4:-1]),
    *("generation", "translation", "inpainting", "superresolution", "enhancement"),
    "ladder",
    "scorecard",
)
"""In which the page shows them: photographs, accuracy, the figures, what is not of the paper."""
