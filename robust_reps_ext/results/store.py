"""Results on disk: each experiment a folder of records, tensors and pictures, and a cox store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime, timezone
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..runtime.errors import InputError
from ..runtime.files import missing_folders, remove_empty
from .cox_export import bring_up_to_date
from .folder import WorkFolder, digest_of, remove
from .parts import Part, begun, shared_parts, snapshot_of
from .printing import Printing
from .records import (
    METADATA,
    RESULTS,
    Record,
    begun_as,
    check_name,
    metadata_of,
    read_records,
    record_path,
    write_record,
)
from .safe_pickle import trusting
from .synthesis import Synthesis
from .tensorboard import check_space, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ExperimentStore", "Part", "trusting"]

SHARE = 20  # the cox store is written anew no more often than in 1/20 of the time


class ExperimentStore:
    """One experiment on disk, in ``OUT/<id>/``.

    ============================ ====================================================
    ``records/<name>.json``      what is finished: rows, and the digests of its files
    ``<name>.safetensors``       each `Synthesis`, read with `Synthesis.load`
    ``<name>.png``               pictures
    ``store.h5``                 the cox store: table ``metadata``, one row with settings
                                 and provenance; table ``results``, one row per image
    ``tensorboard/``             objectives, and the first 8 images of each part
    ``snapshots/``               how far runs are that are not finished
    ============================ ====================================================

    What a call has been given is on the disk when it returns: its record is written last, and
    whole. The cox store is made from the records, as a new file each time, and is at the latest
    up to date when the experiment is closed; ``robust-reps store rebuild`` makes it again where it
    is damaged or missing. `cox.readers.CollectionReader` reads OUT, also where this package is not
    installed. Several processes may work on one experiment, see `parts`.

    Attributes
    ----------
    path
        The directory of the experiment.
    id
        Its name.
    printing
        How its pictures are written.

    Examples
    --------
    >>> import tempfile, torch
    >>> from robust_reps_ext.results.synthesis import Synthesis
    >>> from robust_reps_ext.results.store import ExperimentStore
    >>> from robust_reps_ext.results.reader import read_results
    >>> start, images = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    >>> made = Synthesis(images, start, torch.rand(2), torch.rand(1, 2), torch.zeros(1), {}, {})
    >>> out = tempfile.mkdtemp()
    >>> with ExperimentStore.create(out, experiment="invert", settings={"eps": 3.0}) as store:
    ...     path = store.add("robust", made, rows=[{"label": "dog"}, {"label": "cat"}])
    >>> [experiment] = read_results(out)
    >>> experiment.metadata["eps"], experiment.results["label"].tolist()
    (3.0, ['dog', 'cat'])
    """

    def __init__(self, path: Path) -> None:
        self.path, self.id = path.absolute(), path.name
        self._made: Sequence[Path] = ()
        self.printing = Printing()
        self._figures: set[str] = set()
        self._next_view = 0.0

    @classmethod
    def create(
        cls,
        out: str | Path,
        *,
        experiment: str,
        settings: Mapping[str, Any],
        provenance: Mapping[str, Any] | None = None,
    ) -> ExperimentStore:
        """Begin an experiment in the directory `out`, beside what there is, and write its metadata.

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
        check_name("experiment", experiment)
        metadata = metadata_of(experiment, settings, provenance)
        self = cls(Path(out, f"{experiment}-{uuid4().hex[:8]}"))
        self._begin(metadata, missing_folders(self.path))
        return self

    @classmethod
    def resume(
        cls,
        out: str | Path,
        *,
        experiment: str,
        settings: Mapping[str, Any],
        provenance: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        name: str | None = None,
    ) -> ExperimentStore:
        """Go on with the experiment of these settings in `out`, or begin it.

        The arguments are those of `create`. The id follows from them, so that several processes
        that are called alike work on one experiment.

        Parameters
        ----------
        overwrite
            Remove what `out` holds of this experiment (or of `name`), and begin anew.
        name
            The id. Experiments of other names may be beside it; default: only one in `out`.

        Raises
        ------
        InputError
            As `create`; if `out` holds the experiment with other settings, which are named; and if
            several processes of ``torchrun`` are to overwrite it.
        """
        check_name("experiment", experiment)
        metadata = metadata_of(experiment, settings, provenance)
        out = Path(out)
        own = out / (name or f"{experiment}-{digest_of(metadata)[:8]}")
        there = partial(begun_as, out, name, metadata)
        same = {} if overwrite else there()
        self = cls(next((one for one in same if same[one] == metadata), own))
        missing = missing_folders(self.path)

        def begin() -> None:
            for one in there():
                remove(one, [one])
            self._begin(metadata, missing)

        WorkFolder(
            out,
            metadata,
            begun=lambda: {} if overwrite else there(),
            begin=begin,
            overwrite=overwrite,
            name=experiment,
        )
        return self

    def _begin(self, metadata: Mapping[str, Any], missing: Sequence[Path]) -> None:
        self._made = missing
        with ExitStack() as undo:
            undo.push(self)
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(
                    f"cannot make {self.path}: {error.strerror or error}; give another directory"
                ) from error
            now = datetime.now(timezone.utc).isoformat(timespec="microseconds")
            write_record(self.path, METADATA, [{**metadata, "created": now}], table=METADATA)
            bring_up_to_date(self.path)
            undo.pop_all()

    @contextmanager
    def parts(self, group: str, n: int, size: int) -> Iterator[Iterator[Part]]:
        """What is to be done of a whole of `n` images, in parts of at most `size`.

        Each part is this process' own while the caller works on it, and finished once it was
        given to `add` or `add_rows`. Finished parts are left out, and those that other processes
        work on are waited for at the end, so that the whole is there after the last part. A whole
        of one part bears the whole's name.

        Parameters
        ----------
        group, n, size
            The name of the whole, its images, and those of each part but the last.

        Yields
        ------
        iterator of Part
            At the end of the ``with`` block nothing is this process' own any more.

        Examples
        --------
        >>> with store.parts("inversion", 100, 32) as parts:  # doctest: +SKIP
        ...     for part in parts:
        ...         store.add(part, rr.invert(model, images[part.images]))
        """
        with closing(shared_parts(self.path, group, n, size)) as parts:
            yield parts

    def records(self) -> list[Record]:
        """All that is finished, see `robust_reps_ext.results.records.read_records`."""
        return read_records(self.path)

    def tensors(self) -> list[Path]:
        """The files of tensors of all that is finished."""
        return [self.path / name for one in self.records() for name in one.files]

    def whole(self, group: str) -> tuple[Synthesis, list[dict[str, Any]]]:
        """What the finished parts of a whole hold: one synthesis, and a row for each image."""
        parts = [one for one in self.records() if one.group == group]
        runs = [Synthesis.load(self.path / name) for one in parts for name in one.files]
        return Synthesis.joined(runs), [row for one in parts for row in one.rows]

    def rows(self, group: str) -> list[dict[str, Any]]:
        """The rows of the finished parts of a whole."""
        return [row for one in self.records() if one.group == group for row in one.rows]

    def add(
        self, name: str | Part, synthesis: Synthesis, rows: Sequence[Mapping[str, Any]] = ()
    ) -> Path:
        """Store a synthesis, and a row of table ``results`` for each of its images.

        Parameters
        ----------
        name
            Of the file, and in the column ``name``; or the part that it finishes.
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
        part = self._part(name, len(synthesis))
        path = self.path / f"{part.name}.safetensors"
        if record_path(self.path, part.name).exists():
            raise InputError(f"{path} exists already: give another name")
        if rows and len(rows) != len(synthesis):
            raise InputError(
                f"{part.name!r} has {len(synthesis)} images and {len(rows)} rows: give one row each"
            )
        # Where each thing of the part has several images, they are counted on.
        first = part.first * (len(synthesis) // len(part))
        own = [
            {"name": part.group, "image": index, "objective": value, "tensors": path.name}
            for index, value in enumerate(synthesis.objective.tolist(), first)
        ]
        together = [{**row, **ours} for row, ours in zip(rows or [{}] * len(own), own, strict=True)]
        check_space(path, synthesis)
        synthesis.save(path)
        try:
            self._finish(part, together, [path])
        except InputError:
            if not record_path(self.path, part.name).exists():
                path.unlink(missing_ok=True)
            raise
        show(self.tensorboard, part.name, synthesis)
        return path

    def add_rows(
        self, name: str | Part, rows: Sequence[Mapping[str, Any]], *, table: str = RESULTS
    ) -> None:
        """Store rows that are not about images, such as accuracies.

        Parameters
        ----------
        name
            In the column ``name``; or the part that they finish.
        rows
            What there is to say, as for `add`.
        table
            Of the cox store.

        Raises
        ------
        InputError
            If there is no space left. What was stored before stays.
        """
        if not rows:
            return
        part = self._part(name, 0)
        if not isinstance(name, Part):
            taken = {one.name for one in self.records()}
            names = (name if k == 1 else f"{name}-{k}" for k in range(1, len(taken) + 2))
            free = next(one for one in names if one not in taken)
            part = Part(free, free, 0, 0, part.snapshot)
            rows = [{**row, "name": name} for row in rows]
        self._finish(part, rows, table=table)

    def add_figure(self, name: str, figure: Figure) -> Path:
        """Store a picture as ``<name>.png``, or in the formats of `printing`; its first file.

        A `name` that ends in .png, .pdf or .svg is one file; what an earlier process left goes.

        Raises
        ------
        InputError
            If `name` is in use or cannot name a file, or there is no space left.
        """
        check_name("name", name)
        for path in (paths := self.printing.files(self.path, name)):
            if path.name in self._figures:
                raise InputError(f"{path} exists already: give another name")
            self.printing.write(figure, path)
            self._figures.add(path.name)
        return paths[0]

    @cached_property
    def tensorboard(self) -> Any:
        """The `tensorboardX.SummaryWriter` of the experiment."""
        from tensorboardX import SummaryWriter

        return SummaryWriter(str(self.path / "tensorboard"))

    def close(self) -> None:
        """Bring the cox store up to date. Done at the end of a ``with`` block too."""
        if "tensorboard" in vars(self):
            self.tensorboard.close()
        if self.path.is_dir():
            bring_up_to_date(self.path)

    def __enter__(self) -> ExperimentStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._made and not self._holds_something():
            with suppress(InputError, OSError):  # another process works on it, or it is none
                remove(self.path, [self.path])
                remove_empty(self._made[1:])
            return
        self.close()

    def _holds_something(self) -> bool:
        """Whether anything was finished, or begun, here or by another process."""
        return begun(self.path) or any(one.table != METADATA for one in self.records())

    def _part(self, name: str | Part, n: int) -> Part:
        if isinstance(name, Part):
            return name
        check_name("name", name)
        return Part(name, name, 0, n, snapshot_of(self.path, name))

    def _finish(
        self,
        part: Part,
        rows: Sequence[Mapping[str, Any]],
        files: Sequence[Path] = (),
        *,
        table: str = RESULTS,
    ) -> None:
        write_record(
            self.path,
            part.name,
            rows,
            table=table,
            files=files,
            group=part.group,
            first=part.first,
        )
        part.snapshot.unlink(missing_ok=True)
        if time.monotonic() >= self._next_view:
            took = bring_up_to_date(self.path, wait=False)
            self._next_view = time.monotonic() + SHARE * took
