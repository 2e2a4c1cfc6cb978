"""Mends `robustness.attack_steps`: the sets that PGD stays in, and its normalised steps.

`eps` and `step_size` are a number, or one number per image as a tensor of shape (N, 1, ..., 1).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..mend import Mend

__all__ = ["MENDS", "FourierStep", "L2Step", "LinfStep", "RandomStep", "UnconstrainedStep"]


def _per_image_norm(x: Tensor) -> Tensor:
    """L2 norm of each image, shaped (N, 1, ..., 1)."""
    return torch.linalg.vector_norm(x.flatten(1), dim=1).view(-1, *[1] * (x.dim() - 1))


class _Step:
    """What upstream's abstract `AttackerStep` holds; the origin is brought into [0, 1]."""

    use_grad = True

    def __init__(self, orig_input: Tensor, eps: Any, step_size: Any, use_grad: bool = True) -> None:
        self.orig_input = self.valid_origin(orig_input)
        self.eps = eps
        self.step_size = step_size
        self.use_grad = use_grad and type(self).use_grad

    def valid_origin(self, orig_input: Tensor) -> Tensor:
        """With an origin outside [0, 1] the clamp in `project` would leave the ball."""
        return orig_input.clamp(0, 1)

    def to_image(self, x: Tensor) -> Tensor:
        return x


class LinfStep(_Step):
    """max |x - x0| <= eps, and x in [0, 1]."""

    def project(self, x: Tensor) -> Tensor:
        low, high = self.orig_input - self.eps, self.orig_input + self.eps
        return torch.minimum(torch.maximum(x, low), high).clamp(0, 1)

    def step(self, x: Tensor, g: Tensor) -> Tensor:
        return x + self.step_size * g.sign()

    def random_perturb(self, x: Tensor) -> Tensor:
        """A point uniform in the ball, clamped to [0, 1]."""
        return (self.orig_input + (2 * torch.rand_like(x) - 1) * self.eps).clamp(0, 1)


class L2Step(_Step):
    """||x - x0||_2 <= eps, and x in [0, 1]."""

    def project(self, x: Tensor) -> Tensor:
        delta = x - self.orig_input
        norm = _per_image_norm(delta)
        # 1e-7 is what torch.renorm, upstream's projection, adds to the norm.
        delta = torch.where(norm > self.eps, delta * (self.eps / (norm + 1e-7)), delta)
        return (self.orig_input + delta).clamp(0, 1)

    def step(self, x: Tensor, g: Tensor) -> Tensor:
        return x + self.step_size * g / _per_image_norm(g).clamp_min(torch.finfo(g.dtype).tiny)

    def random_perturb(self, x: Tensor) -> Tensor:
        """A point uniform in the ball, clamped to [0, 1]."""
        dimension = x[0].numel()
        radius = torch.rand_like(x.flatten(1)[:, :1]) ** (1 / dimension)
        return self._at_radius(x, radius.view(-1, *[1] * (x.dim() - 1)))

    def random_on_sphere(self, x: Tensor) -> Tensor:
        """A point at distance eps, clamped to [0, 1]: upstream's random start."""
        return self._at_radius(x, 1.0)

    def _at_radius(self, x: Tensor, radius: Tensor | float) -> Tensor:
        noise = torch.randn_like(x)
        return (self.orig_input + radius * self.eps * noise / _per_image_norm(noise)).clamp(0, 1)


class UnconstrainedStep(_Step):
    """x in [0, 1]; the step is the gradient itself, so its length matters."""

    def project(self, x: Tensor) -> Tensor:
        return x.clamp(0, 1)

    def step(self, x: Tensor, g: Tensor) -> Tensor:
        return x + self.step_size * g

    def random_perturb(self, x: Tensor) -> Tensor:
        """A random move no longer than one step."""
        noise = torch.rand_like(x) - 0.5
        length = (self.step_size / _per_image_norm(noise)).clamp(max=1)
        return (x + noise * length).clamp(0, 1)


class FourierStep(_Step):
    """Any image, as the half spectrum of its logit: x is real, (N, C, H, W // 2 + 1, 2), W even."""

    def valid_origin(self, orig_input: Tensor) -> Tensor:
        return orig_input

    def project(self, x: Tensor) -> Tensor:
        return x

    def step(self, x: Tensor, g: Tensor) -> Tensor:
        return x + self.step_size * g

    def random_perturb(self, x: Tensor) -> Tensor:
        return x

    def to_image(self, x: Tensor) -> Tensor:
        return torch.sigmoid(torch.fft.irfft2(torch.view_as_complex(x.contiguous()), norm="ortho"))

    @staticmethod
    def from_image(image: Tensor) -> Tensor:
        """The parameters of an image (N, C, H, W) with values in (0, 1)."""
        return torch.view_as_real(torch.fft.rfft2(torch.logit(image, eps=1e-6), norm="ortho"))


class RandomStep(_Step):
    """Gaussian noise without a gradient, for randomised smoothing; the image stays in [0, 1]."""

    use_grad = False

    def project(self, x: Tensor) -> Tensor:
        return x

    def step(self, x: Tensor, g: Tensor | None) -> Tensor:
        return x + self.step_size * torch.randn_like(x)

    def random_perturb(self, x: Tensor) -> Tensor:
        return x

    def to_image(self, x: Tensor) -> Tensor:
        return x.clamp(0, 1)


def _mend(ours: type, where: str, why: str) -> Mend:
    def apply(module: ModuleType) -> None:
        # A subclass of upstream's abstract class too, for the sake of isinstance.
        mended = type(ours.__name__, (ours, module.AttackerStep), {"__doc__": ours.__doc__})
        mended.__module__ = module.__name__
        setattr(module, ours.__name__, mended)

    return Mend(
        name=ours.__name__,
        where=where,
        why=why,
        present=lambda module: not issubclass(getattr(module, ours.__name__), ours),
        apply=apply,
    )


MENDS: tuple[Mend, ...] = (
    _mend(
        LinfStep,
        "attack_steps.py:96",
        "An origin outside [0, 1] let the clamp leave the ball; random starts ignored the origin.",
    ),
    _mend(
        L2Step,
        "attack_steps.py:123",
        "An origin outside [0, 1] let the clamp leave the ball; random starts ignored the origin "
        "and lay on the sphere; channels-last gradients raised.",
    ),
    _mend(UnconstrainedStep, "attack_steps.py:156", "A random start raised NameError: step_size."),
    _mend(FourierStep, "attack_steps.py:183", "torch.irfft no longer exists."),
    _mend(RandomStep, "attack_steps.py:190", "The noisy image was not clamped to [0, 1]."),
)
