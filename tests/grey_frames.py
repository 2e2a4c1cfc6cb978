"""A synthesis whose frames go from black to white."""

from __future__ import annotations

import torch

from robust_reps_ext.results.synthesis import Synthesis


def made(n=2, frames=4, side=8, every=10, objective="representation_matching", targets=True):
    """Frame i is of the grey i / (frames - 1), and the objective at step s is 1 - s / the last."""
    steps = torch.arange(frames) * every
    greys = torch.arange(frames) / (frames - 1)
    shown = greys[:, None, None, None, None].expand(frames, n, 3, side, side)
    images, last = shown[-1].contiguous(), int(steps[-1])
    trace = (1 - torch.arange(last) / last)[:, None].repeat(1, n)
    return Synthesis(
        images, shown[0].contiguous(), torch.full((n,), 0.01), trace, torch.arange(last),
        {"objective": objective, "eps": 1.0}, {"seed": 0}, images if targets else None,
        (shown * 255).round().to(torch.uint8).contiguous(), steps,
    )  # fmt: skip
