"""The API is complete: what `docs/api/index.rst` gives no place stands at its end."""

from __future__ import annotations

import inspect
import re

from sphinx.application import Sphinx

import robust_reps_ext as rr

ELSEWHERE = {"__version__", "results"}  # told in words
KINDS = {True: "autoclass", False: "autofunction"}


def add_the_rest(app: Sphinx, page: str, source: list[str]) -> None:
    """Name what is public and not yet named."""
    if page != "api/index":
        return
    named = set(re.findall(r"^\.\. auto\w+:: (\w+)$", source[0], flags=re.MULTILINE))
    rest = [name for name in rr.__all__ if name not in named | ELSEWHERE]
    if rest:
        lines = [f".. {KINDS[inspect.isclass(getattr(rr, name))]}:: {name}" for name in rest]
        source[0] += "\nAnd\n---\n\n" + "\n".join(lines) + "\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it."""
    app.connect("source-read", add_the_rest)
    return {"parallel_read_safe": True}
