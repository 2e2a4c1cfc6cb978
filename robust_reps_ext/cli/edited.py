"""What the commands that edit images say of their results: rows, captions, and measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..results.table_files import write_table
from ..runtime.errors import InputError
from . import console
from .common import SHOWN, Experiment
from .labels import class_name

if TYPE_CHECKING:
    from robustness.attacker import AttackerModel

    from ..datasets.samples import Samples
    from ..experiments.restoration import Nearer
    from ..results.accuracies import Accuracy
    from ..results.figures import Panel
    from ..results.synthesis import Synthesis
    from .side_by_side import SideBySide

__all__ = [
    "Judged",
    "about",
    "class_label",
    "judged_by",
    "load_judge",
    "nearness",
    "sees",
    "shown",
    "tell_edited",
]


@dataclass(frozen=True)
class Judged:
    """What a third network takes the images for, and how often for the class that was asked for."""

    names: list[str]
    share: Accuracy


def class_label(one: Experiment, text: str) -> int:
    """The number of a class that is named, which the network has."""
    from ..experiments.classes import class_named, count_classes

    found = class_named(text, one.class_names)
    known = count_classes(one.network, one.side)
    if found >= known:
        raise InputError(f"class {found} is out of range: the network has classes 0 to {known - 1}")
    return found


def load_judge(common: Experiment, judge: str | None) -> AttackerModel | None:
    """A third network of the same classes, before anything is made."""
    if judge is None:
        return None
    from ..models.cards import card_of

    third = common.load(judge, common)
    classes = [card_of(one).get("classes") for one in (third, common.network)]
    if None not in classes and classes[0] != classes[1]:
        raise InputError(
            f"--judge {judge} has {classes[0]} classes, the model {classes[1]}: give one of the "
            "same classes"
        )
    return third


def sees(
    one: Experiment, found: Synthesis, wanted: Sequence[int] | None, images: Samples | None = None
) -> list[dict[str, Any]]:
    """A row for each image: its label, the class it went towards, what the network sees in it.

    Where the truth is known, also how far the start and the result are from it; of an enhancement
    how hard each image was to see.
    """
    from ..experiments.accuracy import predicted_labels
    from ..results.synthesis import distances

    seen = predicted_labels(one.network, found.images).tolist()
    if wanted is None:
        wanted = found.settings["classes"]
    names = one.class_names
    rows: list[dict[str, Any]] = [
        {"class": class_name(names, label), "class_index": label, "sees": class_name(names, what)}
        for label, what in zip(wanted, seen, strict=True)
    ]
    if images is not None:
        told = zip(rows, images.names, images.indices.tolist(), strict=True)
        rows = [{"label": name, "index": index, **row} for row, name, index in told]
    if "difficulty" in found.settings:
        for row, hard in zip(rows, found.settings["difficulty"], strict=True):
            row["difficulty"] = hard
    if found.target_images is not None:
        from_start = distances(found.start, found.target_images).tolist()
        apart = distances(found.images, found.target_images).tolist()
        for row, before, after in zip(rows, from_start, apart, strict=True):
            row |= {"start_apart": before, "apart": after}
    return rows


def judged_by(third: AttackerModel | None, found: SideBySide[Any]) -> dict[str, Judged]:
    """By network, what a third one sees in its images, which goes into a CSV file, too."""
    if third is None:
        return {}
    import pandas

    from ..experiments.accuracy import predicted_labels
    from ..models.loading import weights_digest
    from ..results.accuracies import Accuracy

    told, judge = {}, weights_digest(third)
    for one in found:
        if judge == weights_digest(one.common.network):
            raise InputError(
                f"--judge has the weights of {one.name}, which it is to judge: give another"
            )
        seen = predicted_labels(third, one.run.images).tolist()
        wanted = [row["class_index"] for row in one.rows]
        right = [a == b for a, b in zip(seen, wanted, strict=True)]
        names = [class_name(one.common.class_names, label) for label in seen]
        told[one.name] = Judged(names, Accuracy("judge", sum(right), len(right)))
        table = pandas.DataFrame(
            {"class": [row["class"] for row in one.rows], "judge_sees": names, "right": right}
        )
        write_table(table, one.store.path / "judged.csv")
    return told


def nearness(found: SideBySide[Any]) -> dict[str, Nearer]:
    """By network, how near the truth its images are; empty where no truth is known."""
    from ..experiments.restoration import nearer

    means = {one.name: nearer(one.run) for one in found}
    return {name: one for name, one in means.items() if one is not None}


def shown(found: SideBySide[Any], judged: Mapping[str, Judged]) -> list[Panel]:
    """The picture: targets where there are, starts, and what each network made of them."""
    from ..results.layouts import inversions

    return inversions(found.runs(lambda one: one.run[:SHOWN]), about(found, judged))


def about(found: SideBySide[Any], judged: Mapping[str, Judged]) -> dict[str, Any]:
    """What stands in the picture: under a result what the judge sees, or else the network."""
    captions = {
        one.name: (judged[one.name].names if judged else [row["sees"] for row in one.rows])[:SHOWN]
        for one in found
    }
    labels = [row.get("label", row["class"]) for row in found.made[0].rows[:SHOWN]]
    return {"labels": labels, "start": "", "captions": captions}


def tell_edited(
    found: SideBySide[Any],
    judged: Mapping[str, Judged],
    near: Mapping[str, Nearer],
    value: str,
) -> None:
    """A line for each image; then how often the judge sees the class, and how near the truth is."""
    of_data = "label" in found.made[0].rows[0]
    columns = ("index", "label", "class") if of_data else ("class", "sees")
    numbers = tuple(name for name in ("difficulty",) if name in found.made[0].rows[0])
    found.tell(
        (*("image" if name == "index" else name for name in columns), *numbers, value),
        lambda one: (
            (
                *(row[name] for name in columns),
                *(round(row[name], 3) for name in (*numbers, "objective")),
            )
            for row in one.rows
        ),
    )
    if judged:
        lines = []
        for name, one in judged.items():
            low, high = one.share.interval()
            lines.append((name, one.share.n, one.share.share, low, high))
        console.show_table(
            ("judge sees the class", "images", "share", "95% from", "to"),
            lines,
        )
    if near:
        console.show_table(
            ("to the truth (L2)", *next(iter(near.values())).header),
            [(name, *means.row()) for name, means in near.items()],
        )
