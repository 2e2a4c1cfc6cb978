"""The command `directions`: components, classes and sparse heads, each seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..results.table_files import write_table
from ..runtime.errors import InputError
from . import console
from .common import SHOWN, AllOrN, validation_images
from .features import Coordinate
from .labels import class_name
from .options import composed, option
from .side_by_side import Made, Plan, side_by_side

if TYPE_CHECKING:
    from ..report.classes import Heads
    from ..results.directions import Directions
    from ..results.figures import Panel
    from ..results.store import Part
    from ..results.synthesis import Synthesis

__all__ = ["directions"]

FILE = "directions.safetensors"
STRENGTH = {"pca": "share of variance", "class": "distance", "probe": "weight", "given": "spread"}


class Method(str, Enum):
    """How directions are found."""

    pca = "pca"
    class_ = "class"
    probe = "probe"


@composed()
def directions(
    common: Coordinate,
    *,
    method: Annotated[
        Method,
        option("Principal components, means of classes, or sparse linear heads."),
    ] = Method.pca,
    vectors: Annotated[
        Path | None,
        option("In place of --method: a dictionary of overcomplete, or a matrix.", "FILE"),
    ] = None,
    components: Annotated[int, option("How many, of pca; the widest, of --vectors.")] = 8,
    k: Annotated[int, option("Images at each end.")] = 3,
    n: AllOrN = None,
) -> None:
    """Find directions of R(x), and see what raises each beside the images that lie farthest.

    Goes through the validation set, or through --n of its images, and raises each from noise.
    Beside the picture are the vectors (Directions.load) and, of --method probe, how accurate heads
    of few features and of many are, and a page of each class' features.

    \b
    robust-reps directions --model critters-robust --dataset critters_fine \\
      --method class --out out
    """
    from ..results.figures import panel_figure
    from ..results.layouts import along

    if vectors is not None and method is not Method.pca:
        raise InputError(f"--method {method.value} and --vectors exclude each other: give one")
    search = _Search(method, vectors, components, k, n)

    def shown(one: Made[Coordinate], made: Directions) -> list[Panel]:
        return along(one.run[:SHOWN], made, names=one.common.label_names, title=found.title(one))

    with side_by_side(
        common, "directions", search.plan, words=search.words, counted=False
    ) as found:
        every = [(one, search.kept(one)) for one in found]
        found.paths += [one.store.path / FILE for one, _ in every]
        panels = [panel for one, made in every for panel in shown(one, made)]
        found.add("directions", panel_figure(panels, channels=common.channels))
        if method is Method.probe:
            for one, made in every:
                table = made.sparsity.to_frame()
                found.paths.append(write_table(table, one.store.path / "sparsity.csv"))
            found.paths += _pages(common, every, k, n)
    found.tell(
        ("direction", STRENGTH[method.value if vectors is None else "given"], "most", "least"),
        lambda one: (
            (row["direction"], row["strength"], "; ".join(row["most"]), "; ".join(row["least"]))
            for row in one.rows
        ),
    )


@dataclass(frozen=True)
class _Search:
    """What the options of the command ask for, and what was found of each network."""

    method: Method
    vectors: Path | None
    components: int
    k: int
    n: int | None
    known: dict[str, Directions] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.method.value if self.vectors is None else self.vectors.stem

    @property
    def words(self) -> list[str]:
        """Of the name of its folder."""
        some = [str(self.components)] if self.method is Method.pca else []
        return [self.name, *some, f"k{self.k}", "" if self.n is None else f"n{self.n}"]

    @cached_property
    def settings(self) -> dict[str, Any]:
        from ..models.dictionaries import read_dictionary
        from ..runtime.modules import digest

        told: dict[str, Any] = {"method": self.name, "k": self.k, "n": self.n}
        if self.method is Method.pca:
            told["components"] = self.components
        if self.vectors is not None:
            told["vectors"] = digest({"vectors": read_dictionary(self.vectors)})[:16]
        return told

    def of(self, one: Coordinate) -> Directions:
        """The directions of a network, which are looked for once."""
        from torch.utils.data import DataLoader

        from ..experiments.directions import directions as directions_of

        if one.short_name not in self.known:
            images, _ = validation_images(one, self.n, one.seed)
            with _in_turn(one.short_name) as (look, fit):
                self.known[one.short_name] = directions_of(
                    one.network,
                    DataLoader(images, one.images_at_once),
                    method=self.method.value,
                    vectors=self.vectors,
                    components=self.components,
                    k=self.k,
                    names=one.label_names,
                    layer=one.layer,
                    seed=one.seed,
                    progress=look,
                    fitting=fit,
                )
        return self.known[one.short_name]

    def plan(self, one: Coordinate) -> Plan:
        """Raise each from noise."""
        from ..experiments.directions import raised
        from ..synthesis import noise

        def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
            made = self.of(one)
            images, positions = validation_images(one, self.n, one.seed)
            start = noise(images[0][0][None], seed=one.seed)
            up = raised(one.network, made.vectors, start=start, **given)
            return up, _rows(made, one.label_names, positions)

        # All of them are one thing: how many there are, the data tell.
        said = ("Raising", "value")
        return Plan(whole="raised", make=make, said=said, settings=self.settings, n=1, size=1)

    def kept(self, one: Made[Coordinate]) -> Directions:
        """Those of a finished run, from its folder."""
        from ..results.directions import Directions

        path = one.store.path / FILE
        if one.name in self.known or not path.is_file():
            self.of(one.common).save(path)
        return Directions.load(path)


@contextmanager
def _in_turn(name: str) -> Iterator[tuple[Callable[..., None], Callable[..., None]]]:
    """A bar of the images that are looked at, and one of heads, which takes its place."""
    with ExitStack() as shown:
        look = shown.enter_context(console.progress(f"Looking ({name})", "images"))
        heads: list[Callable[..., None]] = []

        def fit(done: int, in_all: int, features: float) -> None:
            if not heads:
                shown.close()
                bar = console.progress(f"Fitting heads ({name})", "costs", "features a class")
                heads.append(shown.enter_context(bar))
            heads[0](done, in_all, features)

        yield look, fit


def _rows(
    made: Directions, classes: Sequence[str], positions: Sequence[int]
) -> list[dict[str, Any]]:
    """A row for each direction: which images lie at its ends, and which coordinates it has."""
    rows = []
    for i, name in enumerate(made.names):
        row = {"direction": name, "strength": float(made.strength[i])}
        for end, one in {"most": made.most, "least": made.least}.items():
            row[end] = [class_name(classes, label) for label in one.label[i].tolist()]
            row[f"{end}_value"] = one.value[i].tolist()
            row[f"{end}_index"] = [positions[place] for place in one.index[i].tolist()]
        if made.method == "probe":
            row["features"] = [[place, weight] for place, weight in made.features(i)]
        rows.append(row)
    return rows


def _pages(
    common: Coordinate,
    every: Sequence[tuple[Made[Coordinate], Directions]],
    k: int,
    n: int | None,
) -> list[Path]:
    """For each network a page of its classes' features, and of several one of them all."""
    from ..report.classes import write_classes

    heads = [_heads(one, made, k, n) for one, made in every]
    pages = [(one.store.path, [head]) for (one, _), head in zip(every, heads, strict=True)]
    if len(heads) > 1:
        pages.append((common.out, heads))
    return [
        write_classes(folder / "classes.html", some, data=common.dataset, channels=common.channels)
        for folder, some in pages
    ]


def _heads(one: Made[Coordinate], made: Directions, k: int, n: int | None) -> Heads:
    """The features of a probe, raised, and the images that activate each most."""
    from torch.utils.data import DataLoader

    from ..experiments.activations import most_activating
    from ..experiments.visualization import visualize
    from ..report.classes import Heads, shown_features
    from ..synthesis import noise

    common, places = one.common, shown_features(made)
    images, _ = validation_images(common, n, common.seed)

    def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
        given["first"] = 0
        seeds = noise(images[0][0][None], seed=common.seed)
        up = visualize(common.network, coordinates=places, seeds=seeds, **given)
        return up.synthesis, [{"coordinate": place} for place in places]

    up, _ = common.in_parts(one.store, "features", make, said=("Raising", "value"), n=1, size=1)
    with console.progress("Looking", "images") as look:
        found = most_activating(
            common.network,
            DataLoader(images, common.images_at_once),
            coordinates=places,
            k=k,
            layer=common.layer,
            seed=common.seed,
            progress=look,
        )
    return Heads(one.name, made, one.run.images, found, up.images)
