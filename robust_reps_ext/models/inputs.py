"""Images as a model takes them: how many channels, and of what size."""

from __future__ import annotations

from robustness.attacker import AttackerModel
from torch import Tensor

from ..runtime.images import Images, read_images
from ..runtime.pictures import Reading
from .cards import card_of, trained_size

__all__ = ["channels_of", "images_for", "reading_of", "size_of"]

OF_IMAGENET = 224
"""Of networks of 1000 classes, of which nothing else is known."""


def channels_of(model: AttackerModel) -> int:
    """How many channels its images have."""
    return int(model.normalizer.new_mean.numel())


def size_of(model: AttackerModel) -> int | None:
    """Height and width of the images that a model was trained on, where that is known.

    It is beside the card, which every experiment records: one that an earlier version began would
    be another.
    """
    size = getattr(model, "image_size", None)
    return int(size) if size else trained_size(card_of(model))


def images_for(model: AttackerModel, name: str, images: Images) -> Tensor:
    """Images as `as_images` gives them, files and PIL images of the size that the model knows.

    Parameters
    ----------
    model
        Where it is known of what size its images were, files and PIL images are cut to their
        middle square (or as its data set was) and brought to that. Where it is not, they stay
        as they are; but of several sizes, they become 224 pixels if the model has ImageNet's 1000
        classes. Tensors and arrays are never resized.
    name, images
        See `as_images`.

    Raises
    ------
    InputError
        As `as_images` does.
    """
    return read_images(name, images, reading_of(model))


def reading_of(model: AttackerModel) -> Reading:
    """How files and PIL images become what the model takes."""
    card = card_of(model)
    return Reading(
        channels_of(model),
        size_of(model),
        fit=card.get("data_set", {}).get("fit", "crop"),
        several=OF_IMAGENET if card.get("classes") == 1000 else None,
    )
