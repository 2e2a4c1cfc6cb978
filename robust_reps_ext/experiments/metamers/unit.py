"""Metamers of one network or of a pair, as the page shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...results.accuracies import Accuracy, line_of
from ...results.folder import digest_of
from ...results.plots import shares_figure
from ...results.units import FinishedUnit, Found, Heading, keep
from ...runtime.modules import digest
from .likeness import MEASURES
from .recognition import Recognition
from .result import Metamers

__all__ = ["keep_metamers"]

HEADING = Heading("ladder", "metamers", "Beyond the paper", "Metamers, layer by layer")
BINS = 40


def keep_metamers(
    out: str | Path,
    found: Mapping[str, Metamers],
    study: Mapping[str, Any],
    *,
    recognised: Mapping[str, Recognition] | None = None,
) -> FinishedUnit:
    """Write what `report.page.write_report` makes a section of: ladder, successes, nulls.

    Parameters
    ----------
    out
        The folder that the page is of.
    found
        Role (``"robust"``, ``"standard"``) -> metamers of the same targets.
    study
        How they were made: ``models``, role -> name, arch and weights; ``data``, ``seed`` and
        ``scale``, as JSON holds them.
    recognised
        Role -> who recognises them; default: nobody was asked.

    Raises
    ------
    InputError
        If it cannot be written.

    Examples
    --------
    >>> kept = keep_metamers("out", {"robust": made}, study)  # doctest: +SKIP
    """
    seen = recognised or {}
    metadata = {
        "measures": list(MEASURES),
        "networks": {role: _told(one, seen.get(role)) for role, one in found.items()},
    }

    def plot() -> Any:
        first, *others = found.values()
        if any(one.layers != first.layers for one in others):
            return first.shares_figure()
        lines = [line_of(one.shares(), role) for role, one in found.items()]
        return shares_figure(first.layers, lines)

    unit = Found(
        runs={role: one.synthesis for role, one in found.items()},
        metadata=metadata,
        plot=plot,
        images_as="images",
    )
    judges = {role: one.judges for role, one in seen.items()}
    images = digest({role: one.synthesis.images for role, one in found.items()})
    made_with = {"digest": digest_of({**study, "judges": judges, "images": images})}
    return keep(out, HEADING, unit, {**made_with, "study": dict(study)}, once=True)


def _told(one: Metamers, seen: Recognition | None) -> dict[str, Any]:
    """What the page says of one network, as JSON holds it."""
    judged = {} if seen is None else {judge: _shares(seen.shares(judge)) for judge in seen.judges}
    return {
        "layers": one.layers,
        "pairs": len(one.null),
        "captions": one.lacks(),
        "successes": _shares(one.shares()),
        "recognised": judged,
        "null": [
            [_histogram(*both) for both in zip(one.null.of(layer).T, values.T, strict=True)]
            for layer, values in zip(one.layers, one.own, strict=True)
        ],
    }


def _shares(shares: Sequence[Accuracy]) -> list[dict[str, Any]]:
    return [
        {"correct": one.correct, "n": one.n, "low": low, "high": high}
        for one in shares
        for low, high in [one.interval()]
    ]


def _histogram(null: Tensor, marks: Tensor) -> dict[str, Any]:
    """Counts of the null in bins over all finite values, and the metamers' own."""
    null, own = null[null.isfinite()], marks[marks.isfinite()]
    everything = torch.cat([null, own])
    if not len(everything):
        return {"low": 0.0, "high": 1.0, "counts": [0] * BINS, "marks": []}
    low, high = float(everything.min()), float(everything.max())
    high = high if high > low else low + 1.0
    counts = torch.histc(null, BINS, low, high).long().tolist()
    return {"low": low, "high": high, "counts": counts, "marks": own.tolist()}
