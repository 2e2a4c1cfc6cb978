"""Which image stands where in the figures of the paper: from results to rows and panels.

The commands, the figures of `paper` and the page all draw these.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .captions import two_digits
from .directions import Directions
from .figures import Panel, Row
from .synthesis import Synthesis

__all__ = [
    "additions",
    "along",
    "extremes",
    "features",
    "interpolations",
    "inversions",
    "ladders",
    "pairs",
    "panels",
    "radii",
    "regularized",
]

Runs = Mapping[str, Synthesis]
Metadata = Mapping[str, Any]

MOST_COORDINATES = 12
"""Columns of a panel beside that of the seeds; what is more goes into panels of its own."""


def panels(
    kind: str, runs: Runs, metadata: Metadata, pictures: Mapping[str, Tensor] | None = None
) -> list[Panel]:
    """The panels of a unit, see `robust_reps_ext.results.units`.

    Parameters
    ----------
    kind
        Of its `Heading`.
    runs, metadata, pictures
        Of its `Found`.
    """
    if kind == "features":
        names = metadata.get("names", {})
        predicted, seeds = metadata.get("predicted", {}), metadata.get("seeds")
        return [
            panel
            for run, synthesis in runs.items()
            for panel in features(
                synthesis,
                metadata["coordinates"][run],
                predicted=predicted.get(run),
                seeds=seeds,
                title=names.get(run, run),
                run=run,
            )
        ]
    if kind == "activations":
        return [
            panel
            for run, synthesis in runs.items()
            for panel in extremes(
                synthesis,
                metadata["coordinates"][run],
                {end: (pictures or {})[f"{run}-{end}"] for end in ("most", "least")},
                {end: _valued(metadata, f"{run}-{end}") for end in ("most", "least")},
                title=run,
                run=run,
            )
        ]
    if kind == "curve":
        return radii(runs, metadata["radii"], metadata["labels"], metadata.get("shown"))
    if kind == "interpolation":
        return interpolations(runs, metadata["weights"], metadata["left"], metadata["right"])
    if kind == "pairs":
        return [
            panel
            for run, synthesis in runs.items()
            for panel in pairs(
                synthesis, metadata["sources"], metadata["labels"], title=run, run=run
            )
        ]
    if kind == "additions":
        return [
            additions(synthesis, **metadata["additions"][run], run=run)
            for run, synthesis in runs.items()
        ]
    if kind == "metamers":
        return ladders(runs, metadata["networks"])
    if kind == "regularized":
        return regularized(runs, metadata["panels"])
    return inversions(runs, metadata)


def inversions(runs: Runs, metadata: Metadata) -> list[Panel]:
    """Fig. 3, 6, 13 to 16: targets, starts where they are images, and what each network made.

    `metadata` may have ``labels`` of the targets and ``sources`` of the starts; ``start``, which is
    not shown where it is ``"noise"``; and ``kinds``: how many of the images are of each kind, which
    makes a panel.
    """
    first = next(iter(runs.values()))
    kinds = metadata.get("kinds") or [["", len(first)]]
    found, begin = [], 0
    for title, count in kinds:
        part = slice(begin, begin + count)
        rows = []
        labels = metadata.get("labels")
        if first.target_images is not None:
            rows.append(Row(first.target_images[part], "target", labels and labels[part]))
            labels = None
        if metadata.get("start") != "noise":
            sources = metadata.get("sources") or labels
            rows.append(Row(first.start[part], "source", sources and sources[part]))
        for run, synthesis in runs.items():
            captions = metadata.get("captions", {}).get(run) or _values(synthesis)
            label = metadata.get("names", {}).get(run, run).replace(", ", "\n")
            rows.append(
                Row(
                    synthesis.images[part],
                    label,
                    captions[part],
                    below="" if run in metadata.get("captions", {}) else "distance",
                    run=run,
                    positions=range(begin, begin + count),
                )
            )
        found.append(Panel(rows, title, wraps=True))
        begin += count
    return found


def ladders(runs: Runs, networks: Metadata) -> list[Panel]:
    """For each network the targets, and below them the metamers of each layer.

    `networks` has of each its ``layers``, and ``captions``: by layer one for each image.
    """
    found = []
    for run, synthesis in runs.items():
        layers, captions = networks[run]["layers"], networks[run]["captions"]
        n = len(synthesis) // len(layers)
        targets = synthesis.target_images
        rows = [] if targets is None else [Row(targets[:n], "target")]
        for i, layer in enumerate(layers):
            there = range(i * n, (i + 1) * n)
            images = synthesis.images[there.start : there.stop]
            rows.append(Row(images, layer, captions[i], run=run, positions=there))
        found.append(Panel(rows, run))
    return found


def pairs(
    synthesis: Synthesis,
    sources: Sequence[str],
    labels: Sequence[str],
    *,
    title: str = "",
    run: str = "",
) -> list[Panel]:
    """Fig. 2: for each pair where the search began, x1' and x2."""
    rows = [
        Row(synthesis.start, "start x1", sources),
        Row(synthesis.images, "x1'", _values(synthesis), below="distance", run=run),
    ]
    if synthesis.target_images is not None:
        rows.append(Row(synthesis.target_images, "x2", labels))
    return [Panel(rows, title, wraps=True)]


def radii(
    runs: Runs,
    lengths: Sequence[float],
    labels: Sequence[str],
    shown: Sequence[int] | None = None,
) -> list[Panel]:
    """Fig. 5: a panel for each network, a row for each pair, from the source to the target.

    `shown` are the places in `lengths` of the columns between; default all.
    """
    places = range(len(lengths)) if shown is None else shown
    n = len(labels)
    between = [f"L2 ≤ {lengths[place]:.3g}" for place in places]
    heads = ["source", *between, "target"]
    found = []
    for run, synthesis in runs.items():
        values = _values(synthesis)
        rows: list[Row] = []
        targets = synthesis.start if synthesis.target_images is None else synthesis.target_images
        for i in range(n):
            chosen = [i + place * n for place in places]
            images = [synthesis.start[i], *(synthesis.images[j] for j in chosen), targets[i]]
            rows.append(
                Row(
                    torch.stack(images),
                    captions=["", *(values[j] for j in chosen), labels[i]],
                    heads=None if rows else heads,
                    below="" if rows else "distance",
                    run=run,
                    positions=[-1, *chosen, -1],
                )
            )
        found.append(Panel(rows, run))
    return found


def interpolations(
    runs: Runs, weights: Sequence[float], left: Sequence[str], right: Sequence[str]
) -> list[Panel]:
    """Fig. 12, 17, 18: for each pair a column for each lambda; pixel blend, then each network.

    The left image is at the left, which is where lambda, its share, is 1.
    """
    columns, found = len(weights), []
    across = sorted(range(columns), key=lambda place: -weights[place])
    blend = next(iter(runs.values())).start
    for i, (one, other) in enumerate(zip(left, right, strict=True)):
        chosen = [i * columns + place for place in across]
        ends = {across[0]: f"{one}\n", across[-1]: f"{other}\n"}
        heads = [f"{ends.get(place, '')}λ = {weights[place]:.3g}" for place in across]
        rows = [Row(blend[chosen], "pixel blend", heads=heads)]
        for run, synthesis in runs.items():
            values = _values(synthesis)
            shown, said = synthesis.images[chosen], [values[k] for k in chosen]
            rows.append(Row(shown, run, said, below="distance", run=run, positions=chosen))
        found.append(Panel(rows, f"{one} → {other}"))
    return found


def features(
    synthesis: Synthesis,
    coordinates: Sequence[int],
    *,
    predicted: Sequence[str] | None = None,
    seeds: Sequence[str] | None = None,
    title: str = "",
    run: str = "",
) -> list[Panel]:
    """Fig. 7, 19 to 22: rows are seeds; the first column is the seed, then one a coordinate.

    `predicted` is the class of each image, which stands under it; `seeds` says what each seed is.
    """
    k = len(coordinates)
    starts = synthesis.start[::k]
    under = predicted or _values(synthesis)
    found = []
    for part in _evenly(k, MOST_COORDINATES):
        rows: list[Row] = []
        for s, start in enumerate(starts):
            chosen = [s * k + i for i in part]
            rows.append(
                Row(
                    torch.cat([start[None], synthesis.images[chosen]]),
                    captions=["" if seeds is None else seeds[s], *(under[j] for j in chosen)],
                    heads=None if rows else ["seed", *(str(coordinates[i]) for i in part)],
                    below="" if rows else "value" if predicted is None else "class",
                    run=run,
                    positions=[-1, *chosen],
                )
            )
        found.append(Panel(rows, title if part.start == 0 else f"{title}, more coordinates"))
    return found


def extremes(
    synthesis: Synthesis,
    coordinates: Sequence[int],
    images: Mapping[str, Tensor],
    captions: Mapping[str, Sequence[str]],
    *,
    title: str = "",
    run: str = "",
) -> list[Panel]:
    """Fig. 8: a row for each coordinate: maximised from grey, most and least activating images.

    `images` and `captions` have the C * k of each end, ``most`` and ``least``.
    """
    k = len(images["most"]) // len(coordinates)
    words = {"most": "most activated", "least": "least activated"}
    heads = ["maximized from grey", *(words[end] for end in words for _ in range(k))]
    rows: list[Row] = []
    for i, coordinate in enumerate(coordinates):
        part = slice(i * k, (i + 1) * k)
        rows.append(
            Row(
                torch.cat([synthesis.images[i][None], *(images[end][part] for end in words)]),
                f"activation\n{coordinate}",
                [_values(synthesis)[i], *(said for end in words for said in captions[end][part])],
                heads=None if rows else heads,
                below="" if rows else "value",
                run=run,
                positions=[i, *[-1] * (2 * k)],
            )
        )
    return [Panel(rows, title)]


def along(
    synthesis: Synthesis, found: Directions, *, names: Sequence[str] = (), title: str = ""
) -> list[Panel]:
    """A row for each direction: what raises it, and the images of the data farthest along it.

    `synthesis` has an image for each of the first directions; `names` are those of labels.
    """
    k = found.most.value.shape[1]
    words = {"most": "farthest along", "least": "farthest against"}
    rows: list[Row] = []
    for i, name in enumerate(found.names[: len(synthesis)]):
        images, said = [synthesis.images[i][None]], [_values(synthesis)[i]]
        for end in words:
            one = getattr(found, end)
            images.append(one.images[i])
            for value, label in zip(one.value[i].tolist(), one.label[i].tolist(), strict=True):
                told = two_digits(value, zeros=True)
                known = names[label] if 0 <= label < len(names) else str(label)
                said.append(f"{told}: {known}" if label >= 0 else told)
        heads = ["raised from noise", *(word for word in words.values() for _ in range(k))]
        rows.append(
            Row(
                torch.cat(images),
                name.replace(" ", "\n", 1),
                said,
                heads=None if rows else heads,
                below="" if rows else "value",
            )
        )
    return [Panel(rows, title)]


def additions(
    synthesis: Synthesis,
    *,
    labels: Sequence[str],
    said: Sequence[str],
    title: str = "",
    run: str = "",
) -> Panel:
    """Fig. 11, 23: a row of images, and the same with the feature; `said` stands under each."""
    rows = [Row(synthesis.start, "original", labels), Row(synthesis.images, "added", said, run=run)]
    return Panel(rows, title, wraps=True)


def regularized(runs: Runs, described: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """Fig. 9, 10: for each network its coordinates, without a regulariser and with one.

    `described` has of each panel its title, its coordinates, and ``rows``: run, label, and the
    class predicted for each image.
    """
    return [
        Panel(
            [
                Row(
                    runs[row["run"]].images,
                    row["label"].replace(", ", "\n"),
                    row["predicted"],
                    heads=None if i else [str(one) for one in panel["coordinates"]],
                    run=row["run"],
                )
                for i, row in enumerate(panel["rows"])
            ],
            panel["title"],
        )
        for panel in described
    ]


def _valued(metadata: Metadata, picture: str) -> list[str]:
    both = zip(metadata["values"][picture], metadata["labels"][picture], strict=True)
    return [f"{two_digits(value, zeros=True)}: {label}" for value, label in both]


def _values(synthesis: Synthesis) -> list[str]:
    return [two_digits(value, zeros=True) for value in synthesis.objective.tolist()]


def _evenly(count: int, most: int) -> Iterator[range]:
    """Ranges of nearly equal length, none of more than `most`."""
    size = math.ceil(count / math.ceil(count / most))
    return (range(first, min(first + size, count)) for first in range(0, count, size))
