"""Kaleidoscope patterns: inputs unlike anything in a model's data."""

from __future__ import annotations

import colorsys

import numpy as np
import torch
from torch import Tensor

from ..runtime.errors import InputError

__all__ = ["kaleidoscope"]


def kaleidoscope(n: int, *, size: int = 64, seed: int = 0) -> Tensor:
    """Draw random kaleidoscope patterns, the out-of-distribution targets of Fig. 14a.

    Each is a wedge of random coloured discs, bands and triangles, mirrored around the centre 4
    to 9 times.

    Parameters
    ----------
    n
        How many, 1 or more.
    size
        Height and width in pixels, 8 or more.
    seed
        The same seed draws the same patterns; the first of 10 are those of 5, and a pattern is
        the same at every size.

    Returns
    -------
    Tensor
        (n, 3, size, size), float32 in [0, 1].

    Raises
    ------
    InputError
        If n or size is too small, or the seed is negative.

    Examples
    --------
    >>> from robust_reps_ext.datasets.patterns import kaleidoscope
    >>> kaleidoscope(2, size=32).shape
    torch.Size([2, 3, 32, 32])
    """
    if n < 1:
        raise InputError(f"n={n}: ask for 1 pattern or more")
    if size < 8:
        raise InputError(f"size={size}: a pattern needs 8 pixels or more")
    if seed < 0:
        raise InputError(f"seed={seed}: give 0 or more")
    drawn = np.stack([_kaleidoscope(size, np.random.default_rng((seed, i))) for i in range(n)])
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).float().contiguous()


def _kaleidoscope(size: int, rng: np.random.Generator) -> np.ndarray:
    """One pattern, (size, size, 3)."""
    pixel = 2 / size
    axis = (np.arange(size) + 0.5) * pixel - 1
    x, y = np.meshgrid(axis, axis)
    folds = int(rng.integers(4, 10))
    wedge = np.pi / folds
    radius, angle = np.hypot(x, y), np.arctan2(y, x) + rng.uniform(0, 2 * np.pi)
    folded = np.abs((angle + wedge) % (2 * wedge) - wedge)
    u, v = radius * np.cos(folded), radius * np.sin(folded)
    first_hue = rng.uniform()
    image = np.ones((size, size, 3)) * _color(rng, first_hue)
    for _ in range(int(rng.integers(14, 22))):
        distance = _shape(rng, u, v, wedge)
        # Half covered where an edge runs through the middle of a pixel.
        cover = np.clip(0.5 - distance / pixel, 0, 1)[..., None]
        image = image + cover * (_color(rng, first_hue) - image)
    return image


def _shape(rng: np.random.Generator, u: np.ndarray, v: np.ndarray, wedge: float) -> np.ndarray:
    """Signed distance to a random shape in the wedge, negative inside."""
    # Uniform over the wedge's area, out to the corners of the square.
    r, a = np.sqrt(2) * np.sqrt(rng.uniform(0.01, 1)), rng.uniform(0, wedge)
    du, dv = u - r * np.cos(a), v - r * np.sin(a)
    turn = rng.uniform(0, 2 * np.pi)
    kind = rng.choice(3, p=(0.3, 0.2, 0.5))
    if kind == 0:
        found = np.hypot(du, dv) - rng.uniform(0.06, 0.3)
        return np.abs(found) - 0.03 if rng.uniform() < 0.3 else found
    if kind == 1:
        return np.abs(du * np.cos(turn) + dv * np.sin(turn)) - rng.uniform(0.02, 0.1)
    sides = turn + np.cumsum(rng.uniform(0.5, 0.85, size=3)) * np.pi
    reach = rng.uniform(0.06, 0.28, size=3)
    return np.max(
        [
            du * np.cos(side) + dv * np.sin(side) - far
            for side, far in zip(sides, reach, strict=True)
        ],
        axis=0,
    )


def _color(rng: np.random.Generator, first_hue: float) -> np.ndarray:
    """A vivid colour, most often of one of three hues that go together; now and then pale."""
    hue = first_hue + rng.choice((0, 0.12, 0.45)) + rng.normal(0, 0.05)
    pale = rng.uniform() < 0.15
    saturation = rng.uniform(0, 0.25) if pale else rng.uniform(0.6, 1)
    value = rng.uniform(0.85, 1) if pale else rng.uniform(0.35, 1)
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value))
