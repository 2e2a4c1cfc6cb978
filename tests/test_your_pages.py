"""docs/objectives.md and the pages about one's own data, network and figures, block by block."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ["your-data.md", "your-network.md", "your-figure.md", "objectives.md"]
BLOCK = re.compile(r"<!-- runs -->\n```(\w+)\n(.*?)```", flags=re.DOTALL)

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def here(tmp_path, monkeypatch):
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        for i in range(1, 11):
            pixels = np.random.default_rng(20 * label + i).integers(0, 256, (36, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photographs" / name / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBUST_REPS_EXT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def shell(text, command):
    for line in text.replace("\\\n", " ").splitlines():
        program, *words = shlex.split(line)
        if program == "python":
            from robust_reps_ext.upstream.training.command import run

            assert words[:2] == ["-m", "robustness.main"]
            with pytest.raises(SystemExit) as end:
                run([*words[2:], "--workers", "0"])
            assert not end.value.code, line
        else:
            assert program == "robust-reps"
            few = [re.sub("^20$", "2", word) for word in words]
            status, _, err = command(*few)
            assert status == 0, err


@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs(page, here, command):
    blocks = BLOCK.findall((DOCS / page).read_text("utf-8"))
    assert len(blocks) >= 3
    for language, text in blocks:
        if language == "bash":
            shell(text, command)
        else:
            exec(compile(text, page, "exec"), {})


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)\)", (DOCS / page).read_text("utf-8")):
        assert (DOCS / link).exists(), link
