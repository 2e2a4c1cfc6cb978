"""Robust accuracy as RobustBench keeps it: a JSON file for each model, with its words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..runtime.files import writing

__all__ = ["robustbench_entry", "write_robustbench"]


def robustbench_entry(
    name: str, rows: Sequence[Mapping[str, Any]], *, dataset: str, architecture: str, eps: float
) -> dict[str, Any]:
    """The entry of a model, as in RobustBench's ``model_info/<dataset>/<norm>/<model>.json``.

    Parameters
    ----------
    name
        Of the model.
    rows
        Its accuracies, ``attack``, ``accuracy``, ``low``, ``high`` and ``n``, the first of clean
        images and the last of the worst case.
    dataset, architecture
        Theirs words where they have one, such as ``"cifar10"``.
    eps
        The radius of the last row.

    Returns
    -------
    dict
        Percentages are text, with two digits, as theirs. ``reported`` is the last row. There is no
        ``autoattack_acc``, which is of all their four attacks, and no ``link``, ``authors`` and
        ``venue``, which are the model's makers' to say; ``footnote`` says what was run.

    Examples
    --------
    >>> from robust_reps_ext.results.robustbench import robustbench_entry
    >>> clean = {"attack": "clean", "accuracy": 0.9, "low": 0.8, "high": 0.95, "n": 50}
    >>> worst = {"attack": "standard-100", "accuracy": 0.5, "low": 0.37, "high": 0.63, "n": 50}
    >>> entry = robustbench_entry(
    ...     "mine", [clean, worst], dataset="cifar10", architecture="resnet50", eps=0.5)
    >>> entry["clean_acc"], entry["reported"], entry["eps"]
    ('90.00', '50.00', '0.5')
    """
    clean, worst = rows[0], rows[-1]
    low, high = (f"{100 * worst[end]:.2f}" for end in ("low", "high"))
    return {
        "name": name,
        "dataset": dataset,
        "architecture": architecture,
        "number_forward_passes": 1,
        "eps": f"{eps:g}",
        "clean_acc": f"{100 * clean['accuracy']:.2f}",
        "reported": f"{100 * worst['accuracy']:.2f}",
        "footnote": f"{worst['attack']} of robust_reps_ext on {worst['n']} images, 95% interval "
        f"{low} to {high}",
    }


def write_robustbench(path: Path, entry: Mapping[str, Any]) -> Path:
    """Write an entry, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path, "choose another place") as file:
        file.write(json.dumps(entry).encode())
    return path
