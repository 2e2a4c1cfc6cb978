"""Shapes that the critters are drawn from, and the sketch that collects them.

A shape is a float array of points (N, 2) in the animal's own coordinates: x to the right, y down,
the animal about two units wide. A `Sketch` is the list of shapes in drawing order, each with the
ink it is filled with. It knows nothing about pixels: `critters_drawing` places and paints it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ink", "Mark", "Points", "Sketch", "curve", "ellipse", "limb", "polygon"]

Points = NDArray[np.float64]
Mark = tuple[Points, int, float]  # points, ink, line width (0 for a filled shape)
XY = tuple[float, float]

RIM_WIDTH = 0.034


class Ink(IntEnum):
    """What a point of the picture is made of; 0 is where the background shows."""

    NONE = 0
    RIM = 1
    COAT = 2  # the coat and its shade are the only inks that bear the texture
    COAT_SHADE = 3
    PLAIN = 4
    PLAIN_SHADE = 5
    FAR = 6
    FAR_SHADE = 7
    PALE = 8
    PALE_SHADE = 9
    HORN = 10
    HORN_SHADE = 11
    WHITE = 12
    BLACK = 13
    BLUSH = 14


_SHADES = {
    Ink.COAT: Ink.COAT_SHADE,
    Ink.PLAIN: Ink.PLAIN_SHADE,
    Ink.FAR: Ink.FAR_SHADE,
    Ink.PALE: Ink.PALE_SHADE,
    Ink.HORN: Ink.HORN_SHADE,
}


@lru_cache(maxsize=None)
def _circle(points: int) -> Points:
    angles = np.arange(points) * (2 * np.pi / points)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def ellipse(x: float, y: float, rx: float, ry: float, tilt: float = 0.0) -> Points:
    """An ellipse around (x, y), turned clockwise by `tilt` radians."""
    points = _circle(28) * (rx, ry)
    if tilt:
        cos, sin = np.cos(tilt), np.sin(tilt)
        points = points @ np.array([[cos, sin], [-sin, cos]])
    return points + (x, y)


def polygon(*corners: XY) -> Points:
    """Straight lines from corner to corner."""
    return np.array(corners, dtype=float)


@lru_cache(maxsize=None)
def _catmull_rom(corners: int, closed: bool, steps: int = 6) -> Points:
    """The matrix that turns `corners` points into points on the smooth curve through them."""
    t = np.arange(steps) / steps
    weights = 0.5 * np.stack(
        [
            -t + 2 * t**2 - t**3,
            2 - 5 * t**2 + 3 * t**3,
            t + 4 * t**2 - 3 * t**3,
            -(t**2) + t**3,
        ],
        axis=1,
    )
    segments = corners if closed else corners - 1
    matrix = np.zeros((segments * steps + (not closed), corners))
    for segment in range(segments):
        rows = slice(segment * steps, (segment + 1) * steps)
        for j in range(4):
            corner = segment + j - 1
            corner = corner % corners if closed else min(max(corner, 0), corners - 1)
            matrix[rows, corner] += weights[:, j]
    if not closed:
        matrix[-1, -1] = 1.0
    return matrix


def curve(*corners: XY, closed: bool = True) -> Points:
    """A smooth curve through the corners; closed, it is a shape to fill."""
    return _catmull_rom(len(corners), closed) @ np.array(corners, dtype=float)


def limb(*joints: tuple[float, float, float]) -> Points:
    """A smooth limb through joints (x, y, half width), with a round end."""
    line = _catmull_rom(len(joints), False) @ np.array(joints, dtype=float)
    centre, half = line[:, :2], line[:, 2:]
    along = np.empty_like(centre)
    along[1:-1] = centre[2:] - centre[:-2]
    along[0] = centre[1] - centre[0]
    along[-1] = centre[-1] - centre[-2]
    along *= half / np.sqrt((along * along).sum(axis=1, keepdims=True) + 1e-12)
    across = along[:, ::-1] * (-1.0, 1.0)
    end = centre[-1] + _round_end() @ np.stack([across[-1], along[-1]])
    return np.concatenate([centre + across, end, (centre - across)[::-1]])


@lru_cache(maxsize=None)
def _round_end() -> Points:
    angles = np.arange(1, 6) * (np.pi / 6)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


class Sketch:
    """Shapes in drawing order; every part is rimmed by a thin dark line and shaded from below."""

    def __init__(self) -> None:
        self.marks: list[Mark] = []

    def part(self, *shapes: Points, ink: Ink = Ink.COAT, shade: float = 0.0) -> None:
        """Fill shapes that grow together: one rim around them all.

        `shade` is the part of the height, measured from below, that lies in the ink's shade.
        """
        for shape in shapes:
            self.marks.append((shape, Ink.RIM, 2 * RIM_WIDTH))
        for shape in shapes:
            self.marks.append((shape, _SHADES[ink] if shade else ink, 0.0))
        if shade:
            for shape in shapes:
                top = shape[shape[:, 1].argmin()]
                light = top + (shape - top) * (1 - 0.35 * shade, 1 - shade)
                self.marks.append((light, ink, 0.0))

    def patch(self, shape: Points, ink: Ink) -> None:
        """Fill a shape without a rim."""
        self.marks.append((shape, ink, 0.0))

    def line(self, points: Points, ink: Ink = Ink.RIM, width: float = 0.04) -> None:
        """Draw a line of the given width."""
        self.marks.append((points, ink, width))

    def eye(self, x: float, y: float, r: float, look: XY = (0.0, 0.0), pupil: float = 0.6) -> None:
        """A white eye with a dark pupil that looks aside by `look` (in radii) and a glint."""
        self.marks.append((ellipse(x, y, r, r), Ink.RIM, 1.4 * RIM_WIDTH))
        self.patch(ellipse(x, y, r, r), Ink.WHITE)
        px, py = x + look[0] * r, y + look[1] * r
        self.patch(ellipse(px, py, pupil * r, pupil * r), Ink.BLACK)
        glint = 0.26 * r
        self.patch(ellipse(px - 0.2 * r, py - 0.25 * r, glint, glint), Ink.WHITE)


def mirrored(shape: Points) -> Points:
    """The shape on the other side of the y axis."""
    return shape * (-1.0, 1.0)


def both(sketch: Sketch, shapes: Sequence[Points], ink: Ink, shade: float = 0.0) -> None:
    """Draw shapes and their mirror images as separate parts."""
    for shape in shapes:
        sketch.part(shape, ink=ink, shade=shade)
        sketch.part(mirrored(shape), ink=ink, shade=shade)
