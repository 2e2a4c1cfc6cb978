"""What a training run leaves behind: rows in the logs table, and checkpoints, all of rank 0."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

from robustness.tools import constants, helpers

from ...runtime.errors import InputError
from .. import distributed
from ..arguments import given, path_given
from . import checkpoints
from .run_store import record_row

__all__ = ["NO_ADVERSARY", "TrainingRecord", "log_row"]

# What upstream logs as adversarial accuracy and loss of an epoch evaluated without adversary.
NO_ADVERSARY = -1.0

_NAN = float("nan")


def log_row(store: Any, info: dict[str, Any]) -> None:
    """Append `info` to the store's logs table; do nothing without a store."""
    if not store:
        return
    record_row(store, constants.LOGS_TABLE, info)
    if constants.LOGS_TABLE not in store.tables:
        store.add_table(constants.LOGS_TABLE, constants.LOGS_SCHEMA)
    store[constants.LOGS_TABLE].append_row(info)


class TrainingRecord:
    """The directory of a run, its logs, and the best accuracy so far.

    Parameters
    ----------
    args
        ``out_dir`` is where checkpoints go without a store.
    store
        A cox store, or None.

    Attributes
    ----------
    kind
        The accuracy that decides which model is best: ``"adv_prec1"`` or ``"nat_prec1"``.
    best
        Its highest value so far, None before the first evaluation.

    Raises
    ------
    InputError
        If the directory cannot be made or written to.
    """

    def __init__(self, args: Any, store: Any) -> None:
        self.store = store
        self.writer = store.tensorboard if store else None
        self.directory = Path(store.path if store else args.out_dir)
        self.kind = "adv_prec1" if args.adv_train else "nat_prec1"
        self.best: float | None = None
        self._names = {name: given(args, name) for name in ("arch", "dataset")}
        resume = path_given(args, "resume")
        self._resumes_itself = resume is not None and (
            Path(resume).resolve().parent == self.directory.resolve()
        )
        self._began = time.time()
        self._writes = distributed.is_main()
        if self._writes:
            self._make_directory()

    def _make_directory(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError.also(type(error), RuntimeError)(
                f"cannot make {self.directory}: {error.strerror}"
            ) from error
        if not os.access(self.directory, os.W_OK | os.X_OK):
            raise InputError.also(PermissionError, RuntimeError)(
                f"cannot write in {self.directory}: choose another --out-dir"
            )

    def info(self, epoch: int, **known: float) -> dict[str, Any]:
        """The log of epoch `epoch` (from 0), complete: what is not in `known` is NaN."""
        row: dict[str, Any] = dict.fromkeys(constants.LOGS_SCHEMA, _NAN)
        return {**row, "epoch": epoch + 1, **known, "time": time.time() - self._began}

    def take_up_best(self, checkpoint: dict[str, Any]) -> bool:
        """Read the best accuracy from a checkpoint; False if it tells none of this kind."""
        if checkpoint.get("best_prec1_of") == self.kind:
            best = checkpoint["best_prec1"]
            self.best = None if best is None else float(best)
        elif self.kind in checkpoint:
            self.best = float(checkpoint[self.kind])
        else:
            return False
        return True

    def is_best(self, info: dict[str, Any]) -> bool:
        """Whether this evaluation is the best yet; the first one is, even at NaN or 0."""
        accuracy = info[self.kind]
        if self.best is not None and not math.isnan(self.best):
            better = accuracy > self.best
        else:
            better = self.best is None or not math.isnan(accuracy)
        if better:
            self.best = accuracy
        return better

    def take_up_log(self, checkpoint: dict[str, Any]) -> None:
        """Log the checkpoint's epoch if the run was killed between saving and logging it."""
        info = checkpoint.get("log")
        if not info or not self.store or not self._resumes_itself:
            return
        logged = constants.LOGS_TABLE in self.store.tables and (
            info["epoch"] in self.store[constants.LOGS_TABLE].df["epoch"].tolist()
        )
        if not logged:
            self.log(info)

    def log(self, info: dict[str, Any]) -> None:
        """Append `info` to the logs table."""
        log_row(self.store, info)

    def save(
        self, state: dict[str, Any], info: dict[str, Any] | None, *, epoch: int, numbered: bool
    ) -> None:
        """Write ``.latest``, ``.best`` if it is, and the epoch's own file if `numbered`.

        Parameters
        ----------
        state
            Weights, optimizer, schedule and random state after the epoch.
        info
            The log of the epoch, if it was evaluated.
        epoch
            Counted from 0.
        numbered
            Whether to keep ``<epoch>_checkpoint.pt``.
        """
        best = info is not None and self.is_best(info)
        if not self._writes:
            return
        names = [helpers.ckpt_at_epoch(epoch)] if numbered else []
        if best:
            names.append(constants.CKPT_NAME_BEST)
        names.append(constants.CKPT_NAME_LATEST)  # the last: a run goes on from what it says
        accuracies = {
            kind: info[kind]
            for kind in ("nat_prec1", "adv_prec1")
            if info is not None and info[kind] != NO_ADVERSARY
        }
        content = {
            **state,
            **accuracies,
            **self._facts(epoch + 1),
            "log": info,
        }
        for name in names:
            checkpoints.write(self.directory / name, content)

    def save_within_epoch(self, state: dict[str, Any], now: dict[str, Any], *, epoch: int) -> None:
        """Write ``.latest`` in the midst of epoch `epoch` (from 0), to go on from there."""
        if not self._writes:
            return
        content = {**state, **self._facts(epoch), "within_epoch": now}
        checkpoints.write(self.directory / constants.CKPT_NAME_LATEST, content)

    def _facts(self, epochs: int) -> dict[str, Any]:
        return {
            **{name: text for name, text in self._names.items() if isinstance(text, str)},
            "epoch": epochs,
            "best_prec1": self.best,
            "best_prec1_of": self.kind,
        }
