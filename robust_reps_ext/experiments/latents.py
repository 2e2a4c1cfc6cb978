"""R(x) of a data set, batch by batch, whatever is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
from robustness.attacker import AttackerModel
from torch import Tensor

from ..models.inputs import reading_of
from ..models.representation import representation
from ..runtime.batches import Batches
from ..runtime.labels import as_labels
from ..runtime.memory import Fastest
from ..runtime.modules import device_of
from ..runtime.randomness import own_generators, seed_generators
from ..synthesis import Progress

__all__ = ["batches_of", "latents_of", "seeded"]


def batches_of(
    model: AttackerModel,
    loader: Iterable[Any],
    *,
    layer: Any,
    batch_size: int | Literal["auto"] | None,
    progress: bool | Progress,
) -> Batches:
    """The batches of a data set, as many images at once as R(x) at `layer` is fastest for."""

    def probe(some: Tensor, _: Any) -> Tensor:
        return representation(model, some, layer=layer, batch_size=len(some))

    return Batches(
        *(loader, reading_of(model)),
        batch_size=batch_size,
        fastest=Fastest(probe, device_of(model)),
        progress=progress,
    )


def latents_of(
    model: AttackerModel, data: Batches, *, layer: Any, seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Images, their labels, -1 where there are none, and R(x), the latter two on the CPU."""
    for images, labels in data:
        latent = seeded(model, images, layer=layer, seed=seed)
        n = len(images)
        told = torch.full((n,), -1) if labels is None else as_labels(labels, n).cpu()
        yield images, told, latent


def seeded(model: AttackerModel, images: Tensor, *, layer: Any, seed: int) -> Tensor:
    """R(x) on the CPU; a network that draws meets the same numbers in every batch."""
    with own_generators(device_of(model)):
        seed_generators(seed, device_of(model))
        return representation(model, images, layer=layer, batch_size=max(1, len(images))).cpu()
