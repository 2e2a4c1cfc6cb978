"""The commands that match representations: `invert`, `pairs`, `curve` and `interpolate`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from ..runtime.errors import InputError
from .common import SHOWN, Experiment, numbers, tell
from .options import DATA, composed, option

if TYPE_CHECKING:
    from ..results.store import Part
    from ..results.synthesis import Synthesis

__all__ = ["curve", "interpolate", "invert", "pairs"]


@dataclass(frozen=True, kw_only=True)
class Pairs(Experiment):
    """Of images of one's own, the first belongs to the second, the third to the fourth."""

    of_each: ClassVar[int] = 2


class Targets(str, Enum):
    """What is inverted: images of the data set, or inputs from outside it."""

    data = "data"
    kaleidoscope = "kaleidoscope"
    photographs = "photographs"
    held_out = "held-out"


class Start(str, Enum):
    """What a synthesis starts from."""

    noise = "noise"
    images = "images"
    grey = "grey"


@composed()
def invert(
    common: Experiment,
    *,
    targets: Annotated[
        Targets,
        option(
            "Validation images, or from outside: patterns, photographs, left-out classes.",
            panel=DATA,
        ),
    ] = Targets.data,
    start: Annotated[
        Start, option("Noise, other validation images, or grey.", panel=DATA)
    ] = Start.noise,
) -> None:
    """Find images that a network represents as it does given ones (section 4.1).

    \b
    robust-reps invert --model critters-robust --dataset critters_fine \\
      --n 4 --iterations 300 --out out
    robust-reps invert --model checkpoint.pt.best --dataset restricted_imagenet \\
      --data DIR --n 8 --start images --out out
    robust-reps invert --model critters-robust --dataset critters_fine \\
      --targets kaleidoscope --n 4 --iterations 300 --out out
    """
    from ..datasets.targets import target_samples
    from ..experiments.inversion import invert as invert_images
    from ..results.figures import panel_figure
    from ..results.layouts import inversions

    if common.images and targets is not Targets.data:
        raise InputError(f"--images and --targets {targets.value} exclude each other: give one")

    def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
        wanted = (
            common.samples(part.images)
            if common.images
            else target_samples(
                targets.value, common.data_set, common.n, seed=common.seed, part=part.images
            )
        )
        others = start is Start.images
        sources = common.samples(part.images, skip=common.n).images if others else start.value
        found = invert_images(common.network, wanted.images, start=sources, **given)
        index, names = wanted.indices.tolist(), wanted.names
        return found, [{"label": name, "index": i} for name, i in zip(names, index, strict=True)]

    with common.store("invert", targets=targets.value, start=start.value) as store:
        found, rows = common.in_parts(store, "inversion", make, said=("Inverting", "distance"))
        about = {"labels": [row["label"] for row in rows[:SHOWN]], "start": start.value}
        shown = inversions({"result": found[:SHOWN]}, about)
        picture = store.add_figure("inversion", panel_figure(shown, channels=common.channels))
    tell(
        ("image", "label", "distance"),
        ((row["index"], row["label"], row["objective"]) for row in rows),
        [store.path, *store.tensors()[:1], picture],
    )


@composed(defaults={"n": 4})
def pairs(common: Experiment) -> None:
    """Find pairs of images of nearly equal representation and different content (Fig. 2).

    From n images the search looks for images that the network represents as it does n others. Of a
    standard network, what it finds tends to look like where it began.

    \b
    robust-reps pairs --model critters-standard --dataset critters_fine \\
      --n 4 --iterations 300 --out out
    """
    from ..experiments.pairs import near_pairs
    from ..results.figures import panel_figure
    from ..results.layouts import pairs as pairs_of

    def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
        targets, sources = common.pairs(part.images)
        found = near_pairs(common.network, targets.images, sources=sources.images, **given)
        frame = found.to_frame()
        columns = {
            "target": targets.names,
            "source": sources.names,
            "target_index": targets.indices.tolist(),
            "source_index": sources.indices.tolist(),
            "apart": frame["apart"].tolist(),
            "moved": frame["moved"].tolist(),
        }
        rows = zip(*columns.values(), strict=True)
        return found.synthesis, [dict(zip(columns, row, strict=True)) for row in rows]

    with common.store("pairs") as store:
        found, rows = common.in_parts(store, "pairs", make, said=("Searching", "distance"))
        some = rows[:SHOWN]
        shown = pairs_of(
            found[:SHOWN], [row["source"] for row in some], [row["target"] for row in some]
        )
        picture = store.add_figure("pairs", panel_figure(shown, channels=common.channels))
    tell(
        ("source", "target", "distance", "apart", "moved"),
        (
            (row["source"], row["target"], row["objective"], row["apart"], row["moved"])
            for row in rows
        ),
        [store.path, picture],
    )


@composed(defaults={"n": 4})
def curve(
    common: Pairs,
    *,
    radii: Annotated[
        str | None,
        option("L2 radii, ascending; default: 2,8,32,128 at 224 pixels, scaled.", "R,R,..."),
    ] = None,
) -> None:
    """Match images within balls of growing radius around others (Fig. 4, 5).

    \b
    robust-reps curve --model critters-robust --dataset critters_fine \\
      --radii 0.5,2,8,32 --n 4 --iterations 300 --out out
    """
    import torch

    from ..experiments.constrained import FIGURE_5, Curve, invert_within
    from ..results.figures import panel_figure
    from ..results.layouts import radii as radii_of
    from ..results.plots import curve_figure
    from ..synthesis.settings import at_size

    if radii is None:
        like = common.samples(slice(0, 1)).images
        lengths = [at_size(radius, like) for radius in FIGURE_5]
    else:
        lengths = numbers("radii", radii, float)

    def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
        targets, sources = common.pairs(part.images)
        found = invert_within(
            common.network, targets.images, sources.images, radii=lengths, **given
        )
        pairs = {
            "target": targets.names,
            "source": sources.names,
            "target_index": targets.indices.tolist(),
            "source_index": sources.indices.tolist(),
        }
        rows = [
            {"radius": radius, **dict(zip(pairs, pair, strict=True))}
            for radius in found.radii.tolist()
            for pair in zip(*pairs.values(), strict=True)
        ]
        return found.synthesis, rows

    with common.store("curve", radii=lengths) as store:
        run, rows = common.in_parts(
            store, "images", make, said=("Inverting", "distance"), each=len(lengths)
        )
        # Each part holds all radii of its pairs, one radius after the other.
        where = torch.tensor([row["radius"] for row in rows])
        order = torch.cat([(where == radius).nonzero()[:, 0] for radius in where.unique()])
        found = Curve(where.unique(), run[order])
        line = found.line()
        plot = curve_figure(found.radii, [line])
        pairs = min(SHOWN, found.distance.shape[1])
        places = torch.arange(len(run)).view(found.distance.shape)
        chosen = places[:, :pairs].flatten()
        labels = [rows[i]["target"] for i in order[:pairs].tolist()]
        shown = radii_of({"": found.synthesis[chosen]}, found.radii.tolist(), labels)
        store.add_figure("images", panel_figure(shown, channels=common.channels))
        kinds = store.printing.kinds(("png", "svg"))
        pictures = [store.add_figure(f"curve.{kind}", plot) for kind in kinds]
    columns = {"radius": found.radii, "mean distance": line.y, "from": line.low, "to": line.high}
    known = {name: one.tolist() for name, one in columns.items() if one is not None}
    tell([*known], zip(*known.values(), strict=True), [store.path, *pictures])


@composed(defaults={"n": 4})
def interpolate(
    common: Pairs,
    *,
    steps: Annotated[int, option("T: lambda is 0, 1/T, ..., 1.")] = 10,
) -> None:
    """Find images between two images, by their representations (appendix A.5).

    \b
    robust-reps interpolate --model critters-robust --dataset critters_fine \\
      --n 4 --steps 6 --iterations 300 --out out
    """
    from ..experiments.interpolation import interpolate as interpolate_images
    from ..results.figures import panel_figure
    from ..results.layouts import interpolations

    def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
        left, right = common.pairs(part.images)
        found = interpolate_images(common.network, left.images, right.images, steps=steps, **given)
        return found.synthesis, [
            {"left": one, "right": other, "lambda": weight}
            for one, other in zip(left.names, right.names, strict=True)
            for weight in found.weights.tolist()
        ]

    with common.store("interpolate", steps=steps) as store:
        run, rows = common.in_parts(
            store, "interpolation", make, said=("Interpolating", "distance"), each=steps + 1
        )
        pairs = [rows[i : i + steps + 1] for i in range(0, len(rows), steps + 1)]
        shown = interpolations(
            {"representation": run[: SHOWN * (steps + 1)]},
            [row["lambda"] for row in pairs[0]],
            [pair[0]["left"] for pair in pairs[:SHOWN]],
            [pair[0]["right"] for pair in pairs[:SHOWN]],
        )
        picture = store.add_figure("interpolation", panel_figure(shown, channels=common.channels))
    tell(
        ("left", "right", "worst distance"),
        (
            (pair[0]["left"], pair[0]["right"], max(row["objective"] for row in pair))
            for pair in pairs
        ),
        [store.path, picture],
    )
