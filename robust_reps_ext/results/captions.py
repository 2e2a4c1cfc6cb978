"""Texts that stand over and under images: how wide they are, and how they fit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

__all__ = ["fitted", "lines_of", "two_digits", "width_of"]


@lru_cache(maxsize=4096)
def width_of(text: str, size: float) -> float:
    """Width in inches of the longest line of `text`, set in `size` points."""
    from matplotlib.textpath import TextPath

    lines = [line.replace("$", r"\$") for line in text.splitlines() if line.strip()]
    extents = [TextPath((0, 0), line, size=size).get_extents() for line in lines]
    return max((float(extent.x1) for extent in extents), default=0.0) / 72


def lines_of(texts: Sequence[str]) -> int:
    """The most lines that one of them has."""
    return max((text.count("\n") + 1 for text in texts), default=1)


def fitted(texts: Sequence[str], width: float, size: float) -> tuple[list[str], float]:
    """The texts broken between words to be no wider than `width` inches, and the size of them all.

    The size is smaller than the given one where a single word is too wide.

    Examples
    --------
    >>> fitted(["leads after 32 steps"], width=0.6, size=7.0)
    (['leads after\\n32 steps'], 7.0)
    """
    broken = [
        "\n".join(part for line in text.split("\n") for part in _broken(line, width, size))
        for text in texts
    ]
    longest = max((width_of(text, size) for text in broken), default=0.0)
    return broken, size * min(1.0, width / longest) if longest else size


def two_digits(value: float, *, zeros: bool = False) -> str:
    """A number to two significant digits, as one reads it; with `zeros`, also where they are 0.

    Examples
    --------
    >>> [two_digits(value) for value in (0.01234, 2.0, 36.57, 1234.5)]
    ['0.012', '2', '37', '1200']
    >>> two_digits(0.1, zeros=True)
    '0.10'
    """
    rounded = float(f"{value:.2g}")
    padded = zeros and 1e-4 <= abs(rounded) < 10
    return f"{rounded:{'#.2g' if padded else 'g'}}".replace("-", "−")


def _broken(line: str, width: float, size: float) -> list[str]:
    parts: list[str] = []
    for word in line.split(" "):
        longer = f"{parts[-1]} {word}" if parts else word
        if parts and width_of(longer, size) <= width:
            parts[-1] = longer
        else:
            parts.append(word)
    return parts
