"""Data sets of a few drawn images and networks whose representation is exact on every machine.

``python tiny.py ...`` is ``python -m robustness.main ...`` with them.
"""

from __future__ import annotations

import hashlib
import runpy
import sys

import torch
from robustness.datasets import DATASETS
from robustness.tools.helpers import InputNormalize
from torch import nn

import robust_reps_ext  # noqa: F401

SIZE, N_TRAIN, N_VAL = 24, 18, 12
FILTERS, FIELD = 4, 4


class Exact(nn.Module):
    """Each coordinate of the representation is one channel of one pixel, times a power of two.

    There is nothing to sum, so that every processor finds the same bits. With upstream's call.
    `passes` counts the forward passes of all of them.
    """

    passes = 0

    def __init__(self, num_classes: int = 9, seed: int = 0):
        super().__init__()
        self.conv = nn.Conv2d(3, FILTERS, FIELD, FIELD)
        self.fc = nn.Linear(FILTERS * (SIZE // FIELD) ** 2, num_classes)
        # Of a digest, as no generator promises the same numbers in its next version.
        text = "".join(hashlib.sha256(f"{seed} {k}".encode()).hexdigest() for k in range(8))
        draws = [int(text[k : k + 4], 16) for k in range(0, len(text), 4)]
        filters = torch.zeros(FILTERS, 3, FIELD, FIELD)
        for k in range(FILTERS):
            row, column = divmod(draws[k] % FIELD**2, FIELD)
            filters[k, k % 3, row, column] = (1.0, -1.0, 2.0, -2.0)[draws[k] // FIELD**2 % 4]
        count = self.fc.weight.numel()
        weights = [(draws[(k + k // 128) % 128] * (k + 1) % 17 - 8) / 64 for k in range(count)]
        with torch.no_grad():
            self.conv.weight.copy_(filters)
            self.conv.bias.zero_()
            self.fc.weight.copy_(torch.tensor(weights).view_as(self.fc.weight))
            self.fc.bias.zero_()

    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        Exact.passes += 1
        # Of its own size there is nothing to pool: that is for other sizes.
        pooled = nn.functional.adaptive_avg_pool2d(self.conv(x).relu(), SIZE // FIELD)
        latent = pooled.flatten(1)
        return (self.fc(latent), latent) if with_latent else self.fc(latent)


def _tiny(name):
    class Tiny(DATASETS[name]):
        def __init__(self, data_path=None, *, size=SIZE, **given):
            given.setdefault("custom_class_args", {"n_train": N_TRAIN, "n_val": N_VAL})
            super().__init__(data_path, size=size, **given)

        def get_model(self, arch, pretrained=False):
            return {"exact": Exact}[arch](self.num_classes)

    return Tiny


def without_bounds(normalizer, x):
    """`InputNormalize.forward` by torch 2.14, which made the files: no gradient at 0 and 1."""
    inside = torch.where((x > 0) & (x < 1), x, x.detach().clamp(0, 1))
    return (inside - normalizer.new_mean) / normalizer.new_std


TINY = {name: _tiny(name) for name in ("critters", "critters_fine")}


def main(line):
    """``python -m robustness.main`` with these words; its exit status."""
    DATASETS.update(TINY)
    sys.argv = ["main", *line]
    sys.modules.pop("robustness.main", None)
    try:
        runpy.run_module("robustness.main", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code or 0
    return 0


if __name__ == "__main__":
    InputNormalize.forward = without_bounds
    # Several command lines one after the other, with ";" between them.
    for text in " ".join(sys.argv[1:]).split(";"):
        status = main(text.split())
        if status:
            sys.exit(status)
