"""Results on disk: each experiment a cox store, beside it its tensors and pictures."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cox.readers import CollectionReader
from cox.store import Store

from .errors import InputError
from .figures import save_figure
from .result import Synthesis
from .upstream.cox_columns import merged
from .upstream.safe_pickle import trusting

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["ExperimentStore", "StoredExperiment", "read_results", "trusting"]

METADATA = "metadata"
RESULTS = "results"
# What an experiment takes on the disk beside its images, in bytes.
MARGIN = 2**22


class ExperimentStore:
    """One experiment on disk, in ``OUT/<id>/``.

    ============================ ====================================================
    ``store.h5``                 the cox store: table ``metadata``, one row with settings
                                 and provenance; table ``results``, one row per image
    ``<name>.safetensors``       each `Synthesis`, read with `Synthesis.load`
    ``<name>.png``               pictures
    ``tensorboard/``             images and objectives
    ============================ ====================================================

    What a call has been given is on the disk when it returns. `cox.readers.CollectionReader`
    reads OUT, also where this package is not installed.

    Attributes
    ----------
    path
        The directory of the experiment.
    id
        Its name.

    Examples
    --------
    >>> import tempfile, torch
    >>> from robust_reps_ext.result import Synthesis
    >>> from robust_reps_ext.store import ExperimentStore, read_results
    >>> start, images = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    >>> made = Synthesis(images, start, torch.rand(2), torch.rand(1, 2), torch.zeros(1), {}, {})
    >>> out = tempfile.mkdtemp()
    >>> with ExperimentStore.create(out, experiment="invert", settings={"eps": 3.0}) as store:
    ...     path = store.add("robust", made, rows=[{"label": "dog"}, {"label": "cat"}])
    Logging in: ...
    >>> [experiment] = read_results(out)
    >>> experiment.metadata["eps"], experiment.results["label"].tolist()
    (3.0, ['dog', 'cat'])
    """

    def __init__(self, store: Any, made: Path) -> None:
        self.path = Path(store.path)
        self.id: str = store.exp_id
        self._store = store
        self._made = made
        self._holds_something = False

    @classmethod
    def create(
        cls,
        out: str | Path,
        *,
        experiment: str,
        settings: Mapping[str, Any],
        provenance: Mapping[str, Any] | None = None,
    ) -> ExperimentStore:
        """Begin an experiment in the directory `out`, and write its metadata.

        Parameters
        ----------
        out
            Directory of experiments; made where there is none.
        experiment
            What is done, such as ``"invert"``; the experiment's id begins with it.
        settings
            How it is done. Numbers, texts and None become columns of ``metadata`` of their own
            type; lists and dicts of such become objects, and anything else its text.
        provenance
            What it is done with and by: model, seed, versions. Becomes columns likewise.

        Raises
        ------
        InputError
            If `out` is a file, cannot be written, or has no space left; nothing is left behind.
        ValueError
            If a name is in both `settings` and `provenance` with different values.
        """
        _check_name("experiment", experiment)
        facts = {**_plain(settings), **_plain(provenance or {})}
        for name, value in _plain(settings).items():
            if facts[name] != value:
                raise ValueError(f"{name!r} is both a setting and of the provenance")
        facts["experiment"] = experiment
        facts["created"] = datetime.now(timezone.utc).isoformat(timespec="microseconds")
        experiment_id = f"{experiment}-{uuid4().hex[:8]}"
        directory = Path(out, experiment_id)
        made = [path for path in (directory, *directory.parents) if not path.exists()][-1]
        self = cls(Store(str(out), experiment_id, new=True), made)
        with ExitStack() as undo:
            undo.push(self)
            self._append(METADATA, [facts])
            undo.pop_all()
        return self

    def add(self, name: str, synthesis: Synthesis, rows: Sequence[Mapping[str, Any]] = ()) -> Path:
        """Store a synthesis, and a row of table ``results`` for each of its images.

        Parameters
        ----------
        name
            Of the file, and in the column ``name``.
        synthesis
            What was made.
        rows
            What there is to say of each image beside its index and objective: label, target,
            distance, ... One mapping per image, or none at all. Rows need not have the same
            names, nor those of other calls.

        Returns
        -------
        pathlib.Path
            The file of tensors.

        Raises
        ------
        InputError
            If `name` is in use or cannot name a file, there are more or fewer rows than images,
            or there is no space left. What was stored before stays.
        """
        path = self._free(name, ".safetensors")
        if rows and len(rows) != len(synthesis):
            raise InputError(
                f"{name!r} has {len(synthesis)} images and {len(rows)} rows: give one row each"
            )
        said = [_plain(row) for row in rows] or [{} for _ in range(len(synthesis))]
        objectives = synthesis.objective.tolist()
        own = [
            {"name": name, "image": index, "objective": float(objective), "tensors": path.name}
            for index, objective in enumerate(objectives)
        ]
        self._check_space(path, synthesis)
        synthesis.save(path)
        written = self._rows(RESULTS)
        try:
            self._append(RESULTS, [{**row, **ours} for row, ours in zip(said, own, strict=True)])
        except InputError:
            if self._rows(RESULTS) == written:
                path.unlink()
            raise
        self._holds_something = True
        self._show(name, synthesis)
        return path

    def add_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Store rows of table ``results`` that are not about images, such as accuracies.

        Parameters
        ----------
        name
            In the column ``name``.
        rows
            What there is to say, as for `add`.

        Raises
        ------
        InputError
            If there is no space left. What was stored before stays.
        """
        self._append(RESULTS, [{**_plain(row), "name": name} for row in rows])
        self._holds_something = True

    def add_figure(self, name: str, figure: Figure) -> Path:
        """Store a picture as ``<name>.png``, or as PDF or SVG if `name` ends so.

        Raises
        ------
        InputError
            If `name` is in use or cannot name a file, or there is no space left.
        """
        suffix = "" if Path(name).suffix in (".png", ".pdf", ".svg") else ".png"
        path = save_figure(figure, self._free(name, suffix))
        self._holds_something = True
        return path

    @property
    def tensorboard(self) -> Any:
        """The `tensorboardX.SummaryWriter` of the experiment."""
        return self._store.tensorboard

    def close(self) -> None:
        """Close the files. Done at the end of a ``with`` block too."""
        self._store.close()

    def __enter__(self) -> ExperimentStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()
        if kind is not None and not self._holds_something:
            shutil.rmtree(self._made, ignore_errors=True)

    def _free(self, name: str, suffix: str) -> Path:
        _check_name("name", name)
        path = self.path / f"{name}{suffix}"
        if path.exists():
            raise InputError(f"{path} exists already: give another name")
        return path

    def _check_space(self, path: Path, synthesis: Synthesis) -> None:
        # Twice: tensors, and images for tensorboard, whose writer hangs where a disk is full.
        images = 3 * synthesis.images.numel() * synthesis.images.element_size()
        needed, free = 2 * images + MARGIN, shutil.disk_usage(self.path).free
        if free < needed:
            raise InputError(
                f"cannot write {path}: {free // 2**20} MiB are free and {-(-needed // 2**20)} MiB "
                "needed; free some, or give another directory"
            )

    def _rows(self, table: str) -> int:
        return self._store[table].nrows if table in self._store.tables else 0

    def _append(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        schema = _schema(rows)
        kept = self._store.add_table(table, schema)
        for row in rows:
            kept.append_row({name: row.get(name) for name in schema})

    def _show(self, name: str, synthesis: Synthesis) -> None:
        writer = self.tensorboard
        shown = {"images": synthesis.images, "start": synthesis.start}
        if synthesis.target_images is not None:
            shown["targets"] = synthesis.target_images
        for what, images in shown.items():
            writer.add_images(f"{name}/{what}", images.detach().float().cpu().numpy())
        for step, values in zip(synthesis.trace_steps.tolist(), synthesis.trace, strict=True):
            writer.add_scalar(f"{name}/objective", float(values.mean()), int(step))
        writer.flush()


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
        One row per image, see `ExperimentStore.add`. Empty where there are none.
    """

    path: Path
    metadata: dict[str, Any]
    results: pd.DataFrame

    @property
    def tensors(self) -> dict[str, Path]:
        """The files that `Synthesis.load` reads, by name."""
        return {path.stem: path for path in sorted(self.path.glob("*.safetensors"))}


def read_results(out: str | Path) -> list[StoredExperiment]:
    """The experiments in the directory `out`, in the order in which they were begun.

    Also those of `robustness.train`, which have metadata and no results. Runs no code that the
    stores may hold; see `trusting`.

    Raises
    ------
    InputError
        If `out` is no directory, or a store in it is damaged or held by a running process.
    """
    reader = CollectionReader(str(out))
    try:
        found = [
            StoredExperiment(
                Path(out, name), _metadata(reader, name), _table(reader, name, RESULTS)
            )
            for name in reader.stores
        ]
    finally:
        reader.close()
    return sorted(found, key=lambda one: (str(one.metadata.get("created", "")), one.path.name))


def _table(reader: CollectionReader, name: str, table: str) -> pd.DataFrame:
    import pandas as pd

    if table not in reader.stores[name].tables:
        return pd.DataFrame()
    return reader.df(table, append_exp_id=False, exp_filter=lambda other: other == name)


def _metadata(reader: CollectionReader, name: str) -> dict[str, Any]:
    rows = _table(reader, name, METADATA).to_dict("records")
    return {str(key): value for key, value in rows[-1].items()} if rows else {}


def _check_name(what: str, name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name):
        raise InputError(
            f"{what} {name!r} cannot name a file: use letters, digits, '_', '-' and '.' only"
        )


def _plain(value: Any) -> Any:
    """`value` as plain Python: what a store can keep and give back without running code."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def _schema(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The types of columns that keep all `rows`; a value that is None is as good as not there."""
    schema: dict[str, Any] | None = None
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
        said = {name: _kind(value) for name, value in row.items() if value is not None}
        schema = said if schema is None else merged(schema, said, "a table")
    return {name: (schema or {}).get(name, Store.OBJECT) for name in names}


def _kind(value: Any) -> Any:
    natural = type(value) in (bool, float, str) or (
        type(value) is int and -(2**63) <= value < 2**63
    )
    return type(value) if natural else Store.OBJECT
