"""One run of PGD over all images, batch after batch, which may be interrupted at any step."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from robustness.attacker import AttackerModel
from torch import Tensor

from ..models.layers import at_layer
from ..models.loading import weights_digest
from ..results.snapshot import Snapshot, described
from ..results.synthesis import Synthesis
from ..runtime.errors import InputError, warn
from ..runtime.gradients import differentiable
from ..runtime.kernels import deterministic
from ..runtime.masks import check_mask
from ..runtime.memory import fastest_batch, tried
from ..runtime.modules import device_of, evaluating
from ..runtime.numbers import shown
from ..runtime.precision import said
from ..runtime.randomness import check_seed, own_generators
from ..runtime.signals import Pending, deferred
from ..upstream.attack.schedules import LBFGS
from ..upstream.attack.state import State, of_rows
from .network import Network
from .protocol import Objective, complete, filled
from .settings import Settings, recorded
from .trace import Progress, Recorder

__all__ = ["optimize"]

# Until it is known which is fastest.
SIZE = 32


@torch.inference_mode(False)
def optimize(
    model: AttackerModel,
    objective: Objective,
    target: Any,
    start: Tensor,
    settings: Settings,
    *,
    origin: Tensor | None = None,
    stop_when: Callable[[Tensor, Any], Tensor] | None = None,
    target_images: Tensor | None = None,
    numbers: Tensor | None = None,
    seed: int = 0,
    progress: bool | Progress = False,
) -> Synthesis:
    """As `robust_reps_ext.synthesis.synthesize`, of images that have been checked."""
    start, target = differentiable(start), differentiable(target)
    origin = start if origin is None else differentiable(origin)
    _check_fit(start, target, origin, settings)
    if settings.mask is not None:
        start = torch.where(settings.mask.to(start.device), start, origin)
    target = filled(objective, target, start)
    seed = check_seed(seed)
    numbers = torch.arange(len(start)) + settings.first if numbers is None else numbers.cpu()
    read = at_layer(model, settings.layer)
    network = Network(read, objective, target, precision=settings.precision, seed=seed)
    recorder = Recorder(settings, progress)
    weights = weights_digest(model)
    snapshot = None
    if settings.snapshot is not None:
        run = _described(
            model, weights, objective, target, start, origin, settings, stop_when, numbers, seed
        )
        snapshot = Snapshot(settings.snapshot, settings.snapshot_interval, run)
    kept = {} if snapshot is None else snapshot.read()
    waiting = nullcontext(None) if snapshot is None else deferred()
    kernels = nullcontext() if snapshot is None else deterministic(network.device)
    with evaluating(read), recorder, own_generators(network.device), kernels, waiting as pending:
        begin, nudged = network.off_zero_gradients(start, numbers, settings.mask)
        network.prepare(begin)
        images = Run(network, recorder, settings, origin, stop_when, snapshot, pending, kept)
        final = images.run()
        value = _whatever_happens(partial(network.values, final, images.size), recorder.last)
        images.keep()
    if snapshot is not None:
        _whatever_happens(snapshot.remove, None)
    failed = images.non_finite()
    if any(failed):
        _warn_of_non_finite(failed)
    return Synthesis(
        images=final,
        start=start,
        objective=value,
        trace=torch.cat([torch.cat(recorder.traces, dim=1), value[None]]),
        trace_steps=torch.tensor([*recorder.trace_steps, settings.iterations]),
        settings={
            "objective": network.objective.name,
            "targeted": network.objective.targeted,
            **_plain(recorded(settings)),
            "batch_size": images.size,
            "computed_in": images.computed_in(),
            "zero_gradient_starts": int(nudged.sum()),
            "non_finite": any(failed) and failed,
            **({"stopped": True} if recorder.stopped else {}),
        },
        provenance={
            "weights": weights,
            "seed": seed,
            "device": str(network.device),
            "versions": _versions(),
        },
        target_images=target_images,
        frames=torch.cat(recorder.frames, dim=1) if recorder.frames else None,
        frame_steps=torch.tensor(recorder.frame_steps) if recorder.frames else None,
    )


def _check_fit(start: Tensor, target: Any, origin: Tensor, settings: Settings) -> None:
    """Refuse targets, origins and numbers for each image that are not as many as the starts."""
    targets = target if isinstance(target, tuple) else (target,)
    fewer = [one for one in targets if one is not None and len(one) != len(start)]
    if fewer or origin.shape != start.shape:
        count = len(fewer[0]) if fewer else len(start)
        raise InputError(
            f"{len(start)} starts, {count} targets, {len(origin)} origins: "
            "give as many of each, and origins of the size of the starts"
        )
    for name in ("eps", "step_size"):
        each = getattr(settings, name)
        if isinstance(each, Tensor) and each.shape != (len(start),):
            raise InputError(
                f"{name}={shown(each)} for {len(start)} images: give a number, or one for each, "
                f"({len(start)},)"
            )
    if settings.mask is not None:
        check_mask(settings.mask, start)


def _warn_of_non_finite(failed: list[bool]) -> None:
    left = [str(i) for i, one in enumerate(failed) if one]
    warn(
        f"loss or gradient was not finite at {len(left)} of {len(failed)} images, left where "
        f"both last were: images {', '.join(left[:10])}{', ...' * (len(left) > 10)}"
    )


def _whatever_happens(made: Callable[[], Any], instead: Any) -> Any:
    """What `made` gives; where it fails, a warning: the images that are there count more."""
    try:
        return made()
    except Exception as error:
        warn(f"after the last step: {type(error).__name__}: {error}; the images are kept")
        return instead() if callable(instead) else instead


class Run:
    """One run over all images; it is the keeper of PGD's state, see `upstream.attack.state.Keeper`.

    Attributes
    ----------
    size
        Images in a batch.
    reduced
        How many images, from the first on, were finished in reduced precision.
    """

    def __init__(
        self,
        network: Network,
        recorder: Recorder,
        settings: Settings,
        origin: Tensor,
        stop_when: Callable[[Tensor, Any], Tensor] | None,
        snapshot: Snapshot | None,
        pending: Pending | None,
        kept: dict[str, Tensor],
    ) -> None:
        self.network, self.recorder, self.settings = network, recorder, settings
        self.origin, self.stop_when = origin, stop_when
        self.snapshot, self.pending = snapshot, pending
        self.size = SIZE if settings.batch_size == "auto" else settings.batch_size
        self.reduced = 0
        self.finished: list[Tensor] = []
        self.failed: list[Tensor] = []
        self._interrupted: dict[str, Tensor] = {}
        self._resumed = bool(kept)
        if kept:
            self._take_up(kept)

    def run(self) -> Tensor:
        """The synthesised images, on the device of the starts."""
        begin = self.network.begin
        if self.settings.batch_size == "auto" and not self._resumed:
            # After one step, L-BFGS has none of its memory yet.
            steps = 2 * LBFGS.MEMORY if self.settings.schedule == "lbfgs" else 0
            self.size = fastest_batch(
                self._probe, len(begin), self.network.device, beside=steps * begin[:1].nbytes
            )
        done = sum(map(len, self.finished))
        while done < len(begin):
            self.recorder.expect(math.ceil((len(begin) - done) / self.size))
            rows = torch.arange(done, min(done + self.size, len(begin)))
            batch, fewer = tried(partial(self._batch, rows), len(rows))
            if batch is None:
                self.size = fewer
                continue
            found, failed = batch
            self.recorder.end_batch(found)
            self.finished.append(found.to(begin.device))
            self.failed.append(failed.cpu())
            done += len(rows)
            self.reduced = done if self.network.reduced else self.reduced
            self.keep()
        return torch.cat(self.finished)

    def non_finite(self) -> list[bool]:
        """For each image, whether it was left because its loss or gradient was not finite."""
        left: list[bool] = torch.cat(self.failed).tolist()
        return left

    def computed_in(self) -> str | list[str]:
        """What the network computed in; for each image, where it was not the same for all."""
        names = [said(self.network.device, reduced=reduced) for reduced in (True, False)]
        each = [names[i >= self.reduced] for i in range(len(self.network.begin))]
        return each if len(set(each)) > 1 else each[0]

    def found(self) -> dict[str, Tensor]:
        """The state of the batch that was interrupted, once."""
        found, self._interrupted = self._interrupted, {}
        return {name: one.to(self.network.device) for name, one in found.items()}

    def stepped(self, state: State) -> None:
        """Write the snapshot when it is time, or when a signal has come; then leave."""
        self.keep(state)

    def keep(self, state: State | None = None) -> None:
        """The same, in the midst of a batch or after one."""
        if self.snapshot is None:
            return
        if self.pending or self.snapshot.due():
            self.snapshot.write(self._tensors(state))
        if self.pending is not None:
            self.pending.check()

    def _batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The result, and which images failed, (n,) bool."""
        while True:
            if not self._interrupted:
                self.recorder.begin_batch()
                self.network.reseed()
            failed: list[Tensor] = []
            found = self._attack(
                rows,
                self.settings.iterations,
                callback=self.recorder.step,
                on_non_finite=failed.append,
                keeper=None if self.snapshot is None else self,
            )
            if self.network.trusted(found, rows, failed[0]):
                return found, failed[0]

    def _probe(self, images: int) -> None:
        self._attack(torch.arange(images), 1)

    def _attack(self, rows: Tensor, iterations: int, **watched: Any) -> Tensor:
        network, settings = self.network, self.settings
        found: Tensor = network.model.attacker(
            network.begin[rows],
            of_rows(network.target, rows),
            custom_loss=network.objective,
            targeted=network.objective.targeted,
            constraint=settings.constraint,
            mask=_of(settings.mask, rows),
            eps=_of(settings.eps, rows),
            step_size=_of(settings.step_size, rows),
            iterations=iterations,
            orig_input=self.origin[rows],
            use_best=settings.use_best,
            mixed_precision=network.reduced,
            stop_when=self._stops if self.recorder.may_stop else self.stop_when,
            schedule=settings.schedule,
            patience=settings.patience,
            drop_finished=True,
            network=network.copy,
            **watched,
        )
        return found

    def _stops(self, values: Tensor, seen: Any) -> Tensor:
        """Every image once `progress` has said so; else those that `stop_when` says."""
        if self.recorder.stopped:
            return torch.ones_like(values).bool()
        if self.stop_when is None:
            return torch.zeros_like(values).bool()
        return self.stop_when(values, seen)

    def _tensors(self, state: State | None) -> dict[str, Tensor]:
        device = self.network.device
        return {
            "size": torch.tensor(self.size),
            "reduced": torch.tensor(self.network.reduced),
            "images_reduced": torch.tensor(self.reduced),
            "random": torch.get_rng_state(),
            **({"random.cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}),
            **{f"finished.{i}": one for i, one in enumerate(self.finished)},
            **{f"failed.{i}": one for i, one in enumerate(self.failed)},
            **{f"recorder.{name}": one for name, one in self.recorder.tensors().items()},
            **({f"pgd.{name}": one for name, one in state.tensors().items()} if state else {}),
        }

    def _take_up(self, kept: dict[str, Tensor]) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {
                name.removeprefix(prefix): one
                for name, one in kept.items()
                if name.startswith(prefix)
            }

        device = self.network.device
        self.size = int(kept["size"])
        if "images_reduced" in kept:  # which version 0.1 did not keep
            self.reduced = int(kept["images_reduced"])
        if self.network.reduced and not kept["reduced"]:
            self.network.fall_back()
        finished, failed = part("finished."), part("failed.")
        home = self.network.begin.device
        self.finished = [finished[str(i)].to(home) for i in range(len(finished))]
        self.failed = [failed[str(i)] for i in range(len(failed))]
        self.recorder.take_up(part("recorder."), device)
        self._interrupted = part("pgd.")
        torch.set_rng_state(kept["random"])
        if "random.cuda" in kept:
            torch.cuda.set_rng_state(kept["random.cuda"], device)


def _of(value: Any, rows: Tensor) -> Any:
    """A setting for some rows of the batch: one for all, or one per image."""
    one_for_all = not isinstance(value, Tensor) or not value.dim() or len(value) == 1
    return value if one_for_all else value[rows]


def _described(
    model: AttackerModel,
    weights: str,
    objective: Objective,
    target: Any,
    start: Tensor,
    origin: Tensor,
    settings: Settings,
    stop_when: Callable[[Tensor, Any], Tensor] | None,
    numbers: Tensor,
    seed: int,
) -> dict[str, str]:
    """What decides the result, to tell one run from another."""
    return {
        **{name: described(value) for name, value in recorded(settings).items()},
        "weights": weights,
        "normalizer": described(model.normalizer),
        "objective": complete(objective).name,
        "objective's parts": described(objective),
        "target": described(target),
        "start": described(start),
        "origin": described(origin),
        "stop_when": described(stop_when),
        "numbers": described(numbers),
        "seed": str(seed),
        "device": device_of(model).type,
        "torch": torch.__version__,
    }


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
