"""R(x): what a network makes of an image at its representation layer."""

from __future__ import annotations

import torch
from torch import Tensor

from ..runtime.images import Images
from ..runtime.memory import in_batches
from ..runtime.modules import device_of, evaluating
from ..runtime.numbers import whole
from ..runtime.precision import full_precision
from ..runtime.randomness import shuffled
from .inputs import images_for
from .layer_names import Layer
from .layers import RepresentationModel, at_layer, unwrapped
from .loading import Model, Normalize, as_model

__all__ = [
    "Layer",
    "RepresentationModel",
    "at_layer",
    "representation",
    "shuffled_coordinates",
    "unwrapped",
]


def representation(
    model: Model,
    images: Images,
    *,
    layer: Layer | None = None,
    batch_size: int = 64,
    normalize: Normalize = None,
) -> Tensor:
    """R(x) of each image.

    Parameters
    ----------
    model
        As `load_model` returns it, or a network, a name or a file, which it is made of. A network
        stays as it is, its mode included.
    images
        (N, C, H, W), values in [0, 1]; see `robust_reps_ext.models.inputs.images_for`.
    layer
        The layer to read, by name or as a function of the network; by default the penultimate
        layer, the paper's R (section 2). Maps are flattened; ``"layer3:mean"`` averages
        (N, C, H, W) over space and (N, T, C) over tokens, ``"features.3:mean-last"`` the
        (N, H, W, C) of Swin transformers over space.
    batch_size
        Images in one forward pass; fewer, with a warning, where memory runs out.
    normalize
        (mean, std) of each channel for a `model` that `load_model` did not make; see there.

    Returns
    -------
    Tensor
        (N, k), float32, on the device of `images`.

    Raises
    ------
    InputError
        If images are not (N, C, H, W) in [0, 1], or there is no such layer.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> rr.representation(model, torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 512])
    """
    batch_size = whole("batch_size", batch_size, 1)
    model = as_model(model, normalize)
    images = images_for(model, "images", images)
    model = at_layer(model, layer)
    with evaluating(model), torch.no_grad(), full_precision(device_of(model)):
        latents = in_batches(
            len(images), batch_size, lambda rows: model(images[rows], with_latent=True)[0][1]
        )
    return latents.float().to(images.device)


def shuffled_coordinates(
    model: Model, images: Images, *, seed: int, layer: Layer | None = None
) -> list[int]:
    """All coordinates of R(x), in a random order that `seed` fixes.

    Parameters
    ----------
    model, layer
        As for `representation`.
    images
        (N, C, H, W), of which one is looked at.
    seed
        Fixes the order.
    """
    return shuffled(representation(model, images[:1], layer=layer).shape[1], seed=seed)
