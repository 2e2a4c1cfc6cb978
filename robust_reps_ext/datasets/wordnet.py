"""The WordNet ids of the 1000 classes of ImageNet (ILSVRC 2012), in the order of their labels."""

from __future__ import annotations

from functools import cache
from importlib import resources

__all__ = ["wordnet_ids"]


@cache
def wordnet_ids() -> tuple[str, ...]:
    """The 1000 folder names of ImageNet; the place of each is its label.

    Examples
    --------
    >>> wordnet_ids()[151]
    'n02085620'
    """
    return tuple((resources.files(__package__) / "wordnet.txt").read_text("utf-8").split())
