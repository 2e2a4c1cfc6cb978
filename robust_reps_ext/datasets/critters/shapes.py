"""Shapes that the critters are drawn from, and the sketch that collects them.

A shape is a float array of points (N, 2), a closed outline in the animal's own coordinates: x to
the right, y down, the animal about two units wide. A `Sketch` lists shapes in drawing order, each
with the ink it is filled with. It knows nothing about pixels: `drawing` paints it.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "XY",
    "Ink",
    "Points",
    "Pose",
    "Sketch",
    "curve",
    "ellipse",
    "grown",
    "limb",
    "mirrored",
    "moved",
    "polygon",
    "turned",
]

Points = NDArray[np.float64]
XY = tuple[float, float]


class Ink(IntEnum):
    """What a point of the picture is made of; nought is where the background shows."""

    NONE = 0
    RIM = 1
    COAT = 2  # the only ink that bears the texture
    PLAIN = 3
    FAR = 4
    PALE = 5
    HORN = 6
    WHITE = 7
    BLACK = 8
    BLUSH = 9


def ellipse(x: float, y: float, rx: float, ry: float) -> Points:
    """An ellipse around (x, y) with the given half axes."""
    return _circle(28) * (rx, ry) + (x, y)


def polygon(*corners: XY) -> Points:
    """Straight lines from corner to corner."""
    return np.array(corners, dtype=float)


def curve(*corners: XY) -> Points:
    """A smooth closed curve through the corners."""
    return _catmull_rom(len(corners), True) @ np.array(corners, dtype=float)


def limb(*joints: tuple[float, float, float]) -> Points:
    """A smooth limb with round ends through joints (x, y, half width)."""
    line = _catmull_rom(len(joints), False) @ np.array(joints, dtype=float)
    centre, half = line[:, :2], line[:, 2:]
    along = np.empty_like(centre)
    along[1:-1] = centre[2:] - centre[:-2]
    along[0] = centre[1] - centre[0]
    along[-1] = centre[-1] - centre[-2]
    along *= half / np.sqrt((along * along).sum(axis=1, keepdims=True) + 1e-12)
    across = along[:, ::-1] * (-1.0, 1.0)
    bend = _circle(12)[1:6]
    return np.concatenate(
        [
            centre + across,
            centre[-1] + bend[:, :1] * across[-1] + bend[:, 1:] * along[-1],
            (centre - across)[::-1],
            centre[0] - bend[:, :1] * across[0] - bend[:, 1:] * along[0],
        ]
    )


def mirrored(shape: Points) -> Points:
    """The shape on the other side of the y axis."""
    return shape * (-1.0, 1.0)


def moved(shape: Points, x: float, y: float) -> Points:
    """The shape moved by (x, y)."""
    return shape + np.array((x, y))


def turned(shape: Points, angle: float, centre: XY = (0.0, 0.0)) -> Points:
    """The shape turned clockwise by `angle` radians around a point."""
    cos, sin = np.cos(angle), np.sin(angle)
    return (shape - centre) @ np.array([[cos, sin], [-sin, cos]]) + centre


def grown(points: Points, starts: NDArray[np.int64], by: float) -> Points:
    """Move outlines outwards; `starts` are the rows of `points` at which each outline begins."""
    rows = np.arange(len(points))
    ends = np.append(starts[1:], len(points)) - 1
    after = rows + 1
    after[ends] = starts
    edge = points[after] - points
    before = rows - 1
    before[starts] = ends
    area = np.add.reduceat(points[:, 0] * edge[:, 1] - points[:, 1] * edge[:, 0], starts)
    edge /= np.sqrt((edge * edge).sum(axis=1, keepdims=True)) + 1e-9
    normal = edge[:, ::-1] * (1.0, -1.0)
    corner = normal + normal[before]
    sharp = (corner * corner).sum(axis=1, keepdims=True) / 2
    outwards = np.repeat(np.sign(area) * by, ends - starts + 1)
    return points + corner * (outwards[:, None] / np.maximum(sharp, 0.45))


@cache
def _circle(points: int) -> Points:
    angles = np.arange(points) * (2 * np.pi / points)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@cache
def _catmull_rom(corners: int, closed: bool, steps: int = 6) -> Points:
    """The matrix that turns corners into points on the smooth curve through them."""
    t = np.arange(steps) / steps
    weights = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2],
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


class Pose:
    """Draws the numbers that describe a pose, and remembers them by name."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._left = rng.random(16).tolist()
        self.values: dict[str, float] = {}

    def __call__(self, name: str, low: float, high: float) -> float:
        """A number between `low` and `high`, kept as `values[name]`."""
        value = float(low + (high - low) * self._left.pop())
        self.values[name] = value
        return value


class Sketch:
    """Shapes in drawing order, as (points, ink, whether it is grown by the rim's width)."""

    def __init__(self) -> None:
        self.marks: list[tuple[Points, Ink, bool]] = []

    def part(self, *shapes: Points, ink: Ink = Ink.COAT) -> None:
        """Fill shapes that grow together, with one dark rim around them all."""
        self.marks += [(shape, Ink.RIM, True) for shape in shapes]
        self.marks += [(shape, ink, False) for shape in shapes]

    def pair(self, shape: Points, ink: Ink = Ink.COAT) -> None:
        """Fill a shape and its mirror image, each with its rim."""
        self.part(shape, ink=ink)
        self.part(mirrored(shape), ink=ink)

    def patch(self, *shapes: Points, ink: Ink) -> None:
        """Fill shapes without a rim."""
        self.marks += [(shape, ink, False) for shape in shapes]

    def line(self, *corners: XY, width: float = 0.04) -> None:
        """Draw a smooth dark line through the corners."""
        self.patch(limb(*((x, y, width / 2) for x, y in corners)), ink=Ink.RIM)

    def eye(self, x: float, y: float, r: float, look: XY, pupil: float = 0.62) -> None:
        """A white eye whose pupil lies aside by `look` (in radii), with a glint."""
        self.part(ellipse(x, y, r, r), ink=Ink.WHITE)
        x, y = x + look[0] * r, y + look[1] * r
        self.patch(ellipse(x, y, pupil * r, pupil * r), ink=Ink.BLACK)
        self.patch(ellipse(x - 0.2 * r, y - 0.25 * r, 0.26 * r, 0.26 * r), ink=Ink.WHITE)
