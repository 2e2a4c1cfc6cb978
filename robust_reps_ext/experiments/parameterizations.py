"""What a step of a visualisation moves, beside pixels and the spectrum of `regularizers`.

Baselines for standard networks, at the cost of the same number of steps: only the phase of the
image's spectrum (Fel et al. 2023, MACO), or a sum of images of several resolutions (Fort and
Whitaker 2025).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import torch
from robustness.attack_steps import AttackerStep
from torch import Tensor, nn

from ..datasets.photographs import available, photographs
from ..runtime.errors import InputError
from ..runtime.images import as_images
from ..runtime.modules import digest
from ..runtime.numbers import shown
from .regularizers import INSIDE, DecorrelatedFourierStep, decorrelated, mixed

__all__ = [
    "PARAMETERIZATIONS",
    "MagnitudeConstrainedStep",
    "MultiResolutionStep",
    "magnitude_of",
    "step_of",
]

PARAMETERIZATIONS = ("pixels", "fourier", "maco", "multi-resolution")


def step_of(parameterization: Any, like: Tensor, natural: Any = None) -> type[AttackerStep] | None:
    """The constraint that a named parameterization is; None for pixels.

    Parameters
    ----------
    parameterization
        One of `PARAMETERIZATIONS`.
    like
        (N, C, H, W), whose size and channels the images have.
    natural
        Of ``"maco"``: images of that size, whose mean Fourier magnitude is kept; default:
        photographs that come with installed packages.

    Raises
    ------
    InputError
        For another name, or images that do not fit.
    """
    known = isinstance(parameterization, str) and parameterization in PARAMETERIZATIONS
    if not known:
        raise InputError(
            f"parameterization={shown(parameterization)} is not known: choose "
            f"{' or '.join(PARAMETERIZATIONS)}"
        )
    if natural is not None and parameterization != "maco":
        raise InputError(
            f"natural= is of no use with parameterization={parameterization!r}: leave it out"
        )
    if parameterization == "maco":
        return _constrained(magnitude_of(_natural(natural, like)))
    found: dict[str, type[AttackerStep]] = {
        "fourier": DecorrelatedFourierStep,
        "multi-resolution": MultiResolutionStep,
    }
    return found.get(parameterization)


def magnitude_of(images: Tensor) -> Tensor:
    """The mean Fourier magnitude of images (N, C, H, W) in [0, 1], (C, H, W // 2 + 1).

    Of their decorrelated logits, as the steps see them.

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.experiments.parameterizations import magnitude_of
    >>> magnitude_of(torch.rand(4, 3, 16, 16)).shape
    torch.Size([3, 16, 9])
    """
    inside = images.clamp(INSIDE, 1 - INSIDE)
    return torch.fft.rfft2(decorrelated(inside), norm="ortho").abs().mean(dim=0)


class MagnitudeConstrainedStep(AttackerStep):
    """Normalised L2 steps on the phase p, where x = sigmoid(M irfft2(r exp(i p))).

    The magnitude r is fixed, M as in `DecorrelatedFourierStep`. The iterates that PGD keeps are
    the images: x determines p. `eps` and the origin are not used.
    """

    magnitude: ClassVar[Tensor]

    def project(self, x: Tensor) -> Tensor:
        return x.clamp(INSIDE, 1 - INSIDE)

    def step(self, x: Tensor, g: Tensor) -> Tensor:
        phase = torch.fft.rfft2(decorrelated(x), norm="ortho").angle()
        with torch.enable_grad():
            leaf = phase.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self.image_of(leaf, x.shape[-1]), leaf, g)
        return self.image_of(phase + self.step_size * _unit(gradient), x.shape[-1])

    def random_perturb(self, x: Tensor) -> Tensor:
        """The image itself: there is no ball to draw from."""
        return x

    def image_of(self, phase: Tensor, width: int) -> Tensor:
        """The image with this phase, (N, C, H, W)."""
        spectrum = torch.polar(self.magnitude.to(phase).expand_as(phase), phase)
        plain = torch.fft.irfft2(spectrum, s=(phase.shape[2], width), norm="ortho")
        return torch.sigmoid(mixed(plain))


class MultiResolutionStep(AttackerStep):
    """Normalised L2 steps on images P_r, where x = sigmoid(sum over r of P_r, enlarged bilinearly).

    r is 1, 2, 4, ... pixels on the longer side, up to that of x. As x is linear in them under the
    sigmoid, a step on all P_r moves the logits of x by the sum over r of U_r U_r^T g, U_r being
    the enlargement: x alone is kept. `eps` and the origin are not used.
    """

    def project(self, x: Tensor) -> Tensor:
        return x.clamp(INSIDE, 1 - INSIDE)

    def step(self, x: Tensor, g: Tensor) -> Tensor:
        logits = torch.logit(x, eps=INSIDE / 10)
        gradient = g * x * (1 - x)
        rows, columns = (one.to(x) for one in _kernels(*x.shape[-2:]))
        moved = torch.einsum("rij,ncjk,rkl->ncil", rows, gradient, columns)
        # The squared length of the gradient with respect to all P_r.
        square = (gradient * moved).flatten(1).sum(dim=1).clamp_min(torch.finfo(x.dtype).tiny)
        return torch.sigmoid(logits + self.step_size * moved / square.sqrt().view(-1, 1, 1, 1))

    def random_perturb(self, x: Tensor) -> Tensor:
        """The image itself: there is no ball to draw from."""
        return x


@lru_cache(maxsize=8)
def _kernels(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Of each resolution U U^T along the rows (R, H, H) and along the columns (R, W, W)."""
    longer, sides = max(height, width), [1]
    while sides[-1] < longer:
        sides.append(min(2 * sides[-1], longer))
    with torch.inference_mode(False):
        return tuple(  # type: ignore[return-value]
            torch.stack([_kernel(max(1, round(side * r / longer)), side) for r in sides])
            for side in (height, width)
        )


def _kernel(small: int, large: int) -> Tensor:
    up = nn.functional.interpolate(torch.eye(small)[None], large, mode="linear")[0]
    return up.T @ up


def _unit(gradient: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(gradient.flatten(1), dim=1).view(-1, 1, 1, 1)
    return gradient / norm.clamp_min(torch.finfo(gradient.dtype).tiny)


def _constrained(magnitude: Tensor) -> type[MagnitudeConstrainedStep]:
    """The step of this magnitude; its name tells it from others in what is recorded."""
    mark = digest({"magnitude": magnitude})[:8]
    base = MagnitudeConstrainedStep
    return type(f"{base.__name__}_{mark}", (base,), {"magnitude": magnitude})


def _natural(natural: Any, like: Tensor) -> Tensor:
    channels, height, width = like.shape[1:]
    if natural is not None:
        images = as_images("natural", natural, channels).cpu()
        if images.shape[-2:] != like.shape[-2:]:
            raise InputError(
                f"natural has images of {tuple(images.shape[-2:])}, the seeds are {height} x "
                f"{width}: give some of that size"
            )
        return images
    if channels != 3 or height != width:
        raise InputError(
            f"photographs are square and have 3 channels, the seeds are {channels} x {height} x "
            f"{width}: give images as natural="
        )
    return photographs(len(available()), size=height)
