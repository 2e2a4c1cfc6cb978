"""Finished figures and tables on disk: each a folder with a manifest, which is written last."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from ..runtime.errors import InputError
from ..runtime.files import writing
from .figures import panel_figure
from .folder import remove, write_json
from .layouts import panels
from .printing import Printing
from .records import check_name, plain
from .store import ExperimentStore
from .synthesis import Synthesis

__all__ = ["MANIFEST", "FinishedUnit", "Found", "Heading", "finished_units", "keep"]

MANIFEST = "unit.json"
_FORMAT = 3
# Of version 0.1, which called the metadata facts.
_FORMER = 2
_PARTS: Mapping[type, tuple[str, ...]] = {
    str: ("finished", "id", "kind", "numbers", "title", "digest"),
    dict: ("metadata", "study"),
    list: ("runs", "pictures"),
}


@dataclass(frozen=True)
class Heading:
    """What a section of the report is called.

    Attributes
    ----------
    id
        ``"fig3"``, names its files.
    kind
        How it is drawn: ``"grid"``, ``"pairs"``, ``"curve"``, ``"interpolation"``, ``"features"``,
        ``"activations"``, ``"regularized"``, ``"additions"``, ``"metamers"``, ``"edits"``,
        ``"table"`` or ``"scorecard"``.
    numbers
        What the paper calls it.
    title
        In words.
    """

    id: str
    kind: str
    numbers: str
    title: str


@dataclass(frozen=True)
class Found:
    """What a figure or table holds.

    Attributes
    ----------
    runs
        Name -> synthesis, most often one for each model.
    metadata
        What there is to say, as JSON can hold it.
    pictures
        Images that no synthesis made.
    plot
        Draws a figure of numbers, beside that of the images of the runs.
    images_as
        What the file of the images is called; default the unit's id.
    """

    runs: Mapping[str, Synthesis] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Tensor] = field(default_factory=dict)
    plot: Callable[[], Any] | None = None
    images_as: str = ""


@dataclass(frozen=True)
class FinishedUnit:
    """A figure or table on the disk.

    Attributes
    ----------
    path
        Its directory: ``<run>.safetensors`` for `Synthesis.load`, PNG and PDF, and
        ``pictures/<name>.safetensors`` with one tensor ``images``.
    manifest
        What it is and says: id, kind, title, numbers, runs, pictures, metadata, study, digest.
    """

    path: Path
    manifest: Mapping[str, Any]


def finished_units(
    out: str | Path, order: Sequence[str] | None = None, *, digest: str | None = None
) -> list[FinishedUnit]:
    """The units in `out`; of one id the newest.

    Parameters
    ----------
    out
        The folder that they were kept in.
    order
        The ids to give, in this order; default: all, the oldest first.
    digest
        Only those that were made with these settings.
    """
    newest: dict[str, FinishedUnit] = {}
    for unit in sorted(_read(Path(out)), key=lambda unit: unit.manifest["finished"]):
        if digest in (None, unit.manifest["digest"]):
            newest[unit.manifest["id"]] = unit
    return [newest[unit] for unit in (newest if order is None else order) if unit in newest]


def _read(out: Path) -> Iterator[FinishedUnit]:
    for path in out.glob(f"*/{MANIFEST}"):
        try:
            manifest = json.loads(path.read_text("utf-8"))
            if not isinstance(manifest, dict):
                raise ValueError("it is no JSON object")
            if manifest.get("format") == _FORMER:
                manifest |= {"format": _FORMAT, "metadata": manifest.pop("facts", None)}
            if manifest.get("format") != _FORMAT:
                continue
            _check(manifest)
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path} is damaged: {error}; delete {path.parent}") from error
        yield FinishedUnit(path.parent, manifest)


def _check(manifest: Mapping[str, Any]) -> None:
    """Refuse a manifest that lacks what readers of units rely on, or names files elsewhere."""
    for kind, keys in _PARTS.items():
        for key in keys:
            if not isinstance(manifest.get(key), kind):
                raise ValueError(f"{key!r} is no {kind.__name__}")
    for name in (*manifest["runs"], *manifest["pictures"]):
        check_name("file", str(name))


def keep(
    out: str | Path,
    unit: Heading,
    found: Found,
    made_with: Mapping[str, Any],
    printing: Printing | None = None,
    *,
    once: bool = False,
) -> FinishedUnit:
    """Write a unit; its manifest, which says that it is finished, comes last.

    Figures are written as PNG and PDF, and in other formats that `printing` names. `once` leaves
    the newest of its id as it is where that was made with the same.
    """
    from datetime import datetime, timezone

    if once:
        newest = finished_units(out, [unit.id])
        if newest and newest[0].manifest["digest"] == made_with["digest"]:
            return newest[0]
        older = finished_units(out, [unit.id], digest=made_with["digest"])
        remove(Path(out), [one.path for one in older])
    with ExperimentStore.create(
        out,
        experiment=unit.id,
        settings={"digest": made_with["digest"]},
        provenance=made_with["study"],
    ) as store:
        for name, run in found.runs.items():
            store.add(name, run)
        figures = {} if found.plot is None else {unit.id: found.plot()}
        if found.runs:
            shown = panels(unit.kind, found.runs, found.metadata, found.pictures)
            figures[found.images_as or unit.id] = panel_figure(shown)
        store.printing = printing or Printing()
        for name, figure in figures.items():
            for suffix in dict.fromkeys(("png", "pdf", *store.printing.kinds(()))):
                store.add_figure(f"{name}.{suffix}", figure)
        pictures = store.path / "pictures"
        pictures.mkdir()
        for name, images in found.pictures.items():
            with writing(pictures / f"{name}.safetensors", "free some space") as file:
                file.write(save({"images": images.contiguous()}))
        manifest = {
            "format": _FORMAT,
            "finished": datetime.now(timezone.utc).isoformat(timespec="microseconds"),
            **{name: getattr(unit, name) for name in ("id", "kind", "numbers", "title")},
            "runs": list(found.runs),
            "pictures": list(found.pictures),
            "metadata": dict(found.metadata),
            **made_with,
        }
        write_json(store.path / MANIFEST, manifest)
    return FinishedUnit(store.path, plain(manifest))
