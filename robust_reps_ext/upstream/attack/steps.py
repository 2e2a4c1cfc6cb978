"""The sets that PGD stays in, as far as they are other than in `robustness.attack_steps`.

Each class stands in front of upstream's of the same name. `eps` and `step_size` are a number, or
one number per image as a tensor of shape (N, 1, ..., 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...runtime.errors import InputError

if TYPE_CHECKING:
    from robustness.attack_steps import AttackerStep
else:
    AttackerStep = object

__all__ = [
    "FourierStep",
    "L2Step",
    "LinfStep",
    "Masked",
    "Projected",
    "RandomStep",
    "UnconstrainedStep",
    "norms",
]


def norms(x: Tensor) -> Tensor:
    """L2 norm of each image, shaped (N, 1, ..., 1)."""
    return torch.linalg.vector_norm(x.flatten(1), dim=1).view(-1, *[1] * (x.dim() - 1))


class _Ball(AttackerStep):
    """A ball around an image with values in [0, 1], and within them."""

    eps: Any
    step_size: Any
    orig_input: Tensor

    def __init__(self, orig_input: Tensor, *args: Any, **options: Any) -> None:
        # Else the clamp in `project` would leave the ball.
        super().__init__(orig_input.clamp(0, 1), *args, **options)


class LinfStep(_Ball):
    """max |x - x0| <= eps, and x in [0, 1]."""

    def random_perturb(self, x: Tensor) -> Tensor:
        """A point uniform in the ball, clamped to [0, 1]."""
        return (self.orig_input + (2 * torch.rand_like(x) - 1) * self.eps).clamp(0, 1)


class L2Step(_Ball):
    """||x - x0||_2 <= eps, and x in [0, 1]."""

    def project(self, x: Tensor) -> Tensor:
        delta = x - self.orig_input
        norm = norms(delta)
        # 1e-7 is what torch.renorm, upstream's projection, adds to the norm.
        delta = torch.where(norm > self.eps, delta * (self.eps / (norm + 1e-7)), delta)
        return (self.orig_input + delta).clamp(0, 1)

    def step(self, x: Tensor, g: Tensor) -> Tensor:
        return x + self.step_size * g / norms(g).clamp_min(torch.finfo(g.dtype).tiny)

    def random_perturb(self, x: Tensor) -> Tensor:
        """A point uniform in the ball, clamped to [0, 1]."""
        dimension = x[0].numel()
        radius = torch.rand_like(x.flatten(1)[:, :1]) ** (1 / dimension)
        return self._at_radius(x, radius.view(-1, *[1] * (x.dim() - 1)))

    def random_on_sphere(self, x: Tensor) -> Tensor:
        """A point at distance eps, clamped to [0, 1]: upstream's random start."""
        return self._at_radius(x, 1.0)

    def random_on_radius(self, x: Tensor) -> Tensor:
        """A point whose distance is uniform in [0, eps], clamped to [0, 1]."""
        radius = torch.rand_like(x.flatten(1)[:, :1])
        return self._at_radius(x, radius.view(-1, *[1] * (x.dim() - 1)))

    def _at_radius(self, x: Tensor, radius: Tensor | float) -> Tensor:
        noise = torch.randn_like(x)
        return (self.orig_input + radius * self.eps * noise / norms(noise)).clamp(0, 1)


class _Around:
    """A set that is another one, but for what it does otherwise."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.use_grad: bool = inner.use_grad

    def of_rows(self, rows: Any, inner: Any) -> Any:
        """The same around `inner`, which is the inner set for some of its images."""
        raise NotImplementedError

    def step(self, x: Tensor, g: Any) -> Any:
        return self.inner.step(x, g)

    def random_perturb(self, x: Tensor) -> Any:
        return self.inner.random_perturb(x)

    def to_image(self, x: Tensor) -> Any:
        return self.inner.to_image(x)

    def __getattr__(self, name: str) -> Any:
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)


class Projected(_Around):
    """The steps of a set, and a projection to another, within [0, 1].

    Parameters
    ----------
    inner
        Whose steps are made.
    projection
        ``projection(images, origin, eps) -> images``; `eps` is a number, or (N, 1, 1, 1).
    """

    def __init__(self, inner: Any, projection: Callable[..., Any]) -> None:
        super().__init__(inner)
        self.projection = projection

    def of_rows(self, rows: Any, inner: Any) -> Projected:
        return Projected(inner, self.projection)

    def project(self, x: Tensor) -> Tensor:
        found = self.projection(x, self.inner.orig_input, self.inner.eps)
        if not isinstance(found, Tensor) or found.shape != x.shape:
            what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            name = getattr(self.projection, "__name__", type(self.projection).__name__)
            raise InputError(
                f"constraint {name} gives {what} for images {tuple(x.shape)}: give a function "
                "(images, origin, eps) -> images of the same shape"
            )
        return found.clamp(0, 1)


class Masked(_Around):
    """A set of images that are the origin, to the bit, wherever the mask is False.

    Parameters
    ----------
    inner
        The set of whole images. Its projection of an image that is the origin outside of the
        mask must leave it so there, as all balls around the origin do, or nearly so: what is
        outside is put back.
    mask
        (1, 1, H, W) or (N, 1, H, W), bool.
    """

    def __init__(self, inner: Any, mask: Tensor) -> None:
        super().__init__(inner)
        self.mask = mask

    def of_rows(self, rows: Any, inner: Any) -> Masked:
        return Masked(inner, self.mask if len(self.mask) == 1 else self.mask[rows])

    def inside(self, gradient: Tensor) -> Tensor:
        """The gradient, 0 outside of the mask: the length of a step is that of its inside."""
        return torch.where(self.mask, gradient, 0)

    def project(self, x: Tensor) -> Tensor:
        return self._put_back(self.inner.project(self._put_back(x)))

    def _put_back(self, x: Tensor) -> Tensor:
        return torch.where(self.mask, x, self.inner.orig_input)


class UnconstrainedStep(AttackerStep):
    """x in [0, 1]; the step is the gradient itself, so its length matters."""

    step_size: Any

    def random_perturb(self, x: Tensor) -> Tensor:
        """A random move no longer than one step."""
        noise = torch.rand_like(x) - 0.5
        return (x + noise * (self.step_size / norms(noise)).clamp(max=1)).clamp(0, 1)


class FourierStep(AttackerStep):
    """Any image, as the half spectrum of its logit: x is real, (N, C, H, W // 2 + 1, 2), W even."""

    def to_image(self, x: Tensor) -> Tensor:
        return torch.sigmoid(torch.fft.irfft2(torch.view_as_complex(x.contiguous()), norm="ortho"))

    @staticmethod
    def from_image(image: Tensor) -> Tensor:
        """The parameters of an image (N, C, H, W) with values in (0, 1)."""
        return torch.view_as_real(torch.fft.rfft2(torch.logit(image, eps=1e-6), norm="ortho"))


class RandomStep(AttackerStep):
    """Gaussian noise without a gradient, for randomised smoothing; the image stays in [0, 1]."""

    def to_image(self, x: Tensor) -> Tensor:
        return x.clamp(0, 1)
