"""What the small networks of the data sets share: upstream's forward call, and R(x) with places."""

from __future__ import annotations

from typing import Any

import torch
from robustness.tools.custom_modules import FakeReLU
from torch import Tensor, nn

from ..runtime.modules import OwnModule

__all__ = ["SmallNetwork"]


class SmallNetwork(OwnModule):
    """A body of blocks, a ReLU, averages over a grid of windows, and one linear layer.

    Each coordinate of the representation is one channel in one window, so that it says roughly
    where things are, as larger networks do on larger images.
    """

    body: nn.Sequential
    fc: nn.Linear
    grid = 2

    def forward(
        self, x: Tensor, with_latent: bool = False, fake_relu: bool = False, no_relu: bool = False
    ) -> Any:
        before_relu = self.body(x)
        relu = FakeReLU.apply if fake_relu else torch.relu
        representation = self._windows(relu(before_relu))
        logits = self.fc(representation)
        if with_latent:
            return logits, self._windows(before_relu) if no_relu else representation
        return logits

    def _windows(self, x: Tensor) -> Tensor:
        """Averages over the windows of each channel: (N, C, H, W) to (N, grid * grid * C)."""
        return nn.functional.adaptive_avg_pool2d(x, self.grid).flatten(1)
