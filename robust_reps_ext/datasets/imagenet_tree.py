"""Which ImageNet class each folder of a tree of images is."""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import lru_cache

from ..runtime.errors import InputError, listed
from .wordnet import wordnet_ids

__all__ = ["imagenet_classes"]

_log = logging.getLogger(__name__)


def imagenet_classes(folders: Collection[str]) -> dict[str, int]:
    """ImageNet class, 0 to 999, of each folder.

    A folder named by a WordNet id is that class, whatever else lies beside it; folders that are
    no ImageNet class are left out, and a warning names them. Folders under any other names count
    by position in sorted order, if there are exactly 1000.

    Parameters
    ----------
    folders
        Names of the class folders, in any order.

    Returns
    -------
    dict
        Folder to class.

    Raises
    ------
    InputError
        If no folder is a WordNet id of ImageNet and there are not exactly 1000 of them.

    Examples
    --------
    >>> imagenet_classes(["n02123045", "n01440764"])
    {'n01440764': 0, 'n02123045': 281}
    """
    names = sorted(folders)
    rank = _rank()
    found = {name: rank[name] for name in names if name in rank}
    if found:
        strays = [name for name in names if name not in rank]
        if strays:
            _log.warning("ignored, not an ImageNet class: %s", listed(strays))
        return found
    if len(names) != len(rank):
        raise InputError(
            f"these {len(names)} class folders are not ImageNet's ({listed(names) or 'none'}): "
            "name them by WordNet id (n02085620, ...) or give all 1000 in ImageNet's order"
        )
    return {name: position for position, name in enumerate(names)}


@lru_cache(maxsize=1)
def _rank() -> dict[str, int]:
    return {wnid: position for position, wnid in enumerate(wordnet_ids())}
