"""The WordNet ids of the 1000 classes of ImageNet (ILSVRC 2012), in the order of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources

__all__ = ["named", "wordnet_ids"]


@cache
def wordnet_ids() -> tuple[str, ...]:
    """The 1000 folder names of ImageNet; the place of each is its label.

    Examples
    --------
    >>> wordnet_ids()[151]
    'n02085620'
    """
    return tuple((resources.files(__package__) / "wordnet.txt").read_text("utf-8").split())


def named(folders: Sequence[str]) -> list[str]:
    """The names of ImageNet's classes, as torchvision has them; other folders as they are called.

    Examples
    --------
    >>> named(["n02123045", "n02085620", "cats"])
    ['tabby', 'Chihuahua', 'cats']
    """
    names = _names() if any(folder in wordnet_ids() for folder in folders) else {}
    return [names.get(folder, folder) for folder in folders]


@cache
def _names() -> dict[str, str]:
    from torchvision.models import ResNet50_Weights

    categories = ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
    return dict(zip(wordnet_ids(), categories, strict=True))
