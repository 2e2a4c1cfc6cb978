"""The sets that PGD stays in, as far as they are other than in `robustness.attack_steps`.

Each class stands in front of upstream's of the same name. `eps` and `step_size` are a number, or
one number per image as a tensor of shape (N, 1, ..., 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from robustness.attack_steps import AttackerStep
else:
    AttackerStep = object

__all__ = ["FourierStep", "L2Step", "LinfStep", "RandomStep", "UnconstrainedStep", "norms"]


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
