"""What an experiment was made with, and where that differs from what is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .records import METADATA, plain, read_records, record_path

__all__ = ["difference", "earlier", "facts_of"]


def facts_of(
    experiment: str, settings: Mapping[str, Any], provenance: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Settings and provenance as JSON keeps them.

    Raises
    ------
    ValueError
        If a name is in both with different values.
    """
    given = plain(settings)
    facts = {**given, **plain(provenance or {})}
    for name, value in given.items():
        if facts[name] != value:
            raise ValueError(f"{name!r} is both a setting and of the provenance")
    return {**facts, "experiment": experiment}


def earlier(out: Path, experiment: str) -> dict[Path, dict[str, Any]]:
    """What `out` holds of an experiment: directories, and their metadata."""
    found = {}
    for path in sorted(out.glob(f"{experiment}-*")):
        if record_path(path, METADATA).is_file():
            (row,) = next(one for one in read_records(path) if one.name == METADATA).rows
            if row.get("experiment") == experiment:
                found[path] = row
    return found


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The settings that differ, there and here; of nested ones, those inside.

    Examples
    --------
    >>> from robust_reps_ext.results.facts import difference
    >>> difference({"n": 1, "model": {"name": "a"}}, {"n": 2, "model": {"name": "b"}})
    "n=1 (now 2), model.name='a' (now 'b')"
    """
    return ", ".join(
        f"{name}={old!r} (now {new!r})" for name, old, new in _differing(there, here, "")
    )


def _differing(
    there: Mapping[str, Any], here: Mapping[str, Any], within: str
) -> Iterator[tuple[str, Any, Any]]:
    for name in {**there, **here}:
        old, new = there.get(name), here.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differing(old, new, f"{within}{name}.")
        elif old != new and name != "created":
            yield f"{within}{name}", old, new
