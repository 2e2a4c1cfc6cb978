"""The figures and tables of the paper that a run makes, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    inversion_of_strangers,
    regularized,
    within_radii,
)
from .study import Study
from .tables import accuracies

__all__ = ["ORDER", "UNITS", "Unit"]


@dataclass(frozen=True)
class Unit(Heading):
    """A figure or table of the paper, and how it comes about.

    Attributes
    ----------
    compute
        In code; the rest is of `Heading`.
    """

    compute: Callable[[Study, bool | Progress], Found]


UNITS: tuple[Unit, ...] = (
    Unit("fig6", "grid", "Figures 6, 13b, 15", "Inversion from noise", inversion_from_noise),
    Unit(
        "fig3",
        "grid",
        "Figures 2, 3, 13a, 16",
        "Inversion from another image",
        inversion_from_images,
    ),
    Unit("fig14", "grid", "Figure 14a", "Inversion of kaleidoscopes", inversion_of_kaleidoscopes),
    Unit("fig14b", "grid", "Figures 6, 14b", "Inversion of other classes", inversion_of_strangers),
    Unit("fig4", "curve", "Figures 4, 5", "How far one has to go", within_radii),
    Unit("fig7", "features", "Figures 7, 19-22", "Single coordinates", features),
    Unit("fig8", "activations", "Figure 8", "What activates a coordinate", activations),
    Unit("fig9", "grid", "Figures 9, 10", "The same with a regulariser", regularized),
    Unit("fig11", "grid", "Figures 11, 23", "Adding a feature", additions),
    Unit("fig12", "interpolation", "Figures 12, 17, 18", "Between two images", interpolations),
    Unit("tables", "table", "Tables 4, 5", "Accuracy", accuracies),
)
"""In the order in which they are made: pictures first."""

ORDER = (*(unit.id for unit in UNITS), "scorecard")
"""In which the page shows them, and the scorecard, which is not of the paper, last."""
