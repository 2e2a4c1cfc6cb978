"""The one call behind every experiment: an objective, a start and a constraint, run by PGD."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor, nn

from .errors import InputError
from .models.fast import fast_network
from .models.loading import weights_digest
from .models.representation import at_layer
from .objectives import Objective
from .recording import Progress, Recorder
from .result import Synthesis
from .settings import Settings
from .upstream.modes import device_of, evaluating
from .upstream.precision import amp_dtype, reduced

__all__ = ["Progress", "check_images", "noise", "synthesize"]


def noise(like: Tensor, *, seed: int = 0) -> Tensor:
    """Gaussian noise N(0, 1) / 20 + 0.5 in the shape of `like`: the paper's start (Fig. 6)."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(like.shape, generator=generator) / 20 + 0.5
    return draw.clamp(0, 1).to(like.device)


def synthesize(
    model: AttackerModel,
    objective: Objective,
    target: Tensor,
    start: Tensor,
    settings: Settings,
    *,
    origin: Tensor | None = None,
    stop_when: Callable[[Tensor, Any], Tensor] | None = None,
    target_images: Tensor | None = None,
    seed: int = 0,
    progress: bool | Progress = False,
) -> Synthesis:
    """Optimise `objective` over images by PGD, from `start`, within a set around `origin`.

    Parameters
    ----------
    model
        As `load_model` returns it.
    objective
        What is optimised, see `robust_reps_ext.objectives`.
    target
        What the objective aims at, one row per image: (N, ...).
    start
        First iterates, (N, C, H, W) in [0, 1].
    settings
        How PGD runs.
    origin
        Centre of the set, (N, C, H, W); default `start`.
    stop_when
        ``stop_when(objective_values, representation) -> (N,) bool``: images for which it holds
        are left as they are.
    target_images
        The images behind `target`, kept for figures.
    seed
        Recorded, and used for the noise that nudges starts whose gradient is exactly zero.
    progress
        True for a bar, or a function.

    Returns
    -------
    Synthesis

    Raises
    ------
    InputError
        If shapes disagree, images leave [0, 1], or a setting is out of range.

    Examples
    --------
    >>> import torch, torchvision, robust_reps_ext as rr
    >>> from robust_reps_ext.settings import Settings
    >>> network = torchvision.models.resnet18(num_classes=9)
    >>> model = rr.load_model(network, dataset="restricted_imagenet")
    >>> start = torch.rand(2, 3, 64, 64)
    >>> settings = Settings(eps=10, step_size=0.5, iterations=3)
    >>> brighter = rr.synthesize(model, rr.CoordinateMaximization(), torch.tensor([0, 1]), start,
    ...                          settings)
    >>> brighter.images.shape
    torch.Size([2, 3, 64, 64])
    """
    settings.check()
    start = check_images("start", start)
    origin = start if origin is None else check_images("origin", origin)
    if len(target) != len(start) or origin.shape != start.shape:
        raise InputError(
            f"{len(start)} starts, {len(target)} targets, {len(origin)} origins: "
            "give as many of each, and origins of the size of the starts"
        )
    read = at_layer(model, settings.layer)
    recorder = Recorder(settings, len(start), progress)
    images = []
    with evaluating(read), recorder:
        begin, nudged = _off_zero_gradients(read, objective, target, start, seed)
        engine = _Engine(read, objective, target, begin, settings.precision)
        for rows in torch.arange(len(start)).split(settings.batch_size):
            while True:
                recorder.begin_batch()
                _, found = read(
                    begin[rows],
                    target[rows],
                    make_adv=True,
                    custom_loss=objective,
                    targeted=objective.targeted,
                    constraint=settings.constraint,
                    eps=_of(settings.eps, rows),
                    step_size=_of(settings.step_size, rows),
                    iterations=settings.iterations,
                    orig_input=origin[rows],
                    use_best=settings.use_best,
                    mixed_precision=engine.reduced,
                    stop_when=stop_when,
                    callback=recorder.step,
                    schedule=settings.schedule,
                    patience=settings.patience,
                    drop_finished=True,
                    network=engine.network,
                )
                if engine.trusted(found, rows):
                    break
            recorder.end_batch(found)
            images.append(found.to(start.device))
        final = torch.cat(images)
        value = _values(read, objective, target, final, settings.batch_size)
    return Synthesis(
        images=final,
        start=start,
        objective=value,
        trace=torch.cat([torch.cat(recorder.traces, dim=1), value[None]]),
        trace_steps=torch.tensor([*recorder.trace_steps, settings.iterations]),
        settings={
            "objective": objective.name,
            "targeted": objective.targeted,
            **_plain(asdict(settings)),
            "zero_gradient_starts": int(nudged.sum()),
        },
        provenance={
            "weights": weights_digest(model),
            "seed": seed,
            "device": str(next(model.parameters()).device),
            "versions": _versions(),
        },
        target_images=target_images,
        frames=torch.cat(recorder.frames, dim=1) if recorder.frames else None,
        frame_steps=torch.tensor(recorder.frame_steps) if recorder.frames else None,
    )


class _Engine:
    """The copy of the network that PGD runs on, and what it computes in."""

    TOLERANCE = 0.01

    def __init__(
        self,
        model: AttackerModel,
        objective: Objective,
        target: Tensor,
        begin: Tensor,
        precision: str,
    ) -> None:
        self.model, self.objective, self.target, self.begin = model, objective, target, begin
        self.device = device_of(model)
        self.reduced = reduced(precision, self.device)
        self.may_fall_back = precision == "auto"
        self.network = self._made()

    def trusted(self, found: Tensor, rows: Tensor) -> bool:
        """Whether the result stands; if not, the network computes in float32 from now on.

        Under ``precision="auto"``, the objective in reduced precision may be off by 1% of what it
        is in float32, here or at the start (near 0, where it ends, all digits are lost at once),
        over the batch (a unit that is off has no digits to lose).
        """
        if not (self.reduced and self.may_fall_back):
            return True
        target = self.target[rows]
        exact, first = (
            _values(self.model, self.objective, target, x, len(rows))
            for x in (found, self.begin[rows])
        )
        with torch.autocast(self.device.type, amp_dtype(self.device)), torch.no_grad():
            x, t = self.model.normalizer(found.to(self.device)), target.to(self.device)
            rough = self.objective(self.network, x, t)[0].float().cpu()
        off = float((rough - exact).abs().mean())
        size = float(torch.maximum(exact.abs(), first.abs()).mean())
        if off <= self.TOLERANCE * size:
            return True
        warnings.warn(
            f"in reduced precision the objective, about {size:.3g}, is off by {off:.3g}: "
            "computing in float32 instead",
            stacklevel=3,
        )
        self.reduced = False
        self.network = self._made()
        return False

    def _made(self) -> nn.Module:
        x = self.model.normalizer(self.begin[:2].to(self.device))
        target = self.target[:2].to(self.device)
        return fast_network(
            self.model.model,
            x,
            lambda network: self.objective(network, x, target),
            dtype=amp_dtype(self.device) if self.reduced else None,
        )


def _values(
    model: AttackerModel, objective: Objective, target: Tensor, images: Tensor, batch_size: int
) -> Tensor:
    """The objective of each image in float32, (N,), on the CPU."""
    device = model.normalizer.new_mean.device
    with torch.no_grad():
        values = [
            objective(model.model, model.normalizer(x.to(device)), t.to(device))[0]
            for x, t in zip(images.split(batch_size), target.split(batch_size), strict=True)
        ]
    return torch.cat(values).float().cpu()


def _off_zero_gradients(
    model: AttackerModel, objective: Objective, target: Tensor, start: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """Starts at which the objective has a gradient: N(0, 1) / 100 is added where it has none.

    A flat image can leave every unit before the representation switched off; PGD would then
    return the start as if it were the optimum.
    """
    device = model.normalizer.new_mean.device
    flat = []
    for x, t in zip(start.split(32), target.split(32), strict=True):
        with torch.enable_grad():
            leaf = x.to(device).clone().requires_grad_(True)
            values, _ = objective(model.model, model.normalizer(leaf), t.to(device))
            (gradient,) = torch.autograd.grad(values.sum(), [leaf])
        flat.append((gradient.flatten(1) == 0).all(dim=1) & (values.detach() != 0))
    nudged = torch.cat(flat).to(start.device)
    if nudged.any():
        warnings.warn(
            f"the objective has no gradient at {int(nudged.sum())} of {len(start)} starts: "
            "noise N(0, 1) / 100 was added to those",
            stacklevel=3,
        )
        generator = torch.Generator().manual_seed(seed)
        push = torch.randn(start.shape, generator=generator).to(start.device) / 100
        start = torch.where(nudged[:, None, None, None], (start + push).clamp(0, 1), start)
    return start, nudged


def check_images(name: str, images: Tensor) -> Tensor:
    """`images` as float32; `InputError` unless they are (N, C, H, W) with values in [0, 1]."""
    if images.dim() != 4 or not len(images):
        raise InputError(
            f"{name} has shape {tuple(images.shape)}: give images as (N, C, H, W) with N >= 1"
        )
    images = images.detach().float()
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"{name} has values from {low:.4g} to {high:.4g}: bring images into [0, 1] "
            "(uint8 images: divide by 255; normalised images: give them before normalisation)"
        )
    return images


def _of(value: Any, rows: Tensor) -> Any:
    """A setting for some rows of the batch: one number for all, or one per image."""
    return value[rows] if isinstance(value, Tensor) and value.dim() else value


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON can hold them."""
    plain = {}
    for name, value in settings.items():
        if isinstance(value, Tensor):
            value = value.tolist()
        plain[name] = value if not callable(value) else getattr(value, "__name__", repr(value))
    return plain


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    packages = ("robust-reps-ext", "robustness", "torch", "torchvision")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
