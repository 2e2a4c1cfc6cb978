"""The sides of `metamers.py`: how each makes its metamers, and one measure for all of them."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from robustness.attacker import AttackerModel
from timing import peak_memory
from torch import Tensor, nn

import robust_reps_ext as rr
from robust_reps_ext.experiments.metamers import DEFAULT, layer_of
from robust_reps_ext.models.layers import unwrapped
from robust_reps_ext.models.stages import PENULTIMATE
from robust_reps_ext.synthesis import noise

__all__ = ["OURS", "SIDES", "THEIRS", "Layer", "Watch", "joined", "measured"]

OURS: dict[str, dict[str, Any]] = {
    "invert": {},
    "metamers": {**DEFAULT},
    "longer": {**DEFAULT, "iterations": 500},
    "feather": {"schedule": "feather"},
}
"""Options of `rr.invert`: none, those of `rr.metamers`, more steps, the published way."""

THEIRS = ("plenoptic", "plenoptic-adam", "plenoptic-lbfgs")
"""plenoptic as it comes; as its page on Feather et al. 2023 has it; by the L-BFGS of its tips."""

SIDES = (*OURS, *THEIRS)

# A look each time that the seconds have grown by so much.
GROWTH = 1.12
PAGE_STEPS = 12_000
TIPS = {
    "max_iter": 10, "max_eval": 10, "history_size": 100, "line_search_fn": "strong_wolfe", "lr": 1,
}  # fmt: skip


class Layer(nn.Module):
    """A layer's activations as rows (N, k), of images, without what comes after the layer.

    Images may lie outside of [0, 1]: the normaliser of `robustness` would clamp them.
    """

    def __init__(self, model: AttackerModel, layer: str) -> None:
        super().__init__()
        self.network: nn.Module = unwrapped(model.model)
        self.mean, self.std = model.normalizer.new_mean, model.normalizer.new_std
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        if self.layer == PENULTIMATE:
            head = [one for one in self.network.modules() if isinstance(one, nn.Linear)][-1]
            handle = head.register_forward_pre_hook(_reached)
        else:
            one = self.network.get_submodule(self.layer)
            handle = one.register_forward_hook(lambda _one, _given, value: _reached(_one, (value,)))
        try:
            self.network((x - self.mean) / self.std)
        except _Reached as reached:
            return reached.value.flatten(1)
        finally:
            handle.remove()
        raise ValueError(f"{self.layer} did not run")


class _Reached(Exception):
    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value


def _reached(_module: nn.Module, given: tuple[Tensor]) -> None:
    raise _Reached(given[0])


class Watch:
    """Seconds of the work alone: the clock is held while a distance is taken."""

    def __init__(
        self, clock: Callable[[], float], budget: float, distance: Callable[[Tensor], list[float]]
    ) -> None:
        self.clock, self.budget, self.distance = clock, budget, distance
        self.begun, self.held, self.next = clock(), 0.0, 0.0
        self.steps, self.over = 0, False
        self.curve: list[tuple[float, int, list[float]]] = []

    def seconds(self) -> float:
        return self.clock() - self.begun - self.held

    def look(self, images: Tensor, steps: int) -> bool:
        """After so many steps: whether the time is over."""
        now = self.seconds()
        self.steps, self.over = steps, now > self.budget
        if now >= self.next:
            self.curve.append((now, steps, self.distance(images)))
            self.next = now * GROWTH
            self.held += self.seconds() - now
        return self.over

    # As `progress` of our calls.
    def __call__(self, _done: int, _total: int, _mean: float) -> bool:
        return self.over

    def frame(self, step: int, images: Tensor, _objective: Tensor) -> bool:
        return self.look(images, step)


def measured(
    model: AttackerModel,
    targets: Tensor,
    side: str,
    layer: str,
    minutes: float,
    *,
    clock: Callable[[], float] = time.perf_counter,
    seed: int = 0,
) -> dict[str, Any]:
    """Metamers by one side, and what became of them."""
    _warm_up(side)
    for one in model.model.parameters():
        one.requires_grad_(False)
    activations = Layer(model, layer).eval()
    start = noise(targets, seed=seed)
    with torch.no_grad():
        wanted = torch.cat([activations(one[None]) for one in targets])
        ours = rr.representation(model, targets, layer=layer_of(layer))
    assert torch.allclose(ours.flatten(1), wanted, rtol=1e-3, atol=1e-4), "not the same layer"

    def distances(images: Tensor, rows: slice) -> list[float]:
        """The one measure: ||A(x) - A(target)|| / ||A(target)|| of each image, in float32."""
        with torch.no_grad():
            found = torch.cat([activations(one[None]) for one in images.detach().float()])
        return ((found - wanted[rows]).norm(dim=1) / wanted[rows].norm(dim=1)).tolist()

    before = peak_memory()
    parts = [slice(i, i + 1) for i in range(len(targets))]
    if side != "plenoptic-lbfgs":
        parts = [slice(0, len(targets))]
    curves, images, over, seconds, steps = [], [], False, 0.0, 0
    for rows in parts:
        budget = 60 * minutes / len(parts)
        watch = Watch(clock, budget, lambda images, rows=rows: distances(images.clamp(0, 1), rows))
        if side in OURS:
            made = _ours(model, targets, start, side, layer, watch)
        else:
            made = _theirs(activations, targets[rows], start[rows], side, layer, watch)
        seconds += watch.seconds()
        steps += watch.steps
        over |= watch.over
        images.append(made)
        curves.append([*watch.curve, (watch.seconds(), watch.steps, watch.distance(made))])
    found = torch.cat(images)
    every = slice(0, len(targets))
    return {
        "side": side,
        "layer": layer,
        "seconds": seconds,
        "steps": steps // len(parts),
        "given up": over,
        "distance": distances(found.clamp(0, 1), every),
        "as it left them": distances(found, every),
        "outside": float(((found < 0) | (found > 1)).float().mean()),
        "peak": peak_memory(),
        "grown": peak_memory() - before,
        "curve": joined(curves),
    }


def joined(curves: Sequence[Sequence[tuple[float, int, list[float]]]]) -> list[tuple[float, float]]:
    """Seconds and mean distance, of images made at once or one after the other.

    Of those the seconds are what all take until each is as far as it then is by itself.
    """
    if len(curves) == 1:
        return [(seconds, sum(far) / len(far)) for seconds, _, far in curves[0]]
    moments = sorted({seconds for curve in curves for seconds, _, _ in curve})
    begun = max(curve[0][0] for curve in curves)
    return [
        (len(curves) * moment, sum(_at(curve, moment) for curve in curves) / len(curves))
        for moment in moments
        if moment >= begun
    ]


def _at(curve: Sequence[tuple[float, int, list[float]]], moment: float) -> float:
    return [far[0] for seconds, _, far in curve if seconds <= moment][-1]


def _warm_up(side: str) -> None:
    """A step on a tiny network: what is loaded at first use is not a part of the work."""
    network = nn.Sequential(
        nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    )
    model = rr.load_model(network.eval().requires_grad_(False), normalize=((0.5,) * 3, (0.5,) * 3))
    images = torch.full((1, 3, 16, 16), 0.5)
    watch = Watch(time.perf_counter, 0.0, lambda _: [0.0])
    if side in OURS:
        _ours(model, images, noise(images), side, PENULTIMATE, watch)
    else:
        _theirs(Layer(model, PENULTIMATE).eval(), images, noise(images), side, PENULTIMATE, watch)


def _ours(
    model: AttackerModel, targets: Tensor, start: Tensor, side: str, layer: str, watch: Watch
) -> Tensor:
    options = {**OURS[side], "layer": layer_of(layer), "batch_size": len(targets)}
    made = rr.invert(model, targets, start=start, progress=watch, **options).images
    watch.steps += not watch.over  # images are shown before a step
    return made


def _theirs(
    model: Layer, targets: Tensor, start: Tensor, side: str, layer: str, watch: Watch
) -> Tensor:
    """By plenoptic's Metamer; Adam moves each pixel by itself, so a batch is as each alone."""
    import plenoptic

    def mse(found: Tensor, target: Tensor) -> Tensor:
        return (found - target).square().flatten(1).mean(dim=1).sum()

    setup: dict[str, Any] = {}
    synthesize: dict[str, Any] = {}
    if side == "plenoptic-adam":
        late = layer in ("layer4", PENULTIMATE)
        setup = {
            "optimizer_kwargs": {"lr": 3e-2 if late else 1e-2, "amsgrad": False},
            "scheduler": torch.optim.lr_scheduler.StepLR,
            "scheduler_kwargs": {"step_size": 5000 if late else 3000, "gamma": 0.5},
        }
        synthesize = {"max_iter": PAGE_STEPS, "stop_iters_to_check": PAGE_STEPS}
    elif side == "plenoptic-lbfgs":
        setup = {"optimizer": torch.optim.LBFGS, "optimizer_kwargs": TIPS}
        synthesize = {"max_iter": PAGE_STEPS, "stop_iters_to_check": PAGE_STEPS}
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        made = plenoptic.Metamer(targets, model, loss_function=mse)
        made.setup(initial_image=start, **setup)
        steps = 0

        def look(*_: Any) -> None:
            nonlocal steps
            steps += 1
            if watch.look(made.metamer, steps):
                raise _GivenUp

        watch.look(start, 0)
        made.optimizer.register_step_post_hook(look)
        with contextlib.suppress(_GivenUp):
            made.synthesize(**synthesize)
    found: Tensor = made.metamer.detach()
    return found


class _GivenUp(Exception):
    pass
