"""Figures for print: in which formats, how wide, and how fine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.errors import InputError
from ..runtime.numbers import shown, whole
from .figures import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "WIDTHS", "Printing", "at_width"]

FORMATS = ("png", "pdf", "svg")

WIDTHS = {"column": 3.5, "page": 7.0}
"""In inches: a column and the width of the text of a page of two columns."""

TEXT_SIZE = 8.0
"""The largest text of a figure of such a width, in points."""


@dataclass(frozen=True)
class Printing:
    """How figures are written.

    Attributes
    ----------
    formats
        Of ``"png"``, ``"pdf"``, ``"svg"``; None: those that the figure has by itself.
    width
        ``"column"`` (3.5 inches) or ``"page"`` (7 inches); None: as wide as it is by itself.
    dpi
        Dots per inch of pixels, 10 to 2400; None: as many as a figure has by itself.

    Raises
    ------
    InputError
        If one of them is another.

    Examples
    --------
    >>> Printing(("pdf",), "column").kinds(("png",))
    ('pdf',)
    """

    formats: tuple[str, ...] | None = None
    width: str | None = None
    dpi: int | None = None

    def __post_init__(self) -> None:
        formats: Any = self.formats
        if formats is not None and (not formats or not set(formats) <= set(FORMATS)):
            told = formats if isinstance(formats, str) else ",".join(map(str, formats))
            raise InputError(f"format {told!r} is not known: choose of {','.join(FORMATS)}")
        if self.width is not None and self.width not in WIDTHS:
            raise InputError(f"width={shown(self.width)} is not known: choose column or page")
        if self.dpi is not None:
            whole("dpi", self.dpi, 10, most=2400)

    def kinds(self, own: Sequence[str]) -> tuple[str, ...]:
        """The formats to write a figure in that has `own` by itself."""
        return tuple(self.formats or own)

    def files(self, folder: Path, name: str) -> list[Path]:
        """Where a figure of that name goes: one file if it ends in a format, else as `formats`."""
        if Path(name).suffix[1:] in FORMATS:
            return [folder / name]
        return [folder / f"{name}.{kind}" for kind in self.kinds(("png",))]

    def write(self, figure: Figure, path: Path) -> None:
        """Write a figure, see `robust_reps_ext.results.figures.save_figure`."""
        if self.width is not None:
            figure = at_width(figure, WIDTHS[self.width])
        save_figure(figure, path, dpi=self.dpi)


def at_width(figure: Figure, inches: float) -> Figure:
    """A figure of that width: images are laid out anew, plots are drawn narrower or wider.

    Text keeps a size that can be read. Of images, the figure may be a little narrower.
    """
    again = getattr(figure, "at_width", None)
    if again is not None:
        made: Figure = again(inches)
        return made
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_fontsize(min(text.get_fontsize(), TEXT_SIZE))
    figure.set_size_inches(inches, figure.get_size_inches()[1])
    return figure
