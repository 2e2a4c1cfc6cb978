"""How the images of a section were made, and what came of it: a line each, from the runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from ..results.accuracies import NORMS
from ..results.captions import two_digits
from ..results.synthesis import Synthesis

__all__ = ["method", "outcome", "unsettled"]

Runs = Mapping[str, Synthesis]
Metadata = Mapping[str, Any]

STEPS = {
    "fourier": "unbounded Fourier coefficients",
    "DecorrelatedFourierStep": "unbounded Fourier coefficients of decorrelated colours",
    "MagnitudeConstrainedStep": "the phase alone, under a fixed Fourier magnitude",
    "MultiResolutionStep": "unbounded pixels of several resolutions",
}
"""What images are held by that are in no ball; a mark may follow the name."""

LAST, FALL, LEAST = 0.75, 0.05, 0.005
"""A distance still falls if over the last quarter of the steps it does by 5%, and by 0.005."""


def method(runs: Runs, metadata: Metadata) -> list[str]:
    """How PGD ran: one line where all runs are alike, else one for each kind of run."""
    titles = _titles(metadata)
    named: dict[str, list[str]] = {}
    for name, run in runs.items():
        named.setdefault(_made(run), []).append(titles.get(name, name))
    if len(named) == 1:
        return [*named]
    return [f"{'; '.join(dict.fromkeys(names))}: {said}" for said, names in named.items()]


def _titles(metadata: Metadata) -> dict[str, str]:
    """What runs are called beside their images, where that is not the network's name."""
    rows = [row for panel in metadata.get("panels", ()) for row in panel["rows"]]
    return {
        **{row["run"]: f"{row['run'].partition('-')[0]}, {row['label']}" for row in rows},
        **{run: one["title"] for run, one in metadata.get("additions", {}).items()},
        **{run: said.replace(": ", ", ") for run, said in metadata.get("names", {}).items()},
    }


def _made(run: Synthesis) -> str:
    told = run.settings
    said = [f"{told['iterations']} steps of {_range(told['step_size'])}"]
    if told.get("schedule", "paper") == "paper":
        said[0] += " each"
    else:
        said[0] += f" at most, schedule {told['schedule']}"
    if told.get("patience") is not None:
        said.append(f"an image is left once {told['patience']} steps change it by less than 1%")
    said += [_bound(run), str(told.get("computed_in", told["precision"]))]
    if told.get("layer") is not None:
        said.append(f"layer {told['layer']}")
    seed = run.provenance.get("seed")
    return ", ".join([*said, *([] if seed is None else [f"seed {seed}"])])


def _bound(run: Synthesis) -> str:
    """The ball that holds the images, where it is smaller than the box of all images."""
    constraint = str(run.settings.get("constraint", "2"))  # as all of version 0.1
    if constraint not in NORMS:
        return STEPS.get(constraint.partition("_")[0], f"constraint {constraint}")
    box = math.sqrt(run.images[0].numel()) if constraint == "2" else 1.0
    eps = run.settings["eps"]
    if min(eps if isinstance(eps, list) else [eps]) >= box:
        return "anywhere in [0, 1]"
    return f"within {NORMS[constraint]} {_range(eps)} of the start"


def _range(value: float | Sequence[float]) -> str:
    some = value if isinstance(value, Sequence) else [value]
    ends = f"{min(some):.3g}", f"{max(some):.3g}"
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def unsettled(runs: Runs) -> str:
    """In how many images the distance still fell when the steps were at an end; empty in none."""
    found = []
    for name, run in runs.items():
        steps = run.trace_steps
        if run.settings.get("targeted") is not True or len(steps) < 5:
            continue
        before = run.trace[int((steps <= LAST * steps[-1]).nonzero().max())]
        fell = before - run.trace[-1]
        falls = int(((fell > FALL * before) & (fell > LEAST)).sum())
        if falls:
            found.append(f"{falls} of {len(run)} ({name})")
    if not found:
        return ""
    return (
        f"Not converged: over the last quarter of the steps the distance still fell by more than "
        f"{100 * FALL:.0f}% in {', '.join(found)} images."
    )


def outcome(kind: str, runs: Runs, metadata: Metadata) -> str:
    """What these networks gave, in numbers; empty where nothing is counted."""
    told = OUTCOMES.get(kind)
    return "" if told is None or not runs else told(runs, metadata)


def _distances(runs: Runs, metadata: Metadata) -> str:
    return f"Mean distance that is left: {_means({n: run.objective for n, run in runs.items()})}."


def _between(runs: Runs, metadata: Metadata) -> str:
    # At the ends the images are those that were given, and nothing is left.
    weights = metadata["weights"]
    inner = [i for i, weight in enumerate(weights) if weight % 1]
    if not inner:
        return ""
    found = {n: run.objective.view(-1, len(weights))[:, inner] for n, run in runs.items()}
    return f"Mean distance that is left between the ends: {_means(found)}."


def _means(values: Mapping[str, Tensor]) -> str:
    return ", ".join(
        f"{name} {two_digits(float(some.mean()), zeros=True)}" for name, some in values.items()
    )


def _told(runs: Runs, metadata: Metadata) -> str:
    return str(metadata.get("told", ""))


def _halved(runs: Runs, metadata: Metadata) -> str:
    radii, said = metadata["radii"], []
    for line in metadata["lines"]:
        places = [i for i, y in enumerate(line["y"]) if y <= line["y"][0] / 2]
        reached = f"at radius {radii[places[0]]:.3g}" if places else f"not within {radii[-1]:.3g}"
        said.append(f"{line['name']} {reached}")
    return f"Half of the distance is gone, of the radii that were tried: {', '.join(said)}."


def _led(runs: Runs, metadata: Metadata) -> str:
    said = []
    for one in metadata["additions"].values():
        leads = sum(text.startswith("leads") for text in one["said"])
        said.append(f"{leads} of {len(one['said'])} images, {one['title'].partition(' (')[0]}")
    return f"It came to lead in {'; in '.join(said)}."


def _consistent(runs: Runs, metadata: Metadata) -> str:
    seeds, said = len(metadata.get("seeds") or ()), []
    for name, classes in metadata.get("predicted", {}).items():
        k = len(metadata["coordinates"][name])
        same = sum(len({*classes[i::k]}) == 1 for i in range(k))
        said.append(f"{name} {same} of {k}")
    if seeds < 2 or not said:
        return ""
    return f"Coordinates that are seen as one class from all {seeds} seeds: {', '.join(said)}."


def _alike(runs: Runs, metadata: Metadata) -> str:
    said = []
    for name, chosen in metadata["coordinates"].items():
        labels = metadata["labels"][f"{name}-most"]
        k = len(labels) // len(chosen)
        same = sum(len({*labels[i * k : (i + 1) * k]}) == 1 for i in range(len(chosen)))
        said.append(f"{same} of {len(chosen)} ({name})")
    return f"Coordinates whose most activating images are of one class: {', '.join(said)}."


OUTCOMES: Mapping[str, Callable[[Runs, Metadata], str]] = {
    "grid": _distances,
    "pairs": _distances,
    "interpolation": _between,
    "curve": _halved,
    "edits": _told,
    "additions": _led,
    "features": _consistent,
    "activations": _alike,
}
