"""What is finished, as files: a JSON record for each piece of work, and the files that it names.

A record is written whole, after the files it names, so that work is finished exactly when its
record is there. Everything else, such as the tables of a cox store, is made from records.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..runtime.errors import InputError
from ..runtime.files import sha256, writing

__all__ = [
    "FOLDER",
    "METADATA",
    "RESULTS",
    "Record",
    "begun_as",
    "check_name",
    "difference",
    "earlier",
    "metadata_of",
    "plain",
    "read_records",
    "record_path",
    "write_record",
]

FOLDER = "records"
METADATA = "metadata"
RESULTS = "results"
MOST_TOLD, LONGEST = 4, 60
_DIGEST = re.compile("[0-9a-f]{16,}")
_FORMAT = "robust_reps_ext.Record/1"


@dataclass(frozen=True)
class Record:
    """A finished piece of work.

    Attributes
    ----------
    name
        Names its file, ``records/<name>.json``.
    table, rows
        What a table of the cox store holds of it.
    files
        Name -> sha256 of the files it left beside the folder of records.
    group, first
        Of which whole it is a part, and the number of its first image in it.
    finished
        When, in UTC.
    """

    name: str
    table: str
    rows: list[dict[str, Any]]
    files: dict[str, str] = field(default_factory=dict)
    group: str = ""
    first: int = 0
    finished: str = ""


def write_record(
    directory: Path,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    table: str,
    files: Iterable[Path] = (),
    group: str | None = None,
    first: int = 0,
) -> Record:
    """Write that a piece of work is finished.

    Parameters
    ----------
    directory
        Of the experiment.
    name
        Of the record; one that is there is replaced.
    rows
        For `table`; kept as plain values.
    table
        Of the cox store.
    files
        What belongs to it, in `directory`, on the disk already.
    group, first
        See `Record`; without a group it is a whole of its own.

    Raises
    ------
    InputError
        If the name cannot name a file, or the record cannot be written.
    """
    check_name("name", name)
    record = Record(
        name,
        table,
        [plain(row) for row in rows],
        {path.name: sha256(path) for path in files},
        name if group is None else group,
        first,
        datetime.now(timezone.utc).isoformat(timespec="microseconds"),
    )
    path = record_path(directory, name)
    folder = path.parent
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make {folder}: {error.strerror or error}; give another directory"
        ) from error
    with writing(path, "free some space, or give another directory") as file:
        file.write(json.dumps({"format": _FORMAT, **asdict(record)}, indent=1).encode())
    return record


def record_path(directory: Path, name: str) -> Path:
    """Where the record of that name is, once it is written."""
    return directory / FOLDER / f"{name}.json"


def read_records(directory: Path) -> list[Record]:
    """The records of an experiment: wholes in the order of their beginning, parts by number.

    Raises
    ------
    InputError
        If a record is damaged.
    """
    records = [_read(path) for path in sorted((directory / FOLDER).glob("[!.]*.json"))]
    began: dict[str, str] = {}
    for one in records:
        began[one.group] = min(one.finished, began.get(one.group, one.finished))
    return sorted(records, key=lambda one: (began[one.group], one.group, one.first, one.finished))


def _read(path: Path) -> Record:
    try:
        kept = json.loads(path.read_text("utf-8"))
        if kept.pop("format", None) != _FORMAT:
            raise ValueError(f"its format is not {_FORMAT}")
        record = Record(**kept)
        if record.name != path.stem or not all(isinstance(row, dict) for row in record.rows):
            raise ValueError("it is no record of that name")
        for name in record.files:
            check_name("file", name)
    except (OSError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"record {path} is damaged ({error}): remove it, and the same command makes it again"
        ) from error
    return record


def check_name(what: str, name: str) -> None:
    """Refuse what cannot name a file inside a folder."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name):
        raise InputError(
            f"{what} {name!r} cannot name a file: use letters, digits, '_', '-' and '.' only"
        )


def plain(value: Any) -> Any:
    """`value` as plain Python: what JSON keeps and gives back."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def metadata_of(
    experiment: str, settings: Mapping[str, Any], provenance: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Settings and provenance as JSON keeps them.

    Raises
    ------
    ValueError
        If a name is in both with different values.
    """
    given = plain(settings)
    metadata = {**given, **plain(provenance or {})}
    for name, value in given.items():
        if metadata[name] != value:
            raise ValueError(f"{name!r} is both a setting and of the provenance")
    return {**metadata, "experiment": experiment}


def earlier(out: Path, experiment: str) -> dict[Path, dict[str, Any]]:
    """What `out` holds of an experiment: directories and their metadata, the newest last."""
    found = []
    for path in sorted(out.glob(f"{experiment}-*")):
        if record_path(path, METADATA).is_file():
            (row,) = next(one for one in read_records(path) if one.name == METADATA).rows
            if row.get("experiment") == experiment:
                found.append((str(row.pop("created", "")), path, row))
    return {path: row for _, path, row in sorted(found, key=lambda one: one[0])}


def begun_as(
    out: Path, name: str | None, metadata: Mapping[str, Any]
) -> dict[Path, dict[str, Any]]:
    """Of the earlier ones, that in the folder `name` and those of the same settings; or all."""
    found = earlier(out, str(metadata["experiment"]))
    return {
        path: row for path, row in found.items() if name in (None, path.name) or row == metadata
    }


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The settings that differ, there and here, in a line; of nested ones, those inside.

    Where a digest differs, as of another network's weights, it and what is inside other settings
    are told only where nothing else differs, from which they follow.

    Examples
    --------
    >>> from robust_reps_ext.results.records import difference
    >>> difference({"n": 1, "weights": "a" * 64}, {"n": 2, "weights": "b" * 64})
    'n=1 (now 2)'
    >>> difference({"n": 1, "model": {"name": "a"}}, {"n": 1, "model": {"name": "b"}})
    "model.name='a' (now 'b')"
    """
    found = list(_differing(there, here, ""))
    if any(_is_digest(value) for _, *values in found for value in values):
        options = [one for one in found if "." not in one[0] and not any(map(_is_digest, one))]
        found = options or found
    shown = found[:MOST_TOLD]
    more = len(found) - len(shown)
    return ", ".join(f"{name}={_brief(old)} (now {_brief(new)})" for name, old, new in shown) + (
        f" and {more} more" if more else ""
    )


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _brief(value: Any) -> str:
    if _is_digest(value):
        value = value[:8]
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _differing(
    there: Mapping[str, Any], here: Mapping[str, Any], within: str
) -> Iterator[tuple[str, Any, Any]]:
    for name in {**there, **here}:
        old, new = there.get(name), here.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differing(old, new, f"{within}{name}.")
        elif old != new:
            yield f"{within}{name}", old, new
