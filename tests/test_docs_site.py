"""The pages of docs/ before a site is made of them: links, names, and what they show runs."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import robust_reps_ext as rr

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MADE = {DOCS / "gallery", DOCS / "notebooks"}
PAGES = sorted(path for path in DOCS.rglob("*.md") if MADE.isdisjoint(path.parents))
METHODS = sorted(path for path in (DOCS / "methods").glob("*.md") if path.stem != "index")
GALLERY = sorted((ROOT / "examples" / "gallery").glob("plot_*.py"))
OUTSIDE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


def text_of(path):
    """A page without its code."""
    return re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)


def anchors(path):
    """What a code host calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text_of(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *OUTSIDE], ids=lambda page: page.name)
def test_links_between_pages_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{page.name} links to {target}"
        if heading:
            assert heading in anchors(there), f"{page.name} links to {target}"


def test_the_api_has_public_names_alone():
    shown = (DOCS / "api" / "index.rst").read_text("utf-8")
    directives = set(re.findall(r"^\.\. auto\w+:: (\w+)$", shown, flags=re.MULTILINE))
    assert len(directives) > 20
    assert directives <= set(rr.__all__)
    assert 'rr.results("out")' in shown


@pytest.mark.parametrize("page", METHODS, ids=lambda page: page.stem)
def test_a_method_has_its_parts_in_order(page):
    text = page.read_text("utf-8")
    parts = ["# ", "\n$$", "\n```python\n", "\n```bash\n", "\n## What goes wrong\n", "\nSource: "]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def python_of(page):
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)
    return code


@pytest.mark.parametrize("page", METHODS, ids=lambda page: page.stem)
def test_the_minimal_call_has_the_keywords_that_there_are(page):
    tree = ast.parse(python_of(page))
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), page.name, "exec"), {})
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("rr.")
    ]
    assert calls
    for call in calls:
        function = getattr(rr, call.func.attr)
        keywords = {keyword.arg: None for keyword in call.keywords}
        inspect.signature(function).bind(*call.args, **keywords)


@pytest.mark.slow
@pytest.mark.parametrize("page", METHODS, ids=lambda page: page.stem)
def test_the_minimal_call_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(python_of(page), page.name, "exec"), {})


@pytest.mark.parametrize("script", GALLERY, ids=lambda script: script.stem)
def test_a_picture_of_the_gallery_sets_figure_once(script):
    tree = ast.parse(script.read_text("utf-8"))
    assert ast.get_docstring(tree)
    names = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    assert names.count("figure") == 1


def test_the_citation_names_this_version():
    assert f"\nversion: {rr.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"version = {{{rr.__version__}}}" in (DOCS / "citing.md").read_text("utf-8")
    assert f"\n## {rr.__version__}\n" in (ROOT / "CHANGELOG.md").read_text("utf-8")
