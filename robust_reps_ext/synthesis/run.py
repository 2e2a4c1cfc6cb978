"""The images of a run, batch after batch, and all that it needs to go on in the midst of one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..results.snapshot import Snapshot
from ..runtime.memory import fastest_batch, tried
from ..runtime.signals import Pending
from ..upstream.attack.state import State
from .network import Engine
from .settings import Settings
from .trace import Recorder

__all__ = ["Batches"]

# Until it is known which is fastest.
SIZE = 32


class Batches:
    """One run over all images; it is the keeper of PGD's state, see `pgd_state.Keeper`.

    Attributes
    ----------
    size
        Images in a batch.
    """

    def __init__(
        self,
        engine: Engine,
        recorder: Recorder,
        settings: Settings,
        origin: Tensor,
        stop_when: Callable[[Tensor, Any], Tensor] | None,
        snapshot: Snapshot | None,
        pending: Pending | None,
        kept: dict[str, Tensor],
    ) -> None:
        self.engine, self.recorder, self.settings = engine, recorder, settings
        self.origin, self.stop_when = origin, stop_when
        self.snapshot, self.pending = snapshot, pending
        self.size = SIZE if settings.batch_size == "auto" else settings.batch_size
        self.finished: list[Tensor] = []
        self.failed: list[Tensor] = []
        self._interrupted: dict[str, Tensor] = {}
        self._resumed = bool(kept)
        if kept:
            self._take_up(kept)

    def run(self) -> Tensor:
        """The synthesised images, on the device of the starts."""
        begin = self.engine.begin
        if self.settings.batch_size == "auto" and not self._resumed:
            self.size = fastest_batch(self._probe, len(begin), self.engine.device)
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
            self.keep()
        return torch.cat(self.finished)

    def non_finite(self) -> list[bool]:
        """For each image, whether it was left because its loss or gradient was not finite."""
        left: list[bool] = torch.cat(self.failed).tolist()
        return left

    def found(self) -> dict[str, Tensor]:
        """The state of the batch that was interrupted, once."""
        found, self._interrupted = self._interrupted, {}
        return {name: one.to(self.engine.device) for name, one in found.items()}

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
                self.engine.reseed()
            failed: list[Tensor] = []
            found = self._attack(
                rows,
                self.settings.iterations,
                callback=self.recorder.step,
                on_non_finite=failed.append,
                keeper=None if self.snapshot is None else self,
            )
            if self.engine.trusted(found, rows, failed[0]):
                return found, failed[0]

    def _probe(self, images: int) -> None:
        self._attack(torch.arange(images), 1)

    def _attack(self, rows: Tensor, iterations: int, **watched: Any) -> Tensor:
        engine, settings = self.engine, self.settings
        found: Tensor = engine.model.attacker(
            engine.begin[rows],
            engine.target[rows],
            custom_loss=engine.objective,
            targeted=engine.objective.targeted,
            constraint=settings.constraint,
            eps=_of(settings.eps, rows),
            step_size=_of(settings.step_size, rows),
            iterations=iterations,
            orig_input=self.origin[rows],
            use_best=settings.use_best,
            mixed_precision=engine.reduced,
            stop_when=self.stop_when,
            schedule=settings.schedule,
            patience=settings.patience,
            drop_finished=True,
            network=engine.network,
            **watched,
        )
        return found

    def _tensors(self, state: State | None) -> dict[str, Tensor]:
        device = self.engine.device
        return {
            "size": torch.tensor(self.size),
            "reduced": torch.tensor(self.engine.reduced),
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

        device = self.engine.device
        self.size = int(kept["size"])
        if self.engine.reduced and not kept["reduced"]:
            self.engine.fall_back()
        finished, failed = part("finished."), part("failed.")
        home = self.engine.begin.device
        self.finished = [finished[str(i)].to(home) for i in range(len(finished))]
        self.failed = [failed[str(i)] for i in range(len(failed))]
        self.recorder.take_up(part("recorder."), device)
        self._interrupted = part("pgd.")
        torch.set_rng_state(kept["random"])
        if "random.cuda" in kept:
            torch.cuda.set_rng_state(kept["random.cuda"], device)


def _of(value: Any, rows: Tensor) -> Any:
    """A setting for some rows of the batch: one number for all, or one per image."""
    return value[rows] if isinstance(value, Tensor) and value.dim() else value
