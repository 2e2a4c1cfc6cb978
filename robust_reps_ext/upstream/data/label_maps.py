"""From the folders of an ImageNet tree to the labels of a grouping, as upstream's helpers do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ...runtime.errors import InputError
from .. import registry

__all__ = ["custom_label_mapping", "restricted_label_mapping"]


def restricted_label_mapping(
    classes: Sequence[str],
    class_to_idx: Mapping[str, int],
    ranges: Sequence[tuple[int, int]],
) -> tuple[list[str], dict[str, int]]:
    """Label each folder by the range that its ImageNet class lies in.

    Parameters
    ----------
    classes
        The folders, sorted. Kept for upstream's signature; `class_to_idx` says the same.
    class_to_idx
        Folder to position. The position counts only where no folder is a WordNet id and there
        are exactly 1000 of them; otherwise the WordNet id decides.
    ranges
        First and last ImageNet class (0..999, inclusive) of each label.

    Returns
    -------
    tuple
        The folders in use, sorted, and the label of each.

    Raises
    ------
    InputError
        If the folders are neither WordNet ids nor exactly 1000.
    """
    imagenet_class = registry.load(registry.IMAGENET_CLASSES)(class_to_idx)
    mapping = {
        folder: label
        for label, (first, last) in enumerate(ranges)
        for folder, position in imagenet_class.items()
        if first <= position <= last
    }
    return sorted(mapping), mapping


def custom_label_mapping(
    classes: Sequence[str],
    class_to_idx: Mapping[str, int],
    ranges: Sequence[Collection[int | str]],
) -> tuple[list[str], dict[str, int]]:
    """Label each folder by the group that names it; otherwise as `restricted_label_mapping`.

    Of the groups, `ranges`, a string names a folder; a number is an ImageNet class (0..999) where
    folders are WordNet ids, and a folder's position elsewhere.

    Raises
    ------
    InputError
        If a group matches no folder.
    """
    rank = {wnid: position for position, wnid in enumerate(registry.load(registry.WORDNET_IDS)())}
    known = {folder: rank[folder] for folder in class_to_idx if folder in rank}
    position = known or dict(class_to_idx)
    mapping: dict[str, int] = {}
    for label, group in enumerate(ranges):
        found = {
            folder: label
            for folder in class_to_idx
            if folder in group or position.get(folder) in group
        }
        if not found:
            raise InputError(
                f"group {label} ({_short(group)}) matches no class folder: "
                "name folders, or ImageNet classes 0 to 999"
            )
        mapping.update(found)
    return sorted(mapping), mapping


def _short(group: Collection[int | str]) -> str:
    names = [str(entry) for entry in group]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
