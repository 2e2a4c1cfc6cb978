"""Samples of a shard, from training images to what was made of them, as files hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor

from ..datasets.shards import Sample
from ..models.representation import representation

__all__ = ["as_stored", "image_and_label", "made_samples"]


def image_and_label(item: Any) -> tuple[Tensor, int]:
    """Of a data set; an image that cannot be read stops the run, or shards would differ."""
    if isinstance(item, Exception):
        raise item
    image, label = item
    return image, int(label)


def as_stored(images: Tensor) -> Tensor:
    """Images in [0, 1] as the eight bits of a file hold them."""
    return (images * 255).round() / 255


def made_samples(
    model: AttackerModel,
    made: Tensor,
    *,
    wanted: Tensor,
    layer: Any = None,
    indices: Sequence[int],
    labels: Sequence[int],
    metadata: Sequence[Mapping[str, Any]],
) -> list[Sample]:
    """A sample for each image, with the relative distance that is left in what is stored of it.

    Parameters
    ----------
    model, layer
        Whose R(x) counts, as `load_model` returns it, and where it is read.
    made
        (N, C, H, W) in [0, 1].
    wanted
        R of the images that they were to look like to the model, (N, k).
    indices, labels
        Of the training images that they come from, and what they are labelled.
    metadata
        What else is told of each.
    """
    stored = as_stored(made)
    pixels = (stored * 255).round().to(torch.uint8)
    reached = representation(model, stored, layer=layer)
    distances = (reached - wanted).norm(dim=1) / wanted.norm(dim=1)
    return [
        Sample(
            key=f"{index:08d}",
            image=image.permute(1, 2, 0).numpy(),
            label=label,
            metadata={"source": index, "distance": distance, **more},
        )
        for index, image, label, distance, more in zip(
            indices, pixels, labels, distances.tolist(), metadata, strict=True
        )
    ]
