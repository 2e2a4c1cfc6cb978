"""The tables of the paper: accuracies, counted part by part."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...models.cards import card_of
from ...results.plots import accuracy_figure, line_of_rows
from ...results.store import ExperimentStore
from ...results.units import Found
from ...synthesis import Progress
from .. import sweeps
from .study import BATCH, Study

__all__ = ["accuracies"]


def accuracies(study: Study, progress: bool | Progress) -> Found:
    """Tables 4, 5: clean accuracy, and accuracy under PGD.

    What is counted is kept in `Study.snapshots`, `BATCH` images at a time, until the unit is
    finished; `progress` is told of steps of PGD, one for each image, of all models.
    """
    images = study.tested_images()
    steps = study.scale.attack_steps
    attack = study.attack
    settings = {"eps": attack.eps, "attack_steps": list(steps), "n": len(images)}
    with tempfile.TemporaryDirectory() as elsewhere:
        folder = elsewhere if study.snapshots is None else study.snapshots
        with ExperimentStore.resume(folder, experiment="accuracy", settings=settings) as store:
            counted = sweeps.accuracies(
                store,
                study.compared,
                images,
                eps=attack.eps,
                constraint=attack.constraint,
                attack_steps=steps,
                groups={"labels": study.group},
                precision=study.scale.precision,
                batch_size=BATCH,
                part=BATCH,
                watch=_Watch(store, len(images) * len(study.compared), sum(steps), progress),
            )
    of = {name: [row for row in counted if row["model"] == name] for name in study.compared}
    columns = [row["attack"] for row in of["robust"]]
    metadata: dict[str, Any] = {
        "eps": attack.eps,
        "attack": str(attack),
        "why": attack.why,
        "images": len(images),
        "columns": columns,
        "classes": study.data_set.num_classes
        if study.group is None
        else 1 + int(study.group.max()),
        "rows": {
            name: [
                {"share": row["accuracy"], "interval": (row["low"], row["high"])} for row in rows
            ]
            for name, rows in of.items()
        },
    }
    cards = {name: card_of(model) for name, model in study.compared.items()}
    if all(card.get("measured") for card in cards.values()):
        metadata["cards"] = {name: card["measured"] for name, card in cards.items()}
    lines = [line_of_rows(rows, name) for name, rows in of.items()]
    return Found(metadata=metadata, plot=lambda: accuracy_figure(columns, lines, str(attack)))


class _Watch:
    """Tells one `progress` of all parts, those that were counted before among them."""

    def __init__(
        self, store: ExperimentStore, images: int, steps: int, progress: bool | Progress
    ) -> None:
        rows = [row for one in store.records() if one.table == "counts" for row in one.rows]
        self.done = sum(row["n"] for row in rows if row["attack"] == "clean")
        self.images, self.steps, self.progress = images, steps, progress

    @contextmanager
    def __call__(self, what: str) -> Iterator[bool | Progress]:
        progress, now = self.progress, 0
        if isinstance(progress, bool):
            yield progress
            return

        def tell(images: int, _: int, accuracy: float) -> None:
            nonlocal now
            now = images
            done = (self.done + images) * self.steps
            progress(done, self.images * self.steps, accuracy)

        yield tell
        self.done += now
