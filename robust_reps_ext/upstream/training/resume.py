"""Which checkpoint ``--resume`` means, and whether the run that wrote it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robustness.tools import constants

from ...runtime.errors import InputError
from ..arguments import given
from .checkpoints import LATEST

__all__ = ["resolve_resume"]


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
    resume = given(args, "resume")
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
    out_dir = given(args, "out_dir")
    if out_dir is None:
        raise InputError("--resume without a path looks in --out-dir: give --out-dir or a path")
    root = Path(out_dir).expanduser()
    exp_name = given(args, "exp_name")
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
