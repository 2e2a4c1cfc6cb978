"""What a checkpoint says of the images that its network was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...runtime.image_files import FITS

__all__ = ["data_facts"]

_LARGEST = 10_000
_MOST_CLASSES = 100_000


def data_facts(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The entry ``data_set`` of a checkpoint of training, empty where there is none to rely on.

    Parameters
    ----------
    raw
        What the file holds beside weights; it may come from anyone.

    Returns
    -------
    dict
        ``name``, ``size``, ``fit``, ``classes``, ``mean``, ``std`` and ``split_seed``, see
        `robust_reps_ext.datasets.folder.FolderDataSet`; all of them or none.

    Examples
    --------
    >>> data_facts({"data_set": {"name": "folder", "size": "large"}})
    {}
    """
    found = raw.get("data_set")
    if not isinstance(found, Mapping):
        return {}
    size, seed, classes = (found.get(name) for name in ("size", "split_seed", "classes"))
    right = (
        found.get("name") == "folder"
        and type(size) is int
        and 8 <= size <= _LARGEST
        and type(seed) is int
        and seed >= 0
        and found.get("fit") in FITS
        and isinstance(classes, list)
        and 0 < len(classes) <= _MOST_CLASSES
        and all(isinstance(name, str) for name in classes)
        and _three(found.get("mean"))
        and _three(found.get("std"))
        and min(found["std"]) > 0
    )
    names = ("name", "size", "fit", "classes", "mean", "std", "split_seed")
    return {name: found[name] for name in names} if right else {}


def _three(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) == 3
        and all(type(value) is float and math.isfinite(value) for value in values)
    )
