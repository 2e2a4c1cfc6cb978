"""One critter, from its fine label and a random generator to its pixels and its factors."""

from __future__ import annotations

from dataclasses import dataclass
from math import radians

import numpy as np

from .front_view import cat, crab, frog, primate
from .painting import Pixels, background, colours, compose, hsv, paint, spots, stripes
from .shapes import Pose, Sketch
from .side_view import bird, dog, fish, insect, turtle

__all__ = [
    "CLASSES",
    "COATS",
    "DATA_VERSION",
    "FINE_CLASSES",
    "HUES",
    "TEXTURES",
    "Factors",
    "draw_one",
]

DATA_VERSION = "1"

CLASSES = ("dog", "cat", "frog", "turtle", "bird", "primate", "fish", "crab", "insect")
TEXTURES = ("plain", "stripes", "spots")
HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
COATS = len(TEXTURES) * len(HUES)
FINE_CLASSES = tuple(
    f"{animal}, {texture}, {hue}" for animal in CLASSES for texture in TEXTURES for hue in HUES
)

_ANIMALS = (dog, cat, frog, turtle, bird, primate, fish, crab, insect)
_DEGREES = (0.0, 46.0, 112.0, 180.0, 226.0, 300.0)
_JITTER = (7.0, 7.0, 15.0, 9.0, 10.0, 12.0)


@dataclass(frozen=True)
class Factors:
    """What one image was drawn from.

    Attributes
    ----------
    label, texture, hue : int
        Indices into `CLASSES`, `TEXTURES` and `HUES`.
    fine_label : int
        ``(label * 3 + texture) * 6 + hue``, 0 to 161.
    body_hue, second_hue, background_hue : float
        Exact hues in degrees, 0 to 360: of the coat, of the stripes or spots, of the background.
    dark : bool
        Whether the second colour is dark; else it is light.
    x, y : float
        Middle of the animal's box, as fractions of the image's width and height.
    size : float
        Longer side of that box, as a fraction of the image.
    rotation : float
        Degrees, clockwise, -11 to 11.
    side : int
        1 where the animal looks to the right, -1 where it is mirrored.
    period, angle : float
        Of stripes or spots: distance as a fraction of the image, direction in degrees. Zero for
        a plain coat.
    pose : dict of str to float
        The animal's own numbers (stride, wing, gape, ...), in its units.
    """

    label: int
    texture: int
    hue: int
    fine_label: int
    body_hue: float
    second_hue: float
    background_hue: float
    dark: bool
    x: float
    y: float
    size: float
    rotation: float
    side: int
    period: float
    angle: float
    pose: dict[str, float]


def draw_one(rng: np.random.Generator, fine_label: int, size: int) -> tuple[Pixels, Factors]:
    """Draw one critter; return its pixels (size, size, 3) and its factors."""
    rest, hue = divmod(fine_label, len(HUES))
    label, texture = divmod(rest, len(TEXTURES))
    pose, sketch = Pose(rng), Sketch()
    _ANIMALS[label](sketch, pose)
    numbers = rng.random(18).tolist()

    def between(low: float, high: float) -> float:
        return float(low + (high - low) * numbers.pop())

    body_hue = (_DEGREES[hue] + between(-1, 1) * _JITTER[hue]) % 360
    second_hue = (body_hue + between(-25, 25)) % 360
    background_hue = between(0, 360)
    saturation, value = between(0.74, 0.92), between(0.86, 1.0)
    dark = between(0, 1) < 0.5
    rotation, side = between(-11, 11), 1 if between(0, 1) < 0.5 else -1
    extent, place = between(0.72, 0.95), (between(0, 1), between(0, 1))
    period, angle = between(0.0, 1.0), between(0, 180)

    ground = background(rng, size, background_hue)
    scale = 4 if size <= 256 else 3
    canvas = size * scale
    inks, unit, (x, y) = paint(sketch, canvas, radians(rotation), side, extent, place)
    if texture == 0:
        period = angle = 0.0
    elif texture == 1:
        period = (0.21 + 0.09 * period) * unit
        inks = inks + stripes(canvas, period, radians(angle), between(0, 1), between(0, 1))
    else:
        period = (0.25 + 0.07 * period) * unit
        inks = inks + spots(rng, canvas, period, radians(angle), (x, y), unit)
    picture = colours(hsv(body_hue, saturation, value), second_hue, dark)[inks]
    factors = Factors(
        label=label,
        texture=texture,
        hue=hue,
        fine_label=fine_label,
        body_hue=body_hue,
        second_hue=second_hue,
        background_hue=background_hue,
        dark=dark,
        x=x / canvas,
        y=y / canvas,
        size=extent,
        rotation=rotation,
        side=side,
        period=period / canvas,
        angle=angle,
        pose=pose.values,
    )
    return compose(picture, ground, size, scale), factors
