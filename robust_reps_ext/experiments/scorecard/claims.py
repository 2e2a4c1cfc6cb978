"""The paper's claims, and by which number each is told."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CLAIMS", "Claim", "Measure"]


@dataclass(frozen=True)
class Measure:
    """A number by which a claim is told.

    Attributes
    ----------
    name
        As `trial.measure` calls it.
    unit
        ``"share"`` of images, ``"degrees"``, ``"radius"`` (a logarithm to base 2), or
        ``"number"``.
    larger
        Whether larger is better; None where the number only says how something came about.
    paired
        Whether the n-th number is about the same image for both models.
    """

    name: str
    unit: str = "share"
    larger: bool | None = True
    paired: bool = True


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes
    ----------
    name, section, statement
        In a word; where the paper says it; what it says.
    measures
        What is measured.
    """

    name: str
    section: str
    statement: str
    measures: tuple[Measure, ...]


CLAIMS = (
    Claim(
        "Inversion",
        "section 4.1, figure 6",
        "From noise, an image with the same R(x) shows the target.",
        (
            Measure("recovered, by the judge"),
            Measure("recovered, from afar"),
            Measure("class recovered"),
            Measure("texture recovered"),
            Measure("hue error", "degrees", larger=False),
            Measure("distance reached", "number", larger=None),
        ),
    ),
    Claim(
        "From another image",
        "sections 2 and 4.1, figures 2 and 3",
        "From another image too it shows the target, and not the image it began with.",
        (
            Measure("class of the target"),
            Measure("towards the target, from afar", "number"),
            Measure("distance reached from an image", "number", larger=None),
        ),
    ),
    Claim(
        "Distance",
        "section 4.1, figure 4",
        "To bring R(x) near another image's, one has to go far beyond the radius trained against.",
        (
            Measure("left at the radius trained against"),
            Measure("halving radius", "radius"),
        ),
    ),
    Claim(
        "Features",
        "section 4.2, figure 7",
        "What raises a coordinate of R(x) looks the same from every start.",
        (
            Measure("same from every start, from afar", paired=False),
            Measure("same from every start, by the judge", paired=False),
        ),
    ),
    Claim(
        "Interpolation",
        "appendix A.5, figure 12",
        "Between two representations lie plausible images, and not both ends as ghosts.",
        (
            Measure("class of an end"),
            Measure("off the pixel blend", "number"),
            Measure("evenness of steps", "number", larger=None),
        ),
    ),
    Claim(
        "Addition",
        "section 4.2.1, figure 11",
        "Raising a coordinate adds its feature to an image and leaves the rest.",
        (
            Measure("feature added, class kept", paired=False),
            Measure("feature added", larger=None, paired=False),
        ),
    ),
)
