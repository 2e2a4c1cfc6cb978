"""What sphinx-gallery shows of an example: the variable `figure`, which no pyplot knows of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst


def drawn_figures(block: Any, variables: dict[str, Any], configuration: dict[str, Any]) -> str:
    """Save `figure` where a block has set it, and show it."""
    figure = variables["example_globals"].pop("figure", None)
    if figure is None:
        return ""
    path = next(variables["image_path_iterator"])
    figure.savefig(path, dpi=150, bbox_inches="tight")
    return str(figure_rst([Path(path)], configuration["src_dir"]))
