"""The store of one run of ``python -m robustness.main``: its metadata, and what becomes of it."""

from __future__ import annotations

import importlib.metadata
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from robustness.tools import constants

from ...results.cox_export import bring_up_to_date
from ...results.hdf5 import STORE_BASENAME
from ...results.records import FOLDER, METADATA, write_record
from ...runtime.environment import __version__
from ...runtime.errors import InputError
from .. import distributed
from ..arguments import given, path_given
from .resume import note_experiment

__all__ = ["RunStore", "record_row", "repair_store", "setup_store_with_metadata"]

_PLAIN = (bool, int, float, str, type(None))


def setup_store_with_metadata(args: Any) -> Any:
    """Make (or go on with) the store of a run, and append a row to its metadata.

    The row holds every argument, ``version`` (of `robustness`), ``robust_reps_ext_version``,
    ``torch_version`` and ``command_line``. What is no plain value is kept as its ``repr``.

    Parameters
    ----------
    args
        As `setup_args` returns it; it gets ``version``.

    Returns
    -------
    cox.store.Store
        In ``args.out_dir``, named ``args.exp_name`` or, without, by a new unique name.
    """
    import cox.store

    args.version = importlib.metadata.version("robustness")
    values = {name: _kept(value) for name, value in _values(args).items()}
    values |= {
        "robust_reps_ext_version": __version__,
        "torch_version": str(torch.__version__),
        "command_line": shlex.join(sys.orig_argv),
    }
    exp_name = path_given(args, "exp_name")
    if exp_name is not None:
        repair_store(Path(args.out_dir, exp_name))
    store = cox.store.Store(args.out_dir, exp_name)
    record_row(store, METADATA, values)
    store.add_table(METADATA, cox.store.schema_from_dict(values))
    store[METADATA].append_row(values)
    return store


class RunStore:
    """Opens a run's store if it is to have one; closes it, and removes it if nothing was written.

    Parameters
    ----------
    args
        As `setup_args` returns it. An evaluation has a store only if ``out_dir`` was given.

    Attributes
    ----------
    last_row
        The latest row of the logs that this run wrote, None without.
    """

    def __init__(self, args: Any) -> None:
        self.args = args
        self.last_row: dict[str, Any] | None = None
        self._store: Any = None
        self._made: list[Path] = []
        self._rows_before = 0

    def __enter__(self) -> RunStore:
        return self

    def open(self, make: Callable[[Any], Any]) -> Any:
        """The store that `make` gives for the arguments, or None if this rank is to have none."""
        out_dir = path_given(self.args, "out_dir")
        if out_dir is None or not distributed.is_main():
            return None
        root = Path(out_dir)
        exp_name = path_given(self.args, "exp_name")
        directory = root if exp_name is None else root / exp_name
        if exp_name is not None and not given(self.args, "eval_only", 0):
            self._make_free(directory)
        self._made = [path for path in (directory, *directory.parents) if not path.exists()]
        self._store = make(self.args)
        experiment = Path(self._store.path)
        if exp_name is None:
            self._made.insert(0, experiment)
        self._rows_before = _rows(self._store)
        note_experiment(experiment)
        return self._store

    def _make_free(self, directory: Path) -> None:
        """Refuse the place of an earlier run that does not go on, or with --overwrite clear it."""
        earlier = _checkpoints(directory)
        resume = path_given(self.args, "resume")
        goes_on = resume is not None and Path(resume).resolve().parent == directory.resolve()
        if not earlier or goes_on:
            return
        if not given(self.args, "overwrite", 0):
            raise InputError(
                f"{directory} holds checkpoints of an earlier run: give another --exp-name, "
                "--resume to go on with it, or --overwrite to remove it"
            )
        for path in (*earlier, directory / STORE_BASENAME):
            path.unlink(missing_ok=True)
        from cox.store import TENSORBOARD_DIR

        for folder in (FOLDER, TENSORBOARD_DIR):
            shutil.rmtree(directory / folder, ignore_errors=True)

    @property
    def network(self) -> Path | None:
        """The checkpoint that a run leaves: the best one, or the latest; None without any."""
        if self._store is None:
            return None
        folder = Path(self._store.path)
        names = (constants.CKPT_NAME_BEST, constants.CKPT_NAME_LATEST)
        return next((folder / name for name in names if (folder / name).exists()), None)

    def how_to_go_on(self) -> str:
        """One line for someone who has interrupted the run."""
        if self._store is None or not _checkpoints(Path(self._store.path)):
            return "no checkpoint had been written"
        return (
            "to go on, give the same command with "
            f"--exp-name {self._store.exp_id} --resume (and no other path to resume from)"
        )

    def __exit__(self, *_: object) -> None:
        if self._store is None:
            return
        if _rows(self._store) > self._rows_before:
            self.last_row = self._store[constants.LOGS_TABLE].df.iloc[-1].to_dict()
        self._store.close()
        experiment = Path(self._store.path)
        if experiment in [path.absolute() for path in self._made] and self.last_row is None:
            self._remove(experiment)

    def _remove(self, experiment: Path) -> None:
        """Remove a directory that this run made and left without a result."""
        if _checkpoints(experiment):
            return
        shutil.rmtree(experiment)
        for path in self._made:
            if path.exists() and not any(path.iterdir()):
                path.rmdir()


def _checkpoints(directory: Path) -> list[Path]:
    return list(directory.glob(f"*{constants.CKPT_NAME}*"))


def _rows(store: Any) -> int:
    return store[constants.LOGS_TABLE].nrows if constants.LOGS_TABLE in store.tables else 0


def _values(args: Any) -> dict[str, Any]:
    return dict(args.as_dict() if hasattr(args, "as_dict") else vars(args))


def _kept(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(entry, _PLAIN) for entry in value):
        return list(value)
    return repr(value)


def record_row(store: Any, table: str, row: Mapping[str, Any]) -> None:
    """Keep a row of a cox store's table as a record beside it, before the store gets it."""
    directory = Path(store.path)
    number = len(list(directory.glob(f"{FOLDER}/{table}-*.json"))) + 1
    write_record(directory, f"{table}-{number:05d}", [row], table=table)


def repair_store(directory: Path) -> None:
    """Make the store of an earlier run anew where a kill has left it damaged or behind."""
    if (directory / FOLDER).is_dir():
        bring_up_to_date(directory)
