"""The paper's claims, and by which number each is told."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CLAIMS", "RESEMBLANCE", "Claim", "Measure"]

RESEMBLANCE = "resemblance, "
"""Before the name of a measure of `experiments.resemblance`."""


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
    meaning
        What is measured, in words.
    """

    name: str
    meaning: str
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
        "From noise, an image that matches R(x) of a target is semantically similar to it.",
        (
            Measure(
                "recovered, by the judge",
                "share of inversions nearest to their own target of the gallery, to the judge",
            ),
            Measure(
                "recovered, from afar", "the same by the averages of 16 x 16 fields of the image"
            ),
            Measure(
                "class recovered", "share of inversions in which the judge sees the target's class"
            ),
            Measure(
                "texture recovered",
                "share of inversions in which the judge sees the target's texture",
            ),
            Measure(
                "hue error",
                "angle on the colour wheel between the hue that the judge sees and the target's",
                "degrees",
                larger=False,
            ),
            Measure(
                RESEMBLANCE + "from afar",
                "correlation of the averages of 16 x 16 fields of inversions and of their targets",
                "number",
            ),
            Measure(
                RESEMBLANCE + "SSIM",
                "structural similarity of inversions to their targets",
                "number",
            ),
            Measure(
                RESEMBLANCE + "MS-SSIM", "the same over as many scales as the images have", "number"
            ),
            Measure(
                "distance reached",
                "||R(x) - R(target)|| / ||R(target)|| at the end, from noise",
                "number",
                larger=None,
            ),
        ),
    ),
    Claim(
        "From another image",
        "sections 2 and 4.1, figures 2 and 3",
        "From another image too it is similar to the target in its high-level features; a standard "
        "network's often looks more similar to the image it began with.",
        (
            Measure(
                "class of the target",
                "share of inversions from another image in which the judge sees the target's class",
            ),
            Measure(
                "towards the target, from afar",
                "cosine between the way that the image went and that to the target, from afar",
                "number",
            ),
            Measure(
                "distance reached from an image",
                "||R(x) - R(target)|| / ||R(target)|| at the end, from another image",
                "number",
                larger=None,
            ),
        ),
    ),
    Claim(
        "Distance",
        "section 4.1, figure 4",
        "To match another image's R(x), one has to go far beyond the radius trained against.",
        (
            Measure(
                "left at the radius trained against",
                "share of the source's distance that is left within the radius trained against",
            ),
            Measure(
                "halving radius",
                "L2 radius, brought to 224 pixels, at which half of the source's distance is left",
                "radius",
            ),
        ),
    ),
    Claim(
        "Features",
        "section 4.2, figure 7",
        "What raises a coordinate of R(x) shows consistently the same concept, from any start.",
        (
            Measure(
                "same from every start, from afar",
                "share of pairs of starts to which a coordinate adds the nearest of all, from afar",
                paired=False,
            ),
            Measure(
                "same from every start, by the judge",
                "the same, to the judge",
                paired=False,
            ),
        ),
    ),
    Claim(
        "Interpolation",
        "appendix A.5, figure 12",
        "Between two representations lie perceptually plausible images, without ghosting.",
        (
            Measure(
                "class of an end",
                "share of interpolates in which the judge sees the class of one of the two ends",
            ),
            Measure(
                "off the pixel blend",
                "distance of interpolates from the mixture of pixels, as a share of the ends'",
                "number",
            ),
            Measure(
                "evenness of steps",
                "whether the steps from one end to the other are equally long; 1 where all are",
                "number",
                larger=None,
            ),
        ),
    ),
    Claim(
        "Addition",
        "section 4.2.1, figure 11",
        "Raising a coordinate introduces its feature, and stopping early preserves the content.",
        (
            Measure(
                "feature added, class kept",
                "share of images whose class the judge still sees when the coordinate leads",
                paired=False,
            ),
            Measure(
                "feature added",
                "share of images in which the coordinate comes to lead",
                larger=None,
                paired=False,
            ),
        ),
    ),
)
