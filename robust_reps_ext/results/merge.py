"""Parts of experiments that were made in several places, brought together in one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..runtime.errors import InputError
from ..runtime.files import writing
from .cox_export import bring_up_to_date
from .records import FOLDER, METADATA, Record, difference, read_records, record_path

__all__ = ["experiments_in", "merge"]

PLACES = ("created", "data", "origin")
"""Of what an experiment tells of itself, what may differ from machine to machine."""


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

    Of a part that several have, the first is taken. Experiments of one name must have been made
    with the same settings; data and checkpoints may have been in other places. What is in `out`
    already is not copied again, so that an interrupted merge goes on. Pictures are left out: the
    command that made the parts makes those of the whole, given ``--out out``.

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
        If a source holds no experiment or a damaged record, lacks a file that a record names, or
        was made with other settings; or if `out` cannot be written. What was copied before stays.

    Examples
    --------
    >>> merge([Path("machine-1"), Path("machine-2")], Path("all"))  # doctest: +SKIP
    """
    merged: dict[Path, None] = {}
    for source in sources:
        for experiment in experiments_in(source):
            target, records = out / experiment.name, read_records(experiment)
            made = read_records(target)
            _check_alike(experiment, _settings(records), target, _settings(made))
            try:
                target.joinpath(FOLDER).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(
                    f"cannot make {target}: {error.strerror}; choose another place"
                ) from error
            there = {one.name for one in made}
            for record in records:
                if record.name not in there:
                    _copy(record, experiment, target)
            merged[target] = None
    for target in merged:
        bring_up_to_date(target)
    return list(merged)


def _settings(records: Sequence[Record]) -> dict[str, Any]:
    """What an experiment was made with, but for where and when; empty where it has not begun."""
    for one in records:
        if one.name == METADATA:
            return {name: value for name, value in one.rows[0].items() if name not in PLACES}
    return {}


def _check_alike(
    source: Path, here: Mapping[str, Any], target: Path, there: Mapping[str, Any]
) -> None:
    if there and here and there != here:
        raise InputError(
            f"{target} was made with {difference(there, here)} in {source}: merge what was made "
            "with the same settings, or give another folder"
        )


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
