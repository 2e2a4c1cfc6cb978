"""Short names of networks, for folders, tables and legends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["as_word", "short_names"]

# What training calls its files, whatever is in them.
_OF_TRAINING = re.compile(r"(\d+_)?checkpoint|weights|model|best|latest|last|final")
_ENDINGS = {".pt", ".pth", ".ckpt", ".tar", ".best", ".latest", ".bin", ".safetensors"}


def as_word(text: str) -> str:
    """A text as part of the name of a folder: letters, digits, ``.``, ``_`` and ``-``.

    Examples
    --------
    >>> as_word("torchvision:resnet50"), as_word("random:8"), as_word("3,50")
    ('torchvision-resnet50', 'random-8', '3-50')
    """
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")[:60] or "x"


def short_names(models: Sequence[str], given: Sequence[str] | None = None) -> list[str]:
    """What networks are called: the shortest that tells them apart.

    A name stays as it is. A file goes by its own name, without endings; where it has the name that
    every training gives, or another one of them has the same, by the folder in which they part.

    Parameters
    ----------
    models
        Names, or paths of files.
    given
        Names that are given for them, one for each.

    Examples
    --------
    >>> short_names(["runs/robust/checkpoint.pt.best", "runs/standard/checkpoint.pt.best"])
    ['robust', 'standard']
    >>> short_names(["critters-robust", "mine/resnet50.pt"])
    ['critters-robust', 'resnet50']
    """
    parts = [_parts(model) for model in models]
    found = [one[0] for one in parts]
    for name in {*found}:
        same = [i for i, other in enumerate(found) if other == name]
        if len(same) == 1:
            continue
        deepest = max(len(parts[i]) for i in same)
        for depth in range(1, deepest):
            folders = [parts[i][depth] if depth < len(parts[i]) else "" for i in same]
            if len({*folders}) == len(same) and "" not in folders:
                for i, folder in zip(same, folders, strict=True):
                    found[i] = folder
                break
    found = list(given) if given else found
    # What is left has nothing that tells it from another but its place.
    return [
        name if found.count(name) == 1 else f"{name}-{found[: i + 1].count(name)}"
        for i, name in enumerate(found)
    ]


def _parts(model: str) -> list[str]:
    """The name of a network, and of the folders that it is in, from the inside out."""
    path = Path(model)
    if path.suffix not in _ENDINGS and len(path.parts) < 2:
        return [model]
    name = path.name
    while Path(name).suffix in _ENDINGS:
        name = Path(name).stem
    folders = [one for one in reversed(path.absolute().parts[1:-1]) if one]
    if folders and _OF_TRAINING.fullmatch(name):
        return folders
    return [name, *folders]
