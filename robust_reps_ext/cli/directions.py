"""The command `directions`: components, classes and sparse heads, each seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    from torch.utils.data import DataLoader

    from ..experiments.directions import directions as directions_of
    from ..experiments.directions import raised
    from ..models.dictionaries import read_dictionary
    from ..results.directions import Directions
    from ..results.figures import panel_figure
    from ..results.layouts import along
    from ..runtime.modules import digest
    from ..synthesis import noise

    if vectors is not None and method is not Method.pca:
        raise InputError(f"--method {method.value} and --vectors exclude each other: give one")
    word = method.value if vectors is None else vectors.stem
    known: dict[str, Directions] = {}

    def found_in(one: Coordinate) -> Directions:
        if one.short_name in known:
            return known[one.short_name]
        images, _ = validation_images(one, n, one.seed)
        with _in_turn(one.short_name) as (look, fit):
            made = directions_of(
                one.network,
                DataLoader(images, one.images_at_once),
                method=method.value,
                vectors=vectors,
                components=components,
                k=k,
                names=one.label_names,
                layer=one.layer,
                seed=one.seed,
                progress=look,
                fitting=fit,
            )
        known[one.short_name] = made
        return made

    def plan(one: Coordinate) -> Plan:
        def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
            made = found_in(one)
            images, positions = validation_images(one, n, one.seed)
            start = noise(images[0][0][None], seed=one.seed)
            up = raised(one.network, made.vectors, start=start, **given)
            return up, _rows(made, one.label_names, positions)

        settings = {"method": word, "k": k, "n": n}
        if method is Method.pca:
            settings["components"] = components
        if vectors is not None:
            settings["vectors"] = digest({"vectors": read_dictionary(vectors)})[:16]
        # All of them are one thing: how many there are, the data tell.
        return Plan(
            whole="raised", make=make, said=("Raising", "value"), settings=settings, n=1, size=1
        )

    def kept(one: Made[Coordinate]) -> Directions:
        path = one.store.path / FILE
        if one.name in known or not path.is_file():
            found_in(one.common).save(path)
        return Directions.load(path)

    def shown(one: Made[Coordinate], made: Directions) -> list[Panel]:
        return along(one.run[:SHOWN], made, names=one.common.label_names, title=found.title(one))

    words = [word, f"k{k}", "" if n is None else f"n{n}"]
    if method is Method.pca:
        words.insert(1, str(components))
    with side_by_side(common, "directions", plan, words=words, counted=False) as found:
        every = [(one, kept(one)) for one in found]
        found.paths += [one.store.path / FILE for one, _ in every]
        panels = [panel for one, made in every for panel in shown(one, made)]
        found.add("directions", panel_figure(panels, channels=common.channels))
        if method is Method.probe:
            for one, made in every:
                found.paths.append(one.store.path / "sparsity.csv")
                made.sparsity.to_frame().to_csv(found.paths[-1], index=False)
            found.paths += _pages(common, every, k, n)
    found.tell(
        ("direction", STRENGTH[method.value if vectors is None else "given"], "most", "least"),
        lambda one: (
            (row["direction"], row["strength"], "; ".join(row["most"]), "; ".join(row["least"]))
            for row in one.rows
        ),
    )


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
