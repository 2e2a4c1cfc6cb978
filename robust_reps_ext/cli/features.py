"""The commands about single coordinates: `visualize`, `add-feature` and `activations`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from ..runtime.errors import InputError
from . import console
from .all_activations import write_pages
from .common import SHOWN, AllOrN, Experiment, validation_images
from .labels import class_name, named
from .options import UNTIL, Steps, composed, option
from .side_by_side import Made, Plan, side_by_side

if TYPE_CHECKING:
    from ..results.figures import Panel
    from ..results.store import Part
    from ..results.synthesis import Synthesis

__all__ = ["activations", "add_feature", "visualize"]

FOUR = "random:4"
NATURAL = 100  # images whose magnitude is averaged

Coordinates = Annotated[
    str,
    option("Such as 3,50; or random:8, drawn by the seed.", "I,I,...|random:K"),
]


@dataclass(frozen=True, kw_only=True)
class Coordinate(Experiment):
    """What maximises coordinates, for which L-BFGS is none the faster."""

    usual: ClassVar[Steps] = Steps.cosine_momentum


class Parameterization(str, Enum):
    """What a step of a visualisation moves, see `experiments.parameterizations`."""

    pixels = "pixels"
    fourier = "fourier"
    maco = "maco"
    multi_resolution = "multi-resolution"


@composed(
    defaults={"n": 2},
    helps={"iterations": "Default: 200 by schedule paper; " + UNTIL},
)
def visualize(
    common: Coordinate,
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
    baseline of Fig. 10, --parameterization fourier that of Fig. 9; maco moves the phase of the
    spectrum alone, whose magnitude is that of validation images (Fel et al. 2023), multi-resolution
    a sum of images of several sizes (Fort and Whitaker 2025).

    \b
    robust-reps visualize --model critters-robust --dataset critters_fine \\
      --coordinates 3,50 --n 2 --out out
    """
    import torch

    from ..experiments.visualization import visualize as visualize_coordinates
    from ..results.figures import panel_figure
    from ..results.layouts import features
    from ..synthesis import noise

    if parameterization is not Parameterization.pixels and common.schedule is None:
        common = replace(common, schedule=Steps.paper)  # the others move pixels
    regularizers: dict[str, Any] = {
        "transform": transform,
        "parameterization": parameterization.value,
    }

    def plan(one: Coordinate) -> Plan:
        images = one.samples()
        chosen = one.coordinates(coordinates, images.images)
        seeds = torch.cat([noise(images.images, seed=one.seed), images.images])
        starts = ["noise"] * one.n + list(images.names)
        classes = one.class_names

        def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
            given["first"] = 0  # every part has all seeds
            if parameterization is Parameterization.maco:
                given["natural"] = _natural(one)
            found = visualize_coordinates(
                one.network,
                coordinates=chosen[part.images],
                seeds=seeds,
                **regularizers,
                **given,
            )
            return found.synthesis, [
                {"seed_image": start, "coordinate": i, "predicted": class_name(classes, label)}
                for start, labels in zip(starts, found.predicted.tolist(), strict=True)
                for i, label in zip(found.coordinates.tolist(), labels, strict=True)
            ]

        return Plan(
            whole="features",
            make=make,
            said=("Visualising", "value"),
            settings={"coordinates": chosen, **regularizers},
            n=len(chosen),
            each=len(seeds),
        )

    def shown(one: Made[Coordinate]) -> list[Panel]:
        # Each part holds all seeds, and some of the coordinates of each.
        of = _rows_of(one)
        order = [of[i][s] for s in range(len(one.rows) // len(of)) for i in sorted(of)]
        return features(
            one.run[torch.tensor(order)],
            sorted(of),
            predicted=[one.rows[k]["predicted"] for k in order],
            seeds=[one.rows[k]["seed_image"] for k in order[:: len(of)]],
            title=found.title(one),
        )

    words = [coordinates, transform, "" if parameterization == "pixels" else parameterization.value]
    with side_by_side(common, "visualize", plan, words=words) as found:
        panels = [panel for one in found for panel in shown(one)]
        found.add("features", panel_figure(panels, channels=common.channels))
    found.tell(
        ("coordinate", "mean value"),
        lambda one: (
            (i, sum(one.rows[k]["objective"] for k in places) / len(places))
            for i, places in sorted(_rows_of(one).items())
        ),
    )


def _natural(one: Coordinate) -> Any:
    """Images whose magnitude MACO keeps: one's own, or validation images that the seed chooses."""
    if one.images:
        return one.own.images
    from ..datasets.samples import validation_samples

    return validation_samples(
        one.data_set, min(NATURAL, len(one.validation_set)), seed=one.seed
    ).images


def _rows_of(one: Made[Coordinate]) -> dict[int, list[int]]:
    """By coordinate, the places of its rows."""
    of: dict[int, list[int]] = {}
    for place, row in enumerate(one.rows):
        of.setdefault(row["coordinate"], []).append(place)
    return of


@composed(
    helps={
        "iterations": "Default: 800 by schedule paper; " + UNTIL,
        "step_size": "Default: 0.1 at 224 pixels by schedule paper, scaled to the images.",
    }
)
def add_feature(
    common: Coordinate,
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

    def plan(one: Coordinate) -> Plan:
        def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
            images = one.samples(part.images)
            found = add_to_images(one.network, images.images, coordinate, **given)
            said = outcomes(one.network, found, coordinate)
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

        settings = {"coordinate": coordinate}
        return Plan(whole="added", make=make, said=("Adding", "value"), settings=settings)

    def shown(one: Made[Coordinate]) -> Panel:
        some = one.rows[:SHOWN]
        title = f"coordinate {coordinate}"
        return additions(
            one.run[:SHOWN],
            labels=[row["label"] for row in some],
            # Rows of version 0.1 say no more than whether it leads.
            said=[row.get("said", "leads" if row["leads"] else "does not lead") for row in some],
            title=f"{name}: {title}" if (name := found.title(one)) else title,
        )

    with side_by_side(common, "add-feature", plan, words=[coordinate]) as found:
        found.add("added", panel_figure([shown(one) for one in found], channels=common.channels))
    found.tell(
        ("image", "label", f"R(x)_{coordinate}", "leads"),
        lambda one: (
            (row["index"], row["label"], row["objective"], "yes" if row["leads"] else "no")
            for row in one.rows
        ),
    )


@composed()
def activations(
    common: Coordinate,
    *,
    coordinates: Coordinates = FOUR,
    k: Annotated[int, option("Images at each end.")] = 3,
    every: Annotated[bool, option("All coordinates, on a page to browse.", flag="--all")] = False,
    raised: Annotated[
        bool, option("With --all: beside them what raises each, from grey; takes minutes.")
    ] = False,
    n: AllOrN = None,
) -> None:
    """Find the images that activate coordinates most and least (Fig. 8).

    Goes once through the validation set, or through --n of its images; beside them stands what
    raises the coordinate from a grey image. With --all, every coordinate gets its images, on a page
    that opens from the disk; what raises it only with --raised.

    \b
    robust-reps activations --model critters-robust --dataset critters_fine \\
      --coordinates 3,50 --out out
    robust-reps activations --model critters-robust --dataset critters_fine \\
      --all --out out
    """
    import torch

    from ..experiments.activations import most_activating
    from ..experiments.sweeps import watched
    from ..experiments.visualization import visualize as visualize_coordinates
    from ..results.activations import to_rows
    from ..results.figures import panel_figure

    if every:
        if coordinates != FOUR:
            raise InputError(
                f"--all and --coordinates {coordinates} exclude each other: give one of them"
            )
        write_pages([*common.each()], k, n, raised)
        return
    if raised:
        raise InputError("--raised goes with --all: without it, what raises coordinates is shown")

    def plan(one: Coordinate) -> Plan:
        images, positions = validation_images(one, n, one.seed)
        like = images[0][0][None]
        chosen = one.coordinates(coordinates, like)

        def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
            with console.progress("Looking", "images") as look:
                found = most_activating(
                    one.network,
                    watched(images, one.images_at_once, look),
                    coordinates=chosen,
                    k=k,
                    layer=one.layer,
                )
            features = visualize_coordinates(
                one.network,
                coordinates=chosen,
                seeds=torch.full_like(like, 0.5),
                **given,
            )
            return features.synthesis, named(to_rows(found), one.label_names, positions)

        return Plan(
            whole="activations",
            make=make,
            said=("Visualising", "value"),
            settings={"coordinates": chosen, "k": k, "n": n},
            n=len(chosen),
            size=len(chosen),
        )

    words = [coordinates, f"k{k}", "" if n is None else f"n{n}"]
    with side_by_side(common, "activations", plan, words=words, counted=False) as found:
        panels = [panel for one in found for panel in _extremes(one, n, found.title(one))]
        found.add("activations", panel_figure(panels, channels=common.channels))
    found.tell(
        ("coordinate", "most", "least"),
        lambda one: (
            (row["coordinate"], "; ".join(row["most"]), "; ".join(row["least"])) for row in one.rows
        ),
    )


def _extremes(one: Made[Coordinate], n: int | None, title: str) -> list[Panel]:
    """What raises the first coordinates, beside the images that activate them most and least."""
    import torch

    from ..results.captions import two_digits
    from ..results.layouts import extremes

    images, positions = validation_images(one.common, n, one.common.seed)
    some = one.rows[:SHOWN]
    seen = {
        end: [
            (images[positions.index(index)][0], f"{two_digits(value, zeros=True)}: {label}")
            for row in some
            for label, value, index in zip(
                row[end], row[f"{end}_value"], row[f"{end}_index"], strict=True
            )
        ]
        for end in ("most", "least")
    }
    return extremes(
        one.run[: len(some)],
        [row["coordinate"] for row in some],
        {end: torch.stack([image for image, _ in seen[end]]) for end in seen},
        {end: [said for _, said in seen[end]] for end in seen},
        title=title,
    )
