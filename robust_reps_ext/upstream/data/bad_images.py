"""What becomes of images that cannot be read: the run stops, or passes them over and counts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from torch.utils.data import default_collate

from ...runtime.errors import InputError
from ...runtime.image_files import WAY_OUT, BadImageError

__all__ = ["ACTIONS", "BadImages", "Rest", "collate", "readable", "record_of"]

ACTIONS = ("stop", "skip")

_log = logging.getLogger(__name__)


class BadImages:
    """What to do about images that cannot be read, and which there were.

    An upstream `DataSet` whose attribute ``bad_images`` is one acts by it in its loaders.

    Parameters
    ----------
    action
        ``"stop"``: the first one ends the run with an error that names it. ``"skip"``: they are
        passed over; a log line names and numbers each.

    Attributes
    ----------
    skipped : list of str
        What was said of each, once.

    Raises
    ------
    InputError
        If the action is neither.
    """

    def __init__(self, action: str = "stop") -> None:
        if action not in ACTIONS:
            raise InputError(f"on_bad_image={action!r} is not known: choose {', '.join(ACTIONS)}")
        self.action = action
        self.skipped: list[str] = []

    def skip(self, reason: object) -> None:
        """Count an image, and tell of it the first time."""
        said = str(reason).removesuffix(WAY_OUT)
        if said not in self.skipped:
            self.skipped.append(said)
            _log.warning("skipped image %d: %s", len(self.skipped), said)


class Rest(NamedTuple):
    """A batch without the images that could not be read; None where none could."""

    batch: Any
    bad: tuple[str, ...]


def collate(items: Sequence[Any]) -> Any:
    """Make a batch of what a data set gave, or a `Rest` if there are `BadImageError` in it."""
    bad = tuple(str(item) for item in items if isinstance(item, BadImageError))
    if not bad:
        return default_collate(list(items))
    good = [item for item in items if not isinstance(item, BadImageError)]
    return Rest(default_collate(good) if good else None, bad)


def record_of(images: Any) -> BadImages:
    """The `BadImages` of a data set, or of what it is a subset of."""
    while images is not None:
        attributes = getattr(images, "__dict__", {})
        if "bad_images" in attributes:
            record: BadImages = attributes["bad_images"]
            return record
        images = attributes.get("dataset")
    return BadImages()


def readable(images: Any, positions: Iterable[int]) -> Iterator[tuple[int, Any]]:
    """Positions and what a data set has there, without the images that it passes over.

    Raises
    ------
    BadImageError
        If one cannot be read and the data set stops at such.
    """
    for position in positions:
        item = images[position]
        if isinstance(item, BadImageError):
            record_of(images).skip(item)
        else:
            yield position, item
