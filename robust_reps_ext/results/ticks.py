"""Numbers along an axis: two significant digits, and none that touches the one before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .captions import two_digits, width_of

__all__ = ["apart"]

GAP = 0.06
"""Inches between two numbers."""


def apart() -> Any:
    """A formatter of matplotlib that leaves out what would touch; the last number always stands.

    It is asked at every drawing, and so goes by the size that the figure has then.
    """
    from matplotlib.ticker import Formatter

    class Apart(Formatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return two_digits(x)

        def format_ticks(self, values: Sequence[float]) -> list[str]:
            axis: Any = self.axis
            figure, size = axis.get_figure(root=True), axis.majorTicks[0].label1.get_fontsize()
            places = axis.axes.transData.transform([(one, 0.0) for one in values])
            texts = [two_digits(one) for one in values]
            shown = [""] * len(texts)
            left = float("inf")
            for i in reversed(range(len(texts))):
                middle, half = places[i][0] / figure.dpi, width_of(texts[i], size) / 2
                if middle + half + GAP <= left:
                    shown[i], left = texts[i], middle - half
            return shown

    return Apart()
