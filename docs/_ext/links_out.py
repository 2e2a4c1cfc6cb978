"""Links that lead out of docs/ on a code host lead to the same thing in the site."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]

# What stands outside docs/, and its page here.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "examples": "examples.md",
}
FILE = re.compile(r"\[([^\]\[]+)\]\(([^)#:\s]*examples/[^)#:\s]+)\)")
LINK = re.compile(r"\]\(([^)#:]+)(?=[)#])")


def lead_inside(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the file at the root that a page stands for in its place, and rewrite its links."""
    outside = next((ROOT / name for name, here in PAGES.items() if here == f"{page}.md"), None)
    base = Path(app.srcdir, page).parent
    if page in ("contributing", "changes") and outside is not None:
        source[0], base = outside.read_text("utf-8"), ROOT

    def fetched(match: re.Match[str]) -> str:
        """A script is there to be fetched; a notebook is a page, and there to be fetched, too."""
        target, name = (base / match[2]).resolve().relative_to(ROOT), match[1].strip("`")
        if target.suffix != ".ipynb":
            return f"{{download}}`{name} </../{target.as_posix()}>`"
        page = f"{{doc}}`{name} </notebooks/{target.stem}>`"
        return f"{page} ({{download}}`file </../{target.as_posix()}>`)"

    def rewritten(match: re.Match[str]) -> str:
        target = (base / match[1]).resolve()
        if target.is_relative_to(app.srcdir):
            return f"]({target.relative_to(app.srcdir) if base == ROOT else match[1]}"
        if not target.is_relative_to(ROOT):
            return match[0]
        inside = PAGES.get(target.relative_to(ROOT).parts[0])
        return f"](/{inside}" if inside else match[0]

    source[0] = LINK.sub(rewritten, FILE.sub(fetched, source[0]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it."""
    app.connect("source-read", lead_inside)
    return {"parallel_read_safe": True}
