"""What a folder of results holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cox.readers import CollectionReader

from .cox_export import tables_of
from .cox_file import table_of
from .records import FOLDER, METADATA, RESULTS, read_records

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["StoredExperiment", "read_results"]


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
        One row per image, see `robust_reps_ext.results.store.ExperimentStore.add`. Empty where
        there are none.
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
    stores may hold; see `robust_reps_ext.results.store.trusting`.

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
    tables = {name: table_of(rows) for name, rows in tables_of(read_records(path)).items()}
    nothing = table_of([])
    return StoredExperiment(
        path, _last(tables.get(METADATA, nothing)), tables.get(RESULTS, nothing)
    )


def _table(reader: CollectionReader, name: str, table: str) -> pd.DataFrame:
    if table not in reader.stores[name].tables:
        return table_of([])
    return reader.df(table, append_exp_id=False, exp_filter=lambda other: other == name)


def _last(table: pd.DataFrame) -> dict[str, Any]:
    rows = table.to_dict("records")
    return {str(key): value for key, value in rows[-1].items()} if rows else {}
