"""Names in signatures and docstrings that have no page of their own are text, not broken links."""

from __future__ import annotations

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

# Projects without a site that has an inventory, and parts of ours that signatures name in passing.
PLAIN = ("robust_reps_ext.", "robustness.", "typing_extensions.")


def as_text(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.TextElement | None:
    """Leave the name as it is written: `obj` is what single backticks of a docstring are."""
    plain = node.get("reftype") == "class" and node.get("reftarget", "").startswith(PLAIN)
    return content if plain or node.get("reftype") == "obj" else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it."""
    app.connect("missing-reference", as_text, priority=900)
    return {"parallel_read_safe": True}
