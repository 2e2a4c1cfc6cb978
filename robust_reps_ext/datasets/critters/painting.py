"""From a sketch to pixels: filling, texture, colour, background and light.

A picture is painted as a map of inks at several times its size, coloured through a table, averaged
down and laid over a soft background. Sizes and places here are in pixels of the large canvas.
"""

from __future__ import annotations

import colorsys
from functools import lru_cache
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .shapes import XY, Ink, Sketch, grown

__all__ = ["Pixels", "background", "colours", "compose", "hsv", "paint", "spots", "stripes"]

_RIM_WIDTH = 0.036  # of the animal's units, of which it is about two wide
_SECOND = 16  # an ink in the texture's second colour lies this far above the ink itself

Pixels = NDArray[np.uint8]
Colour = NDArray[np.float64]


def paint(
    sketch: Sketch, canvas: int, rotation: float, side: int, extent: float, place: XY
) -> tuple[Pixels, float, XY]:
    """Turn, mirror, scale, move and fill the sketch; also its unit and middle, in pixels."""
    outlines = [points for points, _, _ in sketch.marks]
    counts = np.array([len(points) for points in outlines])
    points = np.concatenate(outlines)
    rimmed = np.repeat([mark[2] for mark in sketch.marks], counts)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    points = np.where(rimmed[:, None], grown(points, starts, _RIM_WIDTH), points)
    turn = np.array([[side * cos(rotation), side * sin(rotation)], [-sin(rotation), cos(rotation)]])
    points = points @ turn
    low, high = points.min(axis=0), points.max(axis=0)
    unit = float(extent * canvas / (high - low).max())
    half = (high - low) * (unit / 2)
    middle = half + (0.02 + 0.96 * np.array(place)) * (canvas - 2 * half)
    points = (points - (low + high) / 2) * unit + middle
    numbers, ends = points.ravel().tolist(), (2 * np.cumsum(counts)).tolist()

    image = Image.new("L", (canvas, canvas))
    draw = ImageDraw.Draw(image)
    start = 0
    for (_, ink, _), end in zip(sketch.marks, ends, strict=True):
        draw.polygon(numbers[start:end], fill=int(ink))
        start = end
    return np.asarray(image), unit, (float(middle[0]), float(middle[1]))


def stripes(canvas: int, period: float, angle: float, phase: float, wobble: float) -> Pixels:
    """Wavy bands, by the overflow of 8-bit phases: 256 is one period."""
    steps = np.arange(canvas)
    bend = 30 * wobble * np.sin(steps * (2 * pi / (4.5 * period)))
    across = steps * (cos(angle) * 256 / period) + 256 * phase
    down = steps * (sin(angle) * 256 / period)
    if abs(cos(angle)) > abs(sin(angle)):
        down = down + bend
    else:
        across = across + bend
    phases = (
        across.astype(np.int64).astype(np.uint8) + down.astype(np.int64).astype(np.uint8)[:, None]
    )
    return (phases < 112).view(np.uint8) * np.uint8(_SECOND)


def spots(
    rng: np.random.Generator, canvas: int, period: float, angle: float, middle: XY, unit: float
) -> Pixels:
    """Round spots on a turned, jittered grid that covers the animal."""
    steps = np.arange(-9, 10) * period
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    grid = grid @ np.array([[cos(angle), sin(angle)], [-sin(angle), cos(angle)]])
    grid = grid[(np.abs(grid) < 1.2 * unit).all(axis=1)] + middle
    noise = rng.random((len(grid), 3))
    grid += (noise[:, :2] - 0.5) * (0.4 * period)
    radius = (0.25 + 0.1 * noise[:, 2:]) * period
    image = Image.new("L", (canvas, canvas))
    draw = ImageDraw.Draw(image)
    for box in np.concatenate([grid - radius, grid + radius], axis=1).tolist():
        draw.ellipse(box, fill=_SECOND)
    return np.asarray(image)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Red, green and blue, 0 to 1, from a hue in degrees."""
    return np.array(colorsys.hsv_to_rgb(hue / 360, saturation, value))


def colours(coat: Colour, second_hue: float, dark: bool) -> NDArray[np.uint32]:
    """The table from inks to pixels of four bytes, the last 255 where the animal covers."""
    inks: dict[Ink, Colour | tuple[float, float, float]] = {
        Ink.RIM: coat * 0.2,
        Ink.COAT: coat,
        Ink.PLAIN: coat,
        Ink.FAR: coat * 0.64,
        Ink.PALE: coat + ((1.0, 0.98, 0.93) - coat) * 0.68,
        Ink.HORN: (0.96, 0.9, 0.76),
        Ink.WHITE: (1.0, 1.0, 1.0),
        Ink.BLACK: (0.07, 0.06, 0.08),
        Ink.BLUSH: (0.93, 0.6, 0.6),
    }
    table = np.zeros((2 * _SECOND, 4))
    for ink, colour in inks.items():
        table[[ink, ink + _SECOND], :3] = colour
        table[[ink, ink + _SECOND], 3] = 1
    table[Ink.COAT + _SECOND, :3] = (
        hsv(second_hue, 0.6, 0.16) if dark else hsv(second_hue, 0.12, 1.0)
    )
    return np.rint(table * 255).astype(np.uint8).view(np.uint32)[:, 0]


def compose(
    picture: NDArray[np.uint32], ground: NDArray[np.float32], size: int, scale: int
) -> Pixels:
    """Average the picture down, light it from above and lay it over the ground with a shadow."""
    canvas = size * scale
    image = Image.frombuffer("RGBX", (canvas, canvas), picture, "raw", "RGBX", 0, 1).reduce(scale)
    pixels = np.asarray(image).astype(np.float32)
    cover = pixels[..., 3:]
    shape = Image.fromarray(np.asarray(image)[..., 3]).resize((16, 16), Image.Resampling.BOX)
    soft = np.pad(np.asarray(shape).astype(np.float32) / 255, ((3, 3), (2, 2)))
    above, level, below = soft[:-2], soft[1:-1], soft[2:]
    weights = _spline(size, 20)
    shadow, rise = weights @ np.stack([(above + level) / 2, below - above]) @ weights.T
    ground *= 1 - 0.36 * shadow[..., None]
    light = 1 + 0.22 * rise[..., None]
    out = np.minimum(pixels[..., :3] * light, cover) + ground * (1 - cover / 255)
    return np.rint(out).astype(np.uint8)


@lru_cache(maxsize=16)
def _spline(size: int, knots: int) -> NDArray[np.float32]:
    """Weights (size, knots) of a uniform cubic B-spline, its outer two knots beyond each edge."""
    place = (np.arange(size) + 0.5) / size * (knots - 4) + 0.5
    first = place.astype(int)
    t = place - first
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3]
    matrix = np.zeros((size, knots), dtype=np.float32)
    matrix[np.arange(size)[:, None], first[:, None] + np.arange(4)] = np.stack(weights, axis=1) / 6
    return matrix


def background(rng: np.random.Generator, size: int, hue: float) -> NDArray[np.float32]:
    """Smooth noise of low saturation around one hue and a random brightness, 0 to 255."""
    base = hsv(hue, rng.uniform(0.08, 0.36), rng.uniform(0.3, 0.95)).astype(np.float32)
    ground = np.broadcast_to(base, (size, size, 3)).copy()
    for knots, strength, tint in ((6, 0.22, 0.08), (10, 0.13, 0.04)):
        noise = rng.standard_normal((knots, knots, 4), dtype=np.float32)
        noise = strength * noise[..., :1] + tint * noise[..., 1:]
        weights = _spline(size, knots)
        rows = (weights @ noise.reshape(knots, -1)).reshape(size, knots, 3)
        ground += weights @ rows
    return np.clip(ground, 0, 1, out=ground) * 255
