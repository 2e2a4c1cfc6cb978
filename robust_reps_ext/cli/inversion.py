"""The commands that match representations: `invert`, `pairs`, `curve` and `interpolate`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from ..results.table_files import write_table
from ..runtime.errors import InputError
from . import console
from .common import SHOWN, Experiment, numbers
from .options import DATA, composed, option
from .side_by_side import Made, Plan, side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..datasets.samples import Samples
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


@dataclass(frozen=True, kw_only=True)
class Inversion(Experiment):
    """What is inverted, and from where; photographs and patterns do without a data set."""

    targets: Annotated[
        Targets,
        option(
            "Validation images, or from outside: patterns, photographs, left-out classes.",
            panel=DATA,
        ),
    ] = Targets.data
    start: Annotated[Start, option("Noise, other validation images, or grey.", panel=DATA)] = (
        Start.noise
    )

    @property
    def needs_data(self) -> bool:
        """Whether images of a data set are inverted, or begun with."""
        outside = self.targets in (Targets.kaleidoscope, Targets.photographs)
        return not outside or self.start is Start.images

    def wanted(self, part: slice) -> Samples:
        """The targets, some or all."""
        from ..datasets.targets import target_samples

        if self.images:
            return self.samples(part)
        of_data = self.data_set if self.dataset else None
        return target_samples(
            self.targets.value, of_data, self.n, size=self.side, seed=self.seed, part=part
        )


@composed()
def invert(common: Inversion) -> None:
    """Find images that a network represents as it does given ones (section 4.1).

    \b
    robust-reps invert --model critters-robust --dataset critters_fine \\
      --n 4 --out out
    robust-reps invert --model checkpoint.pt.best --dataset restricted_imagenet \\
      --data DIR --n 8 --start images --out out
    robust-reps invert --model photographs-robust --model photographs-standard \\
      --targets photographs --n 3 --out out
    """
    from ..experiments.inversion import invert as invert_images
    from ..experiments.resemblance import resembling
    from ..results.figures import panel_figure
    from ..results.layouts import inversions

    targets, start = common.targets, common.start
    if common.images and targets is not Targets.data:
        raise InputError(f"--images and --targets {targets.value} exclude each other: give one")

    def plan(one: Inversion) -> Plan:
        def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
            wanted = one.wanted(part.images)
            others = start is Start.images
            sources = one.samples(part.images, skip=one.n).images if others else start.value
            found = invert_images(one.network, wanted.images, start=sources, **given)
            told = zip(wanted.names, wanted.indices.tolist(), strict=True)
            return found, [{"label": name, "index": i} for name, i in told]

        settings = {"targets": targets.value, "start": start.value}
        said = ("Inverting", "distance")
        return Plan(whole="inversion", make=make, said=said, settings=settings)

    words = ["" if targets is Targets.data else targets.value, start.value]
    with side_by_side(common, "invert", plan, words=words) as found:
        rows = found.made[0].rows[:SHOWN]
        about = {"labels": [row["label"] for row in rows], "start": start.value}
        shown = inversions(found.runs(lambda one: one.run[:SHOWN]), about)
        found.paths += [path for one in found for path in one.store.tensors()[:1]]
        found.add("inversion", panel_figure(shown, channels=common.channels))
        alike = {one.name: resembling(one.run) for one in found}
        for one in found:
            likeness = alike[one.name]
            if likeness is not None:
                write_table(likeness.to_frame(), one.store.path / "resemblance.csv")
    found.tell(
        ("image", "label", "distance"),
        lambda one: ((row["index"], row["label"], row["objective"]) for row in one.rows),
    )
    for name, likeness in alike.items():
        if likeness is not None:
            titles = ("looks like its target", "mean", "by chance", "a JPEG copy")
            console.show_table(titles, likeness.rows(), name if len(alike) > 1 else "")


@composed(defaults={"n": 4})
def pairs(common: Pairs) -> None:
    """Find pairs of images of nearly equal representation and different content (Fig. 2).

    From n images the search looks for images that the network represents as it does n others. Of a
    standard network, what it finds tends to look like where it began.

    \b
    robust-reps pairs --model critters-standard --dataset critters_fine \\
      --n 4 --out out
    """
    from ..experiments.pairs import near_pairs
    from ..results.figures import panel_figure
    from ..results.layouts import pairs as pairs_of

    def plan(one: Pairs) -> Plan:
        def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
            targets, sources = one.pairs(part.images)
            found = near_pairs(one.network, targets.images, sources=sources.images, **given)
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

        return Plan(whole="pairs", make=make, said=("Searching", "distance"))

    with side_by_side(common, "pairs", plan) as found:
        shown = [
            panel
            for one in found
            for panel in pairs_of(
                one.run[:SHOWN],
                [row["source"] for row in one.rows[:SHOWN]],
                [row["target"] for row in one.rows[:SHOWN]],
                title=found.title(one),
            )
        ]
        found.add("pairs", panel_figure(shown, channels=common.channels))
    columns = ("source", "target", "objective", "apart", "moved")
    found.tell(
        ("source", "target", "distance", "apart", "moved"),
        lambda one: (tuple(row[name] for name in columns) for row in one.rows),
    )


@composed(
    defaults={"n": 4},
    helps={
        "eps": "Is what --radii gives: left out here.",
        "step_size": "Default: a tenth of the radius, at most 1 at 224 pixels, by schedule paper; "
        "by the others half of the radius.",
    },
)
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
      --radii 0.5,2,8,32 --n 4 --out out
    """
    import torch

    from ..experiments.constrained import Curve, default_radii, invert_within
    from ..results.figures import panel_figure
    from ..results.layouts import radii as radii_of
    from ..results.plots import curve_figure

    if radii is None:
        like = common.samples(slice(0, 1)).images
        lengths = default_radii(like, common.given.get("constraint"))
    else:
        lengths = numbers("radii", radii, float)

    def plan(one: Pairs) -> Plan:
        def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
            targets, sources = one.pairs(part.images)
            found = invert_within(
                one.network, targets.images, sources.images, radii=lengths, **given
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

        return Plan(
            whole="images",
            make=make,
            said=("Inverting", "distance"),
            settings={"radii": lengths},
            each=len(lengths),
        )

    def order(one: Made[Pairs]) -> torch.Tensor:
        # Each part holds all radii of its pairs, one radius after the other.
        where = torch.tensor([row["radius"] for row in one.rows])
        return torch.cat([(where == radius).nonzero()[:, 0] for radius in where.unique()])

    with side_by_side(common, "curve", plan) as found:
        curves = {one.name: Curve(torch.tensor(lengths), one.run[order(one)]) for one in found}
        first = next(iter(curves.values()))
        lines = {one.name: curves[one.name].line(found.title(one)) for one in found}
        n = min(SHOWN, first.distance.shape[1])
        labels = [found.made[0].rows[i]["target"] for i in order(found.made[0])[:n].tolist()]
        places = torch.arange(first.distance.numel()).view(len(lengths), -1)[:, :n].flatten()
        shown = radii_of(
            {found.title(one): curves[one.name].synthesis[places] for one in found},
            lengths,
            labels,
        )
        found.add("images", panel_figure(shown, channels=common.channels))
        plot = curve_figure(first.radii, list(lines.values()))
        for kind in common.printing.kinds(("png", "svg")):
            found.add(f"curve.{kind}", plot)
    banded = next(iter(lines.values())).low is not None
    heads = ("radius", "mean distance", *(("from", "to") if banded else ()))

    def columns(one: Made[Pairs]) -> Iterator[tuple[object, ...]]:
        line = lines[one.name]
        known = [part for part in (line.y, line.low, line.high) if part is not None]
        return zip(lengths, *(part.tolist() for part in known), strict=True)

    found.tell(heads, columns)


@composed(defaults={"n": 4})
def interpolate(
    common: Pairs,
    *,
    steps: Annotated[int, option("T: lambda is 0, 1/T, ..., 1.")] = 10,
) -> None:
    """Find images between two images, by their representations (appendix A.5).

    \b
    robust-reps interpolate --model critters-robust --dataset critters_fine \\
      --n 4 --steps 6 --out out
    """
    from ..experiments.interpolation import interpolate as interpolate_images
    from ..results.figures import panel_figure
    from ..results.layouts import interpolations

    def plan(one: Pairs) -> Plan:
        def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
            left, right = one.pairs(part.images)
            found = interpolate_images(one.network, left.images, right.images, steps=steps, **given)
            return found.synthesis, [
                {"left": end, "right": other, "lambda": weight}
                for end, other in zip(left.names, right.names, strict=True)
                for weight in found.weights.tolist()
            ]

        return Plan(
            whole="interpolation",
            make=make,
            said=("Interpolating", "distance"),
            settings={"steps": steps},
            each=steps + 1,
        )

    def pairs_of(one: Made[Pairs]) -> list[list[dict[str, Any]]]:
        starts = range(0, len(one.rows), steps + 1)
        return [one.rows[i : i + steps + 1] for i in starts]

    with side_by_side(common, "interpolate", plan) as found:
        pairs = pairs_of(found.made[0])[:SHOWN]
        shown = interpolations(
            found.runs(lambda one: one.run[: SHOWN * (steps + 1)]),
            [row["lambda"] for row in pairs[0]],
            [pair[0]["left"] for pair in pairs],
            [pair[0]["right"] for pair in pairs],
        )
        found.add("interpolation", panel_figure(shown, channels=common.channels))
    found.tell(
        ("left", "right", "worst distance"),
        lambda one: (
            (pair[0]["left"], pair[0]["right"], max(row["objective"] for row in pair))
            for pair in pairs_of(one)
        ),
    )
