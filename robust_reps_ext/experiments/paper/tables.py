"""The paper's Tables 4 and 5."""

from __future__ import annotations

from typing import Any

from ...results.plots import Line, accuracy_figure
from ...results.units import Found
from ...synthesis import Progress
from ..accuracy import evaluate
from .study import Study

__all__ = ["accuracies"]


def accuracies(study: Study, progress: bool | Progress) -> Found:
    """Tables 4, 5: clean accuracy, and accuracy under PGD."""
    rows = {
        name: evaluate(
            model,
            study.tested(),
            eps=study.eps,
            attack_steps=study.scale.attack_steps,
            group=study.group,
            precision=study.scale.precision,
        )
        for name, model in study.models.items()
    }
    facts: dict[str, Any] = {
        "eps": study.eps,
        "images": rows["robust"][0].n,
        "columns": [one.name for one in rows["robust"]],
        "rows": {
            name: [{"share": one.share, "interval": one.interval()} for one in row]
            for name, row in rows.items()
        },
    }
    lines = []
    for name, row in rows.items():
        low, high = zip(*(one.interval() for one in row), strict=True)
        lines.append(Line([one.share for one in row], low, high, name))
    return Found(facts=facts, plot=lambda: accuracy_figure(facts["columns"], lines))
