"""Images of one's own on the command line: --images FILE|DIR|GLOB ..., which need no data set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.errors import InputError

if TYPE_CHECKING:
    from ..datasets.samples import Samples

__all__ = ["own_samples", "readable", "size_for", "with_repeated_flag"]

FLAG = "--images"


def with_repeated_flag(words: Sequence[str]) -> list[str]:
    """The words of a command line with the flag before each image, as shells expand patterns.

    Examples
    --------
    >>> with_repeated_flag(["invert", "--images", "a.png", "b.png", "--out", "out"])
    ['invert', '--images', 'a.png', '--images', 'b.png', '--out', 'out']
    """
    found: list[str] = []
    within = False
    for word in words:
        if word.startswith("-"):
            within = word == FLAG
        elif within and found[-1] != FLAG:
            found.append(FLAG)
        found.append(word)
    return found


def own_samples(paths: Sequence[str], size: int, fit: str, channels: int) -> Samples:
    """Images from files, as squares of `size` pixels; labels are their numbers, names the files'.

    Raises
    ------
    InputError
        If a file cannot be read, or the network takes images of other than one or three channels.
    """
    import torch

    from ..datasets.samples import Samples
    from ..runtime.images import as_images

    if channels not in (1, 3):
        raise InputError(f"--images: the model takes {channels} channels, image files have 1 or 3")
    images = as_images(FLAG, list(paths), channels, size=size, fit=fit)
    numbers = torch.arange(len(paths))
    return Samples(images, numbers, names_of(paths), numbers)


@lru_cache(maxsize=8)
def readable(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Those files that can be read; the log says of each other which it is, once.

    Raises
    ------
    InputError
        If there are none.
    """
    from ..runtime.image_files import BadImageError, pil_loader
    from ..upstream.data.bad_images import BadImages

    found, others = [], BadImages("skip")
    for path in paths:
        try:
            pil_loader(path)
        except BadImageError as error:
            others.skip(error)
        else:
            found.append(path)
    if paths and not found:
        raise InputError(f"{FLAG}: none of {len(paths)} files can be read: give others")
    return tuple(found)


def names_of(paths: Sequence[str]) -> tuple[str, ...]:
    """The files' names without endings; with as many folders before them as tell them apart."""
    parts = [Path(path).with_suffix("").parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = tuple("/".join(one[-depth:]) for one in parts)
        if len({*names}) == len({*paths}):
            return names
    return tuple(paths)


def size_for(given: int | None, card: dict[str, Any], data_set: Any) -> int:
    """Height and width of the images that a model was trained on.

    Raises
    ------
    InputError
        If nothing tells it.
    """
    from ..models.cards import trained_size
    from ..models.inputs import OF_IMAGENET

    if given is not None:
        return given
    known = getattr(data_set, "size", None) or trained_size(card)
    if known:
        return int(known)
    if data_set is not None:
        from ..datasets.samples import validation_samples

        return int(validation_samples(data_set, 1).images.shape[-1])
    if card.get("classes") == 1000:
        return OF_IMAGENET
    raise InputError("nothing says which size of images the model takes: give --size, such as 224")
