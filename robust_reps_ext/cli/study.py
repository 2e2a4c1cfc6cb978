"""The command `study`: a page that asks people what they see in results."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .options import composed, like, option

__all__ = ["study"]


class Kind(str, Enum):
    """What is asked of each image."""

    classes = "classes"
    pairs = "pairs"


@composed()
def study(
    results: Annotated[
        Path, typer.Argument(help="Folder of results, as given to --out.", metavar="OUT")
    ],
    *,
    kind: Annotated[
        Kind, option("Its class, or which of two photographs was the target.")
    ] = Kind.classes,
    choices: Annotated[
        str | None, option("Classes to choose from; default: those there are.", "NAME,...")
    ] = None,
    question: Annotated[
        str | None, option("Above each image; default: what it is, or which.", "TEXT")
    ] = None,
    milliseconds: Annotated[
        int | None, option("How long an image is shown; default: until the answer.", "N")
    ] = None,
    seed: Annotated[int, like("seed", "Fixes the order of each person.")] = 0,
) -> None:
    """Write a page that asks people what they see, OUT/study.html.

    It needs no network. Each person saves a CSV file; rr.read_study reads them together.

    \b
    robust-reps study out --kind pairs
    """
    from ..report.study import trials_of, write_study

    names = None if choices is None else [one.strip() for one in choices.split(",")]
    trials = trials_of(results, kind=kind.value, choices=names, seed=seed)
    asked = "What is this?" if kind is Kind.classes else "Which of these is it?"
    page = write_study(
        *(results / "study.html", trials),
        question=question or asked,
        milliseconds=milliseconds,
        seed=seed,
    )
    print(f"{len(trials)} trials, {len({one.condition for one in trials})} conditions")
    print(page)
