"""The notebooks of examples/ as pages, with the pictures that they were kept with."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

NOTEBOOKS = Path(__file__).parents[2] / "examples"


def copy_notebooks(app: Sphinx, config: Config) -> None:
    """Copy them into ``notebooks``, where Sphinx finds pages; what is there and the same stays."""
    there = Path(app.srcdir, "notebooks")
    there.mkdir(exist_ok=True)
    found = {path.name: path for path in NOTEBOOKS.glob("*.ipynb")}
    for old in there.glob("*.ipynb"):
        if old.name not in found:
            old.unlink()
    for name, path in found.items():
        copy = there / name
        if not copy.exists() or not filecmp.cmp(path, copy, shallow=False):
            shutil.copyfile(path, copy)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it."""
    app.connect("config-inited", copy_notebooks)
    return {"parallel_read_safe": True}
