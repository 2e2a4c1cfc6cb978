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


class Width(str, Enum):
    """How wide a figure is in print."""

    column = "column"
    page = "page"


def _formats(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _printable(given: typer.CallbackParam, value: Any) -> Any:
    if value is not None:
        from ..results.printing import Printing

        Printing(**{"formats" if given.name == "figure_format" else str(given.name): value})
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
            callback=_printable,
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
            callback=_printable,
        ),
    ] = None

    @property
    def printing(self) -> Printing:
        """How figures are written."""
        from ..results.printing import Printing

        return Printing(self.figure_format, self.width and self.width.value, self.dpi)
