"""Parts of experiments that were made in several places, brought together in one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ..runtime.errors import InputError
from ..runtime.files import writing
from .cox_export import bring_up_to_date
from .records import FOLDER, Record, read_records, record_path

__all__ = ["experiments_in", "merge"]


def experiments_in(out: Path) -> list[Path]:
    """The experiments in `out` that have records.

    Raises
    ------
    InputError
        If there are none, or no folder.
    """
    if not out.is_dir():
        raise InputError(f"no folder {out}: give one that a command has written to")
    found = sorted(path.parent for path in out.glob(f"*/{FOLDER}") if path.is_dir())
    if not found:
        raise InputError(f"{out} holds no experiment with records: give a folder of results")
    return found


def merge(sources: Sequence[Path], out: Path) -> list[Path]:
    """Copy what is finished in `sources` into `out`, experiment by experiment.

    Of a part that several have, the first is taken: experiments of one name were made with the
    same settings. What is in `out` already is not copied again, so that an interrupted merge goes
    on. Pictures are left out: the command that made the parts makes those of the whole, given
    ``--out out``.

    Parameters
    ----------
    sources
        Folders of results, of the same command on several machines, say.
    out
        The folder that is to hold all of it.

    Returns
    -------
    list of Path
        The experiments in `out` that the sources have.

    Raises
    ------
    InputError
        If a source holds no experiment or a damaged record, or lacks a file that a record names.
        What was copied before stays.

    Examples
    --------
    >>> merge([Path("machine-1"), Path("machine-2")], Path("all"))  # doctest: +SKIP
    """
    merged: dict[Path, None] = {}
    for source in sources:
        for experiment in experiments_in(source):
            target = out / experiment.name
            target.joinpath(FOLDER).mkdir(parents=True, exist_ok=True)
            there = {one.name for one in read_records(target)}
            for record in read_records(experiment):
                if record.name not in there:
                    _copy(record, experiment, target)
            merged[target] = None
    for target in merged:
        bring_up_to_date(target)
    return list(merged)


def _copy(record: Record, source: Path, target: Path) -> None:
    """The files first: what has a record is whole."""
    own = record_path(source, record.name)
    for path in (*(source / name for name in record.files), own):
        copied = target / path.relative_to(source)
        try:
            with open(path, "rb") as read, writing(copied, "free some space") as written:
                shutil.copyfileobj(read, written)
        except FileNotFoundError as error:
            raise InputError(f"{path} is missing: record {record.name} names it") from error
