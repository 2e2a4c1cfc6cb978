"""What a checkpoint says of the images that its network was trained on, and of the attack."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...runtime.image_files import FITS

__all__ = ["attack_facts", "data_facts", "size_fact"]

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
        and _is_size(size)
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


def attack_facts(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The entry ``attack`` of a checkpoint of training, empty where there is none to rely on.

    Parameters
    ----------
    raw
        What the file holds beside weights; it may come from anyone.

    Returns
    -------
    dict
        ``constraint``, ``"2"`` or ``"inf"``, and ``eps``; where they are told, also ``step_size``
        and ``iterations``: what the network was trained against.

    Examples
    --------
    >>> attack_facts({"attack": {"constraint": "2", "eps": 0.5, "step_size": 0.1}})
    {'constraint': '2', 'eps': 0.5, 'step_size': 0.1}
    >>> attack_facts({"attack": {"constraint": "2", "eps": "large"}})
    {}
    """
    found = raw.get("attack")
    if not isinstance(found, Mapping) or found.get("constraint") not in ("2", "inf"):
        return {}
    if not _length(found.get("eps")):
        return {}
    told = {name: found[name] for name in ("constraint", "eps")}
    if _length(found.get("step_size")):
        told["step_size"] = found["step_size"]
    steps = found.get("iterations")
    if type(steps) is int and steps >= 1:
        told["iterations"] = steps
    return told


def size_fact(raw: Mapping[str, Any]) -> int | None:
    """Height and width of the images, which the card of a converted checkpoint tells."""
    found = raw.get("size")
    return found if _is_size(found) else None


def _is_size(value: Any) -> bool:
    return type(value) is int and 8 <= value <= _LARGEST


def _length(value: Any) -> bool:
    return type(value) is float and 0 < value < math.inf


def _three(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) == 3
        and all(type(value) is float and math.isfinite(value) for value in values)
    )
