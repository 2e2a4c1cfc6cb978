"""The commands about single coordinates: `visualize`, `add-feature` and `activations`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

from ..runtime.errors import InputError
from . import console
from .common import SHOWN, AllOrN, Experiment, tell, validation_images
from .options import composed, option

if TYPE_CHECKING:
    from ..results.store import Part
    from ..results.synthesis import Synthesis

__all__ = ["activations", "add_feature", "visualize"]

FOUR = "random:4"

Coordinates = Annotated[
    str,
    option("Such as 3,50; or random:8, drawn by the seed.", "I,I,...|random:K"),
]


class Parameterization(str, Enum):
    """What a step of a visualisation moves: pixels, or a decorrelated Fourier spectrum."""

    pixels = "pixels"
    fourier = "fourier"


@composed(defaults={"n": 2})
def visualize(
    common: Experiment,
    *,
    coordinates: Coordinates = "random:8",
    transform: Annotated[
        str | None,
        option(
            "Random moves before each step: jitter,rotate,scale; or jitter:8,rotate:5.",
            "NAME[:X],...",
        ),
    ] = None,
    parameterization: Annotated[
        Parameterization, option("What the steps move.")
    ] = Parameterization.pixels,
) -> None:
    """See what coordinates stand for, from noise and from images (section 4.2).

    Starts from as many pictures of noise as validation images. --transform is the regularised
    baseline of Fig. 10, --parameterization fourier that of Fig. 9.

    \b
    robust-reps visualize --model critters-robust --dataset critters_fine \\
      --coordinates 3,50 --n 2 --out out
    """
    import torch

    from ..experiments.visualization import visualize as visualize_coordinates
    from ..results.figures import panel_figure
    from ..results.layouts import features
    from ..synthesis import noise

    images = common.samples()
    chosen = common.coordinates(coordinates, images.images)
    regularizers: dict[str, Any] = {
        "transform": transform,
        "parameterization": parameterization.value,
    }
    seeds = torch.cat([noise(images.images, seed=common.seed), images.images])
    starts = ["noise"] * common.n + list(images.names)

    def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
        given["first"] = 0  # every part has all seeds
        found = visualize_coordinates(
            common.network,
            coordinates=chosen[part.images],
            seeds=seeds,
            **regularizers,
            **given,
        )
        return found.synthesis, [
            {"seed_image": start, "coordinate": i, "predicted": _class_name(classes, label)}
            for start, labels in zip(starts, found.predicted.tolist(), strict=True)
            for i, label in zip(found.coordinates.tolist(), labels, strict=True)
        ]

    with common.store("visualize", coordinates=chosen, **regularizers) as store:
        classes = common.class_names
        run, rows = common.in_parts(
            store, "features", make, said=("Visualising", "value"), n=len(chosen), each=len(seeds)
        )
        # Each part holds all seeds, and some of the coordinates of each.
        of = {i: [k for k, row in enumerate(rows) if row["coordinate"] == i] for i in chosen}
        order = [of[i][s] for s in range(len(seeds)) for i in chosen]
        shown = features(
            run[torch.tensor(order)],
            chosen,
            predicted=[rows[k]["predicted"] for k in order],
            seeds=starts,
        )
        picture = store.add_figure("features", panel_figure(shown, channels=common.channels))
    means = [sum(rows[k]["objective"] for k in of[i]) / len(seeds) for i in chosen]
    tell(("coordinate", "mean value"), zip(chosen, means, strict=True), [store.path, picture])


@composed()
def add_feature(
    common: Experiment,
    *,
    coordinate: Annotated[int, option("Which coordinate of R(x) to raise.")],
) -> None:
    """Raise a coordinate in images until it leads (section 4.2.1).

    \b
    robust-reps add-feature --model critters-robust --dataset critters_fine \\
      --coordinate 3 --n 8 --out out
    """
    from ..experiments.addition import add_feature as add_to_images
    from ..experiments.addition import outcomes
    from ..results.figures import panel_figure
    from ..results.layouts import additions

    def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
        images = common.samples(part.images)
        found = add_to_images(
            common.network,
            images.images,
            coordinate,
            **given,
        )
        said = outcomes(common.network, found, coordinate)
        return found, [
            {
                "label": label,
                "index": index,
                "coordinate": coordinate,
                "leads": outcome.startswith("leads"),
                "said": outcome,
            }
            for label, index, outcome in zip(
                images.names, images.indices.tolist(), said, strict=True
            )
        ]

    with common.store("add-feature", coordinate=coordinate) as store:
        found, rows = common.in_parts(store, "added", make, said=("Adding", "value"))
        some = rows[:SHOWN]
        shown = additions(
            found[:SHOWN],
            labels=[row["label"] for row in some],
            # Rows of version 0.1 say no more than whether it leads.
            said=[row.get("said", "leads" if row["leads"] else "does not lead") for row in some],
            title=f"coordinate {coordinate}",
        )
        picture = store.add_figure("added", panel_figure([shown], channels=common.channels))
    tell(
        ("image", "label", f"R(x)_{coordinate}", "leads"),
        (
            (row["index"], row["label"], row["objective"], "yes" if row["leads"] else "no")
            for row in rows
        ),
        [store.path, picture],
    )


@composed()
def activations(
    common: Experiment,
    *,
    coordinates: Coordinates = FOUR,
    k: Annotated[int, option("Images at each end.")] = 3,
    every: Annotated[bool, option("All coordinates, on a page to browse.", flag="--all")] = False,
    n: AllOrN = None,
) -> None:
    """Find the images that activate coordinates most and least (Fig. 8).

    Goes once through the validation set, or through --n of its images; beside them stands what
    raises the coordinate from a grey image. With --all, every coordinate gets its images, without
    what raises it, on a page that opens from the disk.

    \b
    robust-reps activations --model critters-robust --dataset critters_fine \\
      --coordinates 3,50 --out out
    robust-reps activations --model critters-robust --dataset critters_fine --all --out out
    """
    import torch

    from ..experiments.activations import most_activating
    from ..experiments.sweeps import watched
    from ..experiments.visualization import visualize as visualize_coordinates
    from ..results.activations import to_rows
    from ..results.captions import two_digits
    from ..results.figures import panel_figure
    from ..results.layouts import extremes

    if every:
        if coordinates != FOUR:
            raise InputError(
                f"--all and --coordinates {coordinates} exclude each other: give one of them"
            )
        _all_activations(common, k, n)
        return
    images, positions = validation_images(common, n, common.seed)
    like = images[0][0][None]
    chosen = common.coordinates(coordinates, like)

    def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
        with console.progress("Looking", "images") as look:
            found = most_activating(
                common.network,
                watched(images, common.images_at_once, look),
                coordinates=chosen,
                k=k,
                layer=common.layer,
            )
        features = visualize_coordinates(
            common.network,
            coordinates=chosen,
            seeds=torch.full_like(like, 0.5),
            **given,
        )
        rows = _named(to_rows(found), common.label_names, positions)
        return features.synthesis, rows

    with common.store("activations", coordinates=chosen, k=k, n=n) as store:
        run, rows = common.in_parts(
            store,
            "activations",
            make,
            said=("Visualising", "value"),
            n=len(chosen),
            size=len(chosen),
        )
        some = rows[:SHOWN]
        ends = ("most", "least")
        seen = {
            end: [
                (images[positions.index(index)][0], f"{two_digits(value, zeros=True)}: {label}")
                for row in some
                for label, value, index in zip(
                    row[end], row[f"{end}_value"], row[f"{end}_index"], strict=True
                )
            ]
            for end in ends
        }
        shown = extremes(
            run[: len(some)],
            [row["coordinate"] for row in some],
            {end: torch.stack([image for image, _ in seen[end]]) for end in ends},
            {end: [said for _, said in seen[end]] for end in ends},
        )
        picture = store.add_figure("activations", panel_figure(shown, channels=common.channels))
    tell(
        ("coordinate", "most", "least"),
        ((row["coordinate"], "; ".join(row["most"]), "; ".join(row["least"])) for row in rows),
        [store.path, picture],
    )


def _all_activations(common: Experiment, k: int, n: int | None) -> None:
    """The images at both ends of every coordinate, found part by part, and a page of them."""
    from ..experiments.activations import ALL
    from ..experiments.sweeps import all_activations
    from ..report.activations import write_activations
    from ..results.activations import to_rows

    images, positions = validation_images(common, n, common.seed)
    with common.store("activations", coordinates=ALL, k=k, n=n) as store:
        whole = all_activations(
            store,
            common.network,
            images,
            k=k,
            layer=common.layer,
            batch_size=common.images_at_once,
            watch=lambda what: console.progress(what, "images"),
        )
        size = len(whole.coordinates)
        with store.parts("coordinates", size, size) as parts:
            for part in parts:
                store.add_rows(part, _named(to_rows(whole), common.label_names, positions))
        page = write_activations(
            store.path / "activations.html",
            whole,
            lambda index: images[index][0],
            names=common.label_names,
            model=common.network.card,
            name=common.model,
            data=common.dataset,
            channels=common.channels,
        )
    print(f"{size} coordinates, {whole.seen} images")
    print(page)


def _named(
    rows: list[dict[str, Any]], classes: Sequence[str], positions: Sequence[int]
) -> list[dict[str, Any]]:
    """The rows with the names of labels, and indices that count the whole validation set."""
    for row in rows:
        for end in ("most", "least"):
            row[end] = [_class_name(classes, label) for label in row.pop(f"{end}_label")]
            row[f"{end}_index"] = [positions[i] for i in row[f"{end}_index"]]
    return rows


def _class_name(classes: Sequence[str], label: int) -> str:
    """The name of a label, or its number where the data set has no names."""
    return classes[label] if label < len(classes) else str(label)
