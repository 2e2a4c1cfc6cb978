"""The options of figures for print."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .flags import option

if TYPE_CHECKING:
    from ..results.printing import Printing

__all__ = ["PrintOptions"]

FORMATS = ("png", "pdf", "svg")


class Width(str, Enum):
    """How wide a figure is in print."""

    column = "column"
    page = "page"


def _formats(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    if not set(found) <= set(FORMATS):
        raise typer.BadParameter(f"{text!r} is not of {','.join(FORMATS)}.")
    return found


def _dots(value: int | None) -> int | None:
    if value is not None and not 10 <= value <= 2400:
        raise typer.BadParameter(f"{value} is not in the range 10<=x<=2400.")
    return value


@dataclass(frozen=True, kw_only=True)
class PrintOptions:
    """How figures are written."""

    figure_format: Annotated[
        Any,
        option(
            "Formats of figures: png, pdf, svg; default: png.",
            "NAME,...",
            flag="--format",
            parser=_formats,
        ),
    ] = None
    width: Annotated[
        Width | None,
        option("Of figures: 3.5 or 7 inches; default: as wide as they come."),
    ] = None
    dpi: Annotated[
        int | None,
        option(
            "Dots per inch of figures' pixels, 10 to 2400; default: the figure's.",
            "N",
            callback=_dots,
        ),
    ] = None

    @property
    def printing(self) -> Printing:
        """How figures are written."""
        from ..results.printing import Printing

        return Printing(self.figure_format, self.width and self.width.value, self.dpi)
