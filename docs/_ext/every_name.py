"""Names that the API, and pages that no index gives a place, stand at an end: none is left out."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

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


def add_the_other_pages(app: Sphinx, page: str, source: list[str]) -> None:
    """List, beside the methods, pages that no other page lists."""
    if page != "methods/index":
        return
    root = Path(app.srcdir)
    toctrees = re.compile(r"^```\{toctree\}$.*?^```$", flags=re.DOTALL | re.MULTILINE)
    listed = {
        Path(line).stem
        for path in root.rglob("*.md")
        for tree in toctrees.findall(path.read_text("utf-8"))
        for line in tree.splitlines()
    }
    rest = sorted({path.stem for path in root.glob("*.md")} - listed - {"index"})
    if rest:
        lines = "\n".join(f"../{stem}" for stem in rest)
        source[0] += f"\n```{{toctree}}\n:maxdepth: 1\n\n{lines}\n```\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it."""
    app.connect("source-read", add_the_rest)
    app.connect("source-read", add_the_other_pages)
    return {"parallel_read_safe": True}
