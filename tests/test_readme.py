"""What README.md shows runs, and what it links to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_first_python_block_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = blocks("python")[0]
    assert "rr.invert(model, targets)" in code
    short = code.replace("rr.invert(model, targets)", "rr.invert(model, targets, iterations=2)")
    exec(compile(short, "README.md", "exec"), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "inversion.png",
        "inversion.safetensors",
    ]


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_links_lead_somewhere(link):
    assert link.startswith("https://") or (ROOT / link).exists()


def test_presets_and_commands_named_exist():
    from robust_reps_ext.upstream.training.presets import preset_names

    named = set(re.findall(r"robust-reps preset (\w+)", README))
    assert named
    assert named <= set(preset_names())


def test_there_is_one_test_command():
    (command,) = re.findall(r"<!-- test command -->\n```bash\n(.*?)\n```", README)
    assert command.endswith("pytest -q -n 2")
