"""docs/training.md: the command that trains against the representation on Restricted ImageNet."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image
from robustness.attacker import Attacker

from robust_reps_ext.datasets.restricted_imagenet import sub_classes
from robust_reps_ext.upstream.training.command import run
from robust_reps_ext.upstream.training.presets import preset_path

PAGE = Path(__file__).parents[1] / "docs" / "training.md"
BLOCK = re.compile(r"<!-- runs -->\n```bash\n(.*?)```", flags=re.DOTALL)


@pytest.fixture
def imagenet(tmp_path):
    """One image of one class of each of the nine, of a grey of its own."""
    for split in ("train", "val"):
        for i, wnids in enumerate(sub_classes().values()):
            folder = tmp_path / "imagenet" / split / wnids[0]
            folder.mkdir(parents=True)
            Image.new("RGB", (32, 32), (25 * i,) * 3).save(folder / "image.png")
    return tmp_path / "imagenet"


def test_the_adversary_of_restricted_imagenet_aims_at_the_representation(
    imagenet, tmp_path, monkeypatch
):
    [block] = BLOCK.findall(PAGE.read_text("utf-8"))
    preset = re.search(r"\$\(robust-reps preset (\w+)\)", block)
    line = block.replace("\\\n", " ").replace(preset.group(), str(preset_path(preset.group(1))))
    line = line.replace("IMAGENET", str(imagenet)).replace("runs", str(tmp_path / "runs"))
    program, *words = shlex.split(line)
    assert [program, *words[:2]] == ["python", "-m", "robustness.main"]
    small = {"arch": "resnet18", "epochs": 1, "batch-size": 9, "attack-steps": 1, "workers": 0}
    small |= {"image-sizes": "[(0, 32)]"}
    for name, value in small.items():
        words += [f"--{name}", str(value)]
    attacks = []
    forward = Attacker.forward

    def watched(self, x, target, *given, **how):
        end = forward(self, x, target, *given, **how)
        attacks.append((how.get("custom_loss"), target, how["eps"], end - x))
        return end

    monkeypatch.setattr(Attacker, "forward", watched)
    with pytest.raises(SystemExit) as ended:
        run(words[2:])
    assert not ended.value.code
    assert len(attacks) == 2  # a batch of training, and one of evaluation at the full size
    for (objective, target, eps, moved), size in zip(attacks, (32, 224), strict=True):
        assert objective.name == "representation_matching"
        assert target.shape == (9, 512)  # representations, not labels
        assert eps == pytest.approx(3 * size / 224)
        assert 0 < float(moved.flatten(1).norm(dim=1).max()) <= eps + 1e-3
    saved = torch.load(tmp_path / "runs/matching/checkpoint.pt.latest", weights_only=True)
    assert saved["epoch"] == 1
