"""Which checkpoint ``--resume`` means, and whether the run that wrote it goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from robustness.tools import constants

from ...runtime.errors import InputError
from .. import distributed
from ..arguments import given, path_given
from .checkpoints import LATEST

__all__ = ["note_experiment", "resolve_resume", "resume_after_restart"]


def resolve_resume(args: Any) -> None:
    """Make ``args.resume`` a file, and fill ``args.resume_optimizer``.

    ``resume`` may be a file, a directory (its ``checkpoint.pt.latest``), or ``"latest"``: the
    latest checkpoint of ``--exp-name`` in ``--out-dir``, or without a name that of the experiment
    written last, whose name ``args.exp_name`` becomes.

    ``resume_optimizer`` becomes 1 where it is not given and the checkpoint lies in ``--out-dir``,
    because it is then the same run that goes on; else 0, as upstream has it.

    Raises
    ------
    InputError
        If there is no such checkpoint.
    """
    resume = path_given(args, "resume")
    if resume is None:
        args.resume_optimizer = 0
        return
    path = Path(resume).expanduser()
    if resume == LATEST and not path.exists():
        path = _newest(args)
    elif path.is_dir():
        path = _latest_in(path)
    args.resume = str(path)
    if given(args, "eval_only", 0) or given(args, "resume_optimizer") is not None:
        args.resume_optimizer = int(bool(given(args, "resume_optimizer", 0)))
        return
    inside = path.resolve().is_relative_to(Path(args.out_dir).expanduser().resolve())
    args.resume_optimizer = int(inside)
    if inside:
        print(
            f"=> going on with the run of {path}: optimizer, epoch and random state too "
            "(--resume-optimizer 0 takes its weights alone)"
        )
    else:
        print(
            f"=> starting anew from the weights of {path} "
            "(--resume-optimizer 1 goes on with its optimizer and epoch)"
        )


def _newest(args: Any) -> Path:
    out_dir = path_given(args, "out_dir")
    if out_dir is None:
        raise InputError("--resume without a path looks in --out-dir: give --out-dir or a path")
    root = Path(out_dir).expanduser()
    exp_name = path_given(args, "exp_name")
    if exp_name is not None:
        return _latest_in(root / exp_name)
    found = sorted(
        root.glob(f"*/{constants.CKPT_NAME_LATEST}"), key=lambda path: path.stat().st_mtime
    )
    if not found:
        raise InputError(
            f"no experiment in {root} has a {constants.CKPT_NAME_LATEST}: leave --resume out to "
            "start one, or give a path"
        )
    if not given(args, "eval_only", 0):
        args.exp_name = found[-1].parent.name
    return found[-1]


def _latest_in(directory: Path) -> Path:
    path = directory / constants.CKPT_NAME_LATEST
    if not path.is_file():
        raise InputError(
            f"{directory} has no {constants.CKPT_NAME_LATEST}: give a checkpoint's own path, or "
            "leave --resume out to start anew"
        )
    return path


# Under these names torchrun's agent keeps, for the next start, which experiment this job writes,
# and the stamp of a checkpoint that was there before.
_BEGAN, _NAME, _STAMP = "began", "experiment", "stamp"


def resume_after_restart(args: Any) -> None:
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


def note_experiment(experiment: Path) -> None:
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
