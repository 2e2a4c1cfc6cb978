"""What the scorecard measures, as functions of images, representations and labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = [
    "agreement",
    "angle_between",
    "evenness",
    "from_afar",
    "halving_radius",
    "off_the_blend",
    "recovered",
    "towards",
    "within_ends",
]

FIELDS = 16


def from_afar(images: Tensor) -> Tensor:
    """What is left of images from a distance: the averages of 16 x 16 fields.

    Patterns of single pixels are gone, by which a network is easily moved and a person is not.

    Parameters
    ----------
    images
        (..., C, H, W), at least 16 pixels high and wide.

    Returns
    -------
    Tensor
        (..., C, 16, 16).
    """
    flat = images.reshape(-1, *images.shape[-3:])
    return nn.functional.adaptive_avg_pool2d(flat, FIELDS).view(*images.shape[:-2], FIELDS, FIELDS)


def recovered(found: Tensor, gallery: Tensor) -> Tensor:
    """Whether the nearest of the gallery to the i-th found is the gallery's i-th.

    Parameters
    ----------
    found
        (N, ...), what inversions gave, as pixels or as representations.
    gallery
        (G, ...), the N targets, and after them other images. By chance, one in G is recovered.

    Returns
    -------
    Tensor
        (N,), bool.
    """
    nearest = torch.cdist(found.flatten(1), gallery.flatten(1)).argmin(dim=1)
    return nearest == torch.arange(len(found))


def towards(start: Tensor, found: Tensor, target: Tensor) -> Tensor:
    """Cosine between the way that images went and the way to their targets: 1 straight, 0 across.

    Parameters
    ----------
    start, found, target
        (N, ...), as pixels or as representations.

    Returns
    -------
    Tensor
        (N,); 0 where nothing moved.
    """
    went, way = (found - start).flatten(1), (target - start).flatten(1)
    return nn.functional.cosine_similarity(went, way)


def halving_radius(radii: Tensor, left: Tensor) -> Tensor:
    """log2 of the radius at which half of the distance is left.

    Linear in log radius between the radii. Where the distance is already halved at the first
    radius it is that one, and where it never halves it is the last one.

    Parameters
    ----------
    radii
        (R,), above 0, ascending.
    left
        (R, N), distance to the target as a share of the source's.

    Returns
    -------
    Tensor
        (N,).
    """
    x, found = radii.log2(), []
    for one in left.unbind(1):
        below = (one <= 0.5).nonzero().flatten().tolist()
        k = below[0] if below else len(one) - 1
        if not below or k == 0:
            found.append(x[k])
            continue
        weight = (one[k - 1] - 0.5) / (one[k - 1] - one[k])
        found.append(x[k - 1] + weight * (x[k] - x[k - 1]))
    return torch.stack(found)


def agreement(seen: Tensor) -> Tensor:
    """How often what a coordinate adds is nearest to what it adds from another start.

    What all coordinates make of a start is taken off first: most of it is the start itself.

    Parameters
    ----------
    seen
        (S, K, ...), of K coordinates from S starts, as pixels or as representations.

    Returns
    -------
    Tensor
        (K,), share of the S (S - 1) ordered pairs of starts; 1/K by chance.
    """
    s, k = seen.shape[:2]
    flat = seen.flatten(2)
    flat = flat - flat.mean(dim=1, keepdim=True)
    own = torch.arange(k)
    hits = [
        (torch.cdist(flat[a], flat[b]).argmin(dim=1) == own).float()
        for a in range(s)
        for b in range(s)
        if a != b
    ]
    return torch.stack(hits).mean(dim=0)


def evenness(path: Tensor) -> Tensor:
    """How even the steps of a path are: 1 where all are equally long, 1/T where one is all.

    Parameters
    ----------
    path
        (N, T + 1, ...), as pixels or as representations.

    Returns
    -------
    Tensor
        (N,), (sum of lengths)^2 / (T * sum of squared lengths); 0 where nothing moves.
    """
    steps = path.flatten(2).diff(dim=1).norm(dim=2)
    squares = steps.shape[1] * steps.square().sum(dim=1)
    return steps.sum(dim=1).square() / squares.clamp(min=1e-12)


def off_the_blend(images: Tensor, blend: Tensor) -> Tensor:
    """Distance of the interpolates from the pixel blend, which shows both ends as ghosts.

    Parameters
    ----------
    images, blend
        (N, T + 1, C, H, W), as `Interpolation` holds them; T is 2 or more.

    Returns
    -------
    Tensor
        (N,), mean over the steps between the ends, as a share of the distance of the ends.
    """
    apart = (images - blend)[:, 1:-1].flatten(2).norm(dim=2).mean(dim=1)
    ends = (blend[:, 0] - blend[:, -1]).flatten(1).norm(dim=1)
    return apart / ends.clamp(min=1e-12)


def within_ends(classes: Tensor, ends: Tensor) -> Tensor:
    """Share of the steps between the ends whose class is that of one of the ends.

    Parameters
    ----------
    classes
        (N, T + 1), as a judge sees the interpolates; T is 2 or more.
    ends
        (N, 2), the classes of the two images.

    Returns
    -------
    Tensor
        (N,).
    """
    inner = classes[:, 1:-1, None]
    return (inner == ends[:, None]).any(dim=2).float().mean(dim=1)


def angle_between(first: Tensor, second: Tensor) -> Tensor:
    """Degrees between two hues on the colour circle, 0 to 180."""
    return ((first - second + 180) % 360 - 180).abs()
