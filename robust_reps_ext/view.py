"""The cox stores of experiments as made from their records: brought up to date, checked, read."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cox.readers import CollectionReader
from filelock import FileLock, Timeout

from .errors import InputError
from .records import FOLDER, Record, read_records, sha256
from .upstream.cox_view import rows_in, table_of, write_store_file
from .upstream.hdf5 import HeldError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METADATA", "RESULTS", "StoredExperiment", "bring_up_to_date", "faults", "read_results"]

METADATA = "metadata"
RESULTS = "results"
STORE = "store.h5"
_LOCK = ".store.lock"


def bring_up_to_date(path: Path, *, wait: bool = True) -> float:
    """Make the cox store of the experiment in `path` hold what its records say.

    A store that cannot be read is kept beside as ``store.h5.damaged``, or ``-2``, ``-3``, ...

    Parameters
    ----------
    path
        The experiment's directory.
    wait
        Wait while another process does it; otherwise leave it to that one.

    Returns
    -------
    float
        Seconds that it took.

    Raises
    ------
    InputError
        If a record is damaged, or the store cannot be written. The records stay.
    """
    began = time.monotonic()
    try:
        with FileLock(path / _LOCK, timeout=-1 if wait else 0):
            tables = _tables(read_records(path))
            store = path / STORE
            if store.exists() and _damage(store):
                store.rename(_aside(store))
            if store.exists() and _holds(store, tables):
                return time.monotonic() - began
            try:
                write_store_file(store, tables, others=store.exists())
            except InputError as error:
                raise InputError(
                    f"{error}; what is finished is kept in {path / FOLDER}: mend the cause, then "
                    f"robust-reps store rebuild {path.parent}"
                ) from error
    except Timeout:
        pass
    return time.monotonic() - began


def faults(path: Path, *, files: bool = True) -> list[str]:
    """What is wrong with the experiment in `path`, one line each; nothing if all is well.

    Parameters
    ----------
    path
        The experiment's directory.
    files
        Also compare the digests of the files that the records name.

    Returns
    -------
    list of str
    """
    try:
        records = read_records(path)
    except InputError as error:
        return [str(error)]
    found = []
    for one in records:
        for name, digest in one.files.items():
            if not (path / name).is_file():
                found.append(f"{path / name} is missing: record {one.name} names it")
            elif files and sha256(path / name) != digest:
                found.append(f"{path / name} is damaged: its digest is not that of its record")
    store, tables = path / STORE, _tables(records)
    if not store.exists():
        found.append(f"{store} is missing: robust-reps store rebuild makes it from the records")
    elif reason := _damage(store):
        found.append(f"{reason}: robust-reps store rebuild makes it from the records")
    elif not _holds(store, tables):
        there = {name: n for name, n in rows_in(store).items() if name in tables}
        found.append(
            f"{store} has {sum(there.values())} rows, the records "
            f"{sum(map(len, tables.values()))}: robust-reps store rebuild brings it up to date"
        )
    return found


@dataclass(frozen=True)
class StoredExperiment:
    """An experiment as `read_results` finds it.

    Attributes
    ----------
    path
        Its directory.
    metadata
        Settings and provenance. Empty where there are none.
    results
        One row per image, see `robust_reps_ext.store.ExperimentStore.add`. Empty where there are
        none.
    """

    path: Path
    metadata: dict[str, Any]
    results: pd.DataFrame

    @property
    def tensors(self) -> dict[str, Path]:
        """The files that `Synthesis.load` reads, by name."""
        return {path.stem: path for path in sorted(self.path.glob("[!.]*.safetensors"))}


def read_results(out: str | Path) -> list[StoredExperiment]:
    """The experiments in the directory `out`, in the order in which they were begun.

    Also those of `robustness.train`, which have metadata and no results. Runs no code that the
    stores may hold; see `robust_reps_ext.store.trusting`.

    Raises
    ------
    InputError
        If `out` is no directory, or a record or a store in it is damaged, or a store without
        records is held by a running process.
    """
    recorded = {path.parent.name for path in Path(out).glob(f"*/{FOLDER}")}
    found = [_recorded(Path(out, name)) for name in sorted(recorded)]
    reader = CollectionReader(str(out), exp_filter=lambda name: name not in recorded)
    try:
        found += [
            StoredExperiment(
                Path(out, name),
                _last(_table(reader, name, METADATA)),
                _table(reader, name, RESULTS),
            )
            for name in reader.stores
        ]
    finally:
        reader.close()
    return sorted(found, key=lambda one: (str(one.metadata.get("created", "")), one.path.name))


def _recorded(path: Path) -> StoredExperiment:
    tables = {name: table_of(rows) for name, rows in _tables(read_records(path)).items()}
    nothing = table_of([])
    return StoredExperiment(
        path, _last(tables.get(METADATA, nothing)), tables.get(RESULTS, nothing)
    )


def _tables(records: list[Record]) -> dict[str, list[dict[str, Any]]]:
    tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in records:
        tables[one.table] += one.rows
    return dict(tables)


def _holds(store: Path, tables: dict[str, list[dict[str, Any]]]) -> bool:
    """Whether the store has as many rows as the records."""
    there = rows_in(store)
    return all(there.get(name, 0) == len(rows) for name, rows in tables.items())


def _damage(store: Path) -> str:
    """Why the store cannot be read, "" if it can."""
    try:
        rows_in(store)
    except HeldError:
        raise
    except InputError as error:
        return str(error)
    return ""


def _aside(store: Path) -> Path:
    names = (f"{store.name}.damaged{'' if k == 1 else f'-{k}'}" for k in range(1, 1000))
    return next(path for name in names if not (path := store.with_name(name)).exists())


def _table(reader: CollectionReader, name: str, table: str) -> pd.DataFrame:
    if table not in reader.stores[name].tables:
        return table_of([])
    return reader.df(table, append_exp_id=False, exp_filter=lambda other: other == name)


def _last(table: pd.DataFrame) -> dict[str, Any]:
    rows = table.to_dict("records")
    return {str(key): value for key, value in rows[-1].items()} if rows else {}
