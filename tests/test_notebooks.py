"""The notebooks run from top to bottom, with few steps, and are kept with their pictures."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


def test_every_notebook_is_listed():
    listed = (NOTEBOOKS[0].parents[1] / "docs" / "examples.md").read_text("utf-8")
    assert len(NOTEBOOKS) == 6
    assert all(f"(../examples/{path.name})" in listed for path in NOTEBOOKS)


def python(source):
    """A cell without its magic."""
    return TransformerManager().transform_cell(source)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_python_and_imports_what_is_there(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not {output["output_type"] for output in outputs} & {"error"}
    assert path.stat().st_size < 600_000
    assert not re.search(r"/(home|tmp|root|work)/", path.read_text("utf-8"))
    cells = [ast.parse(python(cell.source)) for cell in notebook.cells if cell.cell_type == "code"]
    imports = [one for cell in cells for one in cell.body if hasattr(one, "names")]
    assert imports
    exec(compile(ast.Module(imports, []), path.name, "exec"), {})


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# The kernel's client, in tornado and zmq: not ours.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_notebook_runs_and_shows_pictures(path, tmp_path, monkeypatch):
    notebook = nbformat.read(path, as_version=4)
    monkeypatch.setenv("STEPS", "3")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.create_kernel_manager()
    client.km.kernel_spec.argv[0] = sys.executable
    client.execute()
    shown = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert shown
