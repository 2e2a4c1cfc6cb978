"""Going on after torchrun has restarted the ranks: the command is the same as at first."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from robustness.tools import constants

from .. import distributed
from ..arguments import given

__all__ = ["go_on", "remember"]

# Under these names torchrun's agent keeps, for the next start, which experiment this job writes,
# and the stamp of a checkpoint that was there before.
_BEGAN, _NAME, _STAMP = "began", "experiment", "stamp"


def go_on(args: Any) -> None:
    """After a restart, make ``args`` resume from what this job wrote last, whatever they say.

    Without a restart, and as long as the job has written no checkpoint, they stay as they are but
    for ``exp_name``, which becomes the one that the job has begun.
    """
    if not distributed.active() or given(args, "eval_only", 0):
        return
    found = distributed.from_main(_left_behind(args) if distributed.is_main() else None)
    if found is None:
        return
    args.exp_name, latest = found
    if latest is None:
        print("=> torchrun restarted this run, which had written no checkpoint yet")
        return
    args.resume, args.resume_optimizer = latest, 1
    print(f"=> torchrun restarted this run: going on from {latest}")


def remember(experiment: Path) -> None:
    """Note for a restart that this job writes into the directory `experiment`."""
    job = distributed.job()
    if job is not None and not job.check([_NAME]):
        job.set(_STAMP, _stamp(experiment))
        job.set(_NAME, experiment.name)


def _left_behind(args: Any) -> tuple[str, str | None] | None:
    """Name and latest checkpoint of this job's experiment; None if this is its first start."""
    root, job = Path(args.out_dir).expanduser(), distributed.job()
    if job is not None and job.check([_NAME]):
        experiment = root / job.get(_NAME).decode()
        if given(args, "exp_name", experiment.name) != experiment.name:
            return None
        ours = _stamp(experiment) != job.get(_STAMP).decode()
        return experiment.name, str(experiment / constants.CKPT_NAME_LATEST) if ours else None
    first = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    if first or (job is not None and job.check([_BEGAN])):
        if job is not None:
            job.set(_BEGAN, "")
        return None
    # What kept the names has gone with its machine.
    if given(args, "exp_name") is None:
        return None
    latest = root / args.exp_name / constants.CKPT_NAME_LATEST
    return (args.exp_name, str(latest)) if latest.is_file() else None


def _stamp(experiment: Path) -> str:
    latest = experiment / constants.CKPT_NAME_LATEST
    return str(latest.stat().st_mtime_ns) if latest.is_file() else "none"
