"""The commands for the paper's experiments, by name."""

from __future__ import annotations

import typer

from .common import with_common_options
from .evaluation import evaluate
from .features import activations, add_feature, visualize
from .inversion import curve, interpolate, invert
from .robust_data import robustify

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for name, n, command in (
        ("invert", 8, invert),
        ("curve", 4, curve),
        ("interpolate", 4, interpolate),
        ("visualize", 2, visualize),
        ("add-feature", 8, add_feature),
        ("activations", 8, activations),
    ):
        app.command(name)(with_common_options(command, n))
    app.command("evaluate")(evaluate)
    app.command("robustify")(robustify)
