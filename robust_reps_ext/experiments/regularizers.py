"""What the paper compares with: random transformations (Fig. 10), decorrelated Fourier (Fig. 9).

Both are regularisers of feature visualisation, as Distill's article of that name describes them.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Protocol

import torch
from robustness.attack_steps import AttackerStep
from torch import Tensor, nn

from ..runtime.errors import InputError
from ..runtime.randomness import uniform

__all__ = [
    "INSIDE",
    "TRANSFORMS",
    "DecorrelatedFourierStep",
    "Transform",
    "decorrelated",
    "mixed",
    "random_transform",
]

TRANSFORMS = {"jitter": 6.0, "rotate": 10.0, "scale": 0.1}
"""Default amounts, the largest of lucid's `standard_transforms` (lucid/optvis/transform.py): pixels
at 128 (brought to the size of the images), degrees, and share of the size."""

LUCID_SIZE = 128

_LARGEST = {"jitter": math.inf, "rotate": 180.0, "scale": 0.9}

# Lucid's (lucid/optvis/param/color.py): square root of the colour covariance of ImageNet; columns
# are decorrelated directions.
_COLORS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))

# Pixels of 0 and 1 have no finite logit.
INSIDE = 1e-4


class Transform(Protocol):
    """A random transformation of images, (N, C, H, W) to the same shape."""

    def __call__(self, images: Tensor, numbers: Tensor | None = None) -> Tensor:
        """`numbers` (N,) are the images', by default 0 to N - 1; see `random_transform`."""
        ...


def random_transform(names: str, side: int) -> Transform:
    """Move, turn and scale each image of a batch at random, differentiably.

    Amounts are uniform between minus and plus the given ones; beyond the border the image is
    mirrored. Each call draws one number from torch's global generator, from which, and from the
    number of the image, its amounts follow: they do not depend on which images are in the batch.

    The defaults reach as far as lucid's: its two crops, of 8 and 4 pixels of an image of 128, move
    by up to 6 pixels either way; it turns by whole degrees from -10 to 10, six times as often by
    none as by any other, and scales by 0.9 to 1.1 in steps of 0.02. It moves the whole batch at
    once, and adds a grey border of 12 pixels first.

    Parameters
    ----------
    names
        Some of `TRANSFORMS` with commas between, each with its amount or without:
        ``"jitter,rotate,scale"``, ``"jitter:4,rotate:5"``. Jitter is in whole pixels, rotation in
        degrees, scale a share of the size.
    side
        Smaller side of the images in pixels.

    Returns
    -------
    Transform
        (N, C, H, W), and the numbers of the images, to the same shape.

    Raises
    ------
    InputError
        For an unknown name, or an amount out of range.

    Examples
    --------
    >>> random_transform("jitter:2,rotate", side=32)(torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 3, 32, 32])
    """
    amounts = dict.fromkeys(TRANSFORMS, 0.0)
    for part in names.split(","):
        name, given, text = part.strip().partition(":")
        if name not in TRANSFORMS:
            raise InputError(f"transform {name!r} is not known: choose {', '.join(TRANSFORMS)}")
        default = TRANSFORMS[name] * (side / LUCID_SIZE if name == "jitter" else 1)
        try:
            amounts[name] = float(text) if given else default
        except ValueError:
            raise InputError(f"transform {part!r}: give a number, such as {name}:4") from None
        most = side - 1 if name == "jitter" else _LARGEST[name]
        if not 0 <= amounts[name] <= most:
            raise InputError(f"transform {part!r}: give 0 to {most:g}")

    def transform(images: Tensor, numbers: Tensor | None = None) -> Tensor:
        height, width = images.shape[-2:]
        if numbers is None:
            numbers = torch.arange(len(images), device=images.device)
        draw = 2 * uniform(int(torch.randint(2**62, ())), numbers, 4) - 1
        shift = (draw[:2] * math.ceil(amounts["jitter"])).round()
        angle = draw[2] * math.radians(amounts["rotate"])
        size = 1 + draw[3] * amounts["scale"]
        cos, sin = angle.cos() / size, angle.sin() / size
        # In affine_grid's coordinates the image is 2 wide and 2 high.
        rows = (
            torch.stack([cos, -sin * height / width, shift[0] * 2 / width], dim=1),
            torch.stack([sin * width / height, cos, shift[1] * 2 / height], dim=1),
        )
        matrix = torch.stack(rows, dim=1).to(images)
        grid = nn.functional.affine_grid(matrix, list(images.shape), align_corners=False)
        moved: Tensor = nn.functional.grid_sample(
            images, grid, padding_mode="reflection", align_corners=False
        )
        return moved

    return transform


@lru_cache(maxsize=8)
def _constants(height: int, width: int, channels: int, device: torch.device) -> tuple[Tensor, ...]:
    """The scale of the spectrum, M and its inverse, float32: made once, not once a step."""
    with torch.inference_mode(False):
        mixing = _mixing(channels)
        made = spectrum_scale(height, width), mixing, torch.linalg.inv(mixing)
        return tuple(one.to(device) for one in made)


def _constants_for(like: Tensor, height: int, width: int) -> tuple[Tensor, ...]:
    """The same on the device and in the type of a tensor (N, C, ...)."""
    found = _constants(height, width, like.shape[1], like.device)
    return tuple(one.to(like.dtype) for one in found)


def spectrum_scale(height: int, width: int) -> Tensor:
    """1 / f over the half spectrum, (H, W // 2 + 1), with a root mean square of 1.

    f is in cycles per pixel, and at least that of one cycle per image.
    """
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    scale = 1 / torch.hypot(down, across).clamp_min(1 / max(height, width))
    return scale / scale.square().mean().sqrt()


class DecorrelatedFourierStep(AttackerStep):
    """Normalised L2 steps on z, where x = sigmoid(M irfft2(z / f)): Distill's parameterisation.

    M mixes decorrelated colours; where there are not three channels, it is the identity. The
    iterates that PGD keeps are the images: x determines z. No radius binds; pixels stay in [0, 1]
    by the sigmoid. `eps` and the origin are not used.
    """

    def project(self, x: Tensor) -> Tensor:
        return x.clamp(INSIDE, 1 - INSIDE)

    def step(self, x: Tensor, g: Tensor) -> Tensor:
        z = self.from_image(x)
        with torch.enable_grad():
            leaf = z.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self.image_of(leaf, x.shape[-1]), leaf, g)
        norm = torch.linalg.vector_norm(gradient.flatten(1), dim=1).view(-1, 1, 1, 1, 1)
        length: Any = self.step_size
        if isinstance(length, Tensor) and length.dim():
            length = length[..., None]
        return self.image_of(
            z + length * gradient / norm.clamp_min(torch.finfo(g.dtype).tiny), x.shape[-1]
        )

    def random_perturb(self, x: Tensor) -> Tensor:
        """The image itself: there is no ball to draw from."""
        return x

    @staticmethod
    def image_of(z: Tensor, width: int) -> Tensor:
        """The image of parameters (N, C, H, W // 2 + 1, 2), (N, C, H, W)."""
        height = z.shape[2]
        spectrum = torch.view_as_complex(z.contiguous()) * _constants_for(z, height, width)[0]
        return torch.sigmoid(mixed(torch.fft.irfft2(spectrum, s=(height, width), norm="ortho")))

    @staticmethod
    def from_image(image: Tensor) -> Tensor:
        """The parameters of an image with values in (0, 1)."""
        height, width = image.shape[-2:]
        spectrum = torch.fft.rfft2(decorrelated(image), norm="ortho")
        return torch.view_as_real(spectrum / _constants_for(image, height, width)[0])


def mixed(plain: Tensor) -> Tensor:
    """M times decorrelated colours (N, C, H, W): the logits of an image."""
    return torch.einsum("ij,njhw->nihw", _constants_for(plain, *plain.shape[-2:])[1], plain)


def decorrelated(image: Tensor) -> Tensor:
    """The decorrelated colours of an image (N, C, H, W) with values in (0, 1)."""
    colors = _constants_for(image, *image.shape[-2:])[2]
    return torch.einsum("ij,njhw->nihw", colors, torch.logit(image, eps=INSIDE / 10))


def _mixing(channels: int) -> Tensor:
    """M for so many channels, its longest column of length 1."""
    if channels != len(_COLORS):
        return torch.eye(channels)
    colors = torch.tensor(_COLORS)
    return colors / torch.linalg.vector_norm(colors, dim=0).max()
