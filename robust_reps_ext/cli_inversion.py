"""The commands that match representations: `invert`, `curve` and `interpolate`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from . import options
from .cli_common import Common, numbers, tell
from .cli_results import keep

__all__ = ["curve", "interpolate", "invert"]

PANEL = "Experiment"


class Targets(str, Enum):
    """What is inverted: images of the data set, or inputs from outside it."""

    data = "data"
    kaleidoscope = "kaleidoscope"
    photographs = "photographs"
    held_out = "held-out"


def invert(
    common: Common,
    *,
    targets: Annotated[
        Targets,
        typer.Option(
            help="Validation images, or from outside: patterns, photographs, left-out classes.",
            rich_help_panel="Data",
        ),
    ] = Targets.data,
    start: Annotated[
        options.Start,
        typer.Option(help="Noise, other validation images, or grey.", rich_help_panel="Data"),
    ] = options.Start.noise,
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
    from . import console
    from .datasets.samples import validation_samples
    from .datasets.targets import target_samples
    from .experiments.inversion import invert as invert_images

    wanted = target_samples(targets.value, common.data_set, common.n, seed=common.seed)
    sources = (
        validation_samples(common.data_set, common.n, skip=common.n, seed=common.seed).images
        if start is options.Start.images
        else start.value
    )
    with common.store("invert", targets=targets.value, start=start.value) as store:
        with console.progress("Inverting", "steps", "distance") as progress:
            found = invert_images(
                common.network,
                wanted.images,
                start=sources,
                seed=common.seed,
                progress=progress,
                **common.given,
            )
        index, names = wanted.indices.tolist(), wanted.names
        rows = [{"label": name, "index": i} for name, i in zip(names, index, strict=True)]
        written = keep(store, "inversion", found, rows, found.figure())
    tell(
        ("image", "label", "distance"),
        zip(index, names, found.objective.tolist(), strict=True),
        [store.path, *written],
    )


def curve(
    common: Common,
    *,
    radii: Annotated[
        str, typer.Option(help="L2 radii, ascending.", metavar="R,R,...", rich_help_panel=PANEL)
    ] = "2,8,32,128",
) -> None:
    """Match images within balls of growing radius around others (Fig. 4, 5).

    \b
    robust-reps curve --model critters-robust --dataset critters_fine \\
      --radii 0.5,2,8,32 --n 4 --iterations 300 --out out
    """
    from . import console
    from .experiments.constrained import invert_within
    from .figures import Row, image_grid
    from .plots import Line, curve_figure

    lengths = numbers("radii", radii, float)
    pairs = common.pairs()
    targets, sources = pairs.images.split(common.n)
    with common.store("curve", radii=lengths) as store:
        with console.progress("Inverting", "steps", "distance") as progress:
            found = invert_within(
                common.network,
                targets,
                sources,
                radii=lengths,
                seed=common.seed,
                progress=progress,
                **common.given,
            )
        index, names = pairs.indices.tolist(), pairs.names
        rows = [
            {
                "radius": radius,
                "target": names[i],
                "source": names[common.n + i],
                "target_index": index[i],
                "source_index": index[common.n + i],
            }
            for radius in found.radii.tolist()
            for i in range(common.n)
        ]
        grid = [Row(sources, "source")]
        grid += [
            Row(images, f"radius {radius:g}", [f"{value:.3g}" for value in distance])
            for radius, images, distance in zip(
                found.radii.tolist(), found.images, found.distance.tolist(), strict=True
            )
        ]
        low, high = found.band()
        plot = curve_figure(found.radii, [Line(found.mean, low, high)])
        keep(store, "images", found.synthesis, rows, image_grid([*grid, Row(targets, "target")]))
        pictures = [store.add_figure(f"curve.{kind}", plot) for kind in ("png", "svg")]
    columns = (found.radii, found.mean, low, high)
    tell(
        ("radius", "mean distance", "from", "to"),
        zip(*(one.tolist() for one in columns), strict=True),
        [store.path, *pictures],
    )


def interpolate(
    common: Common,
    *,
    steps: Annotated[
        int, typer.Option(help="T: lambda is 0, 1/T, ..., 1.", rich_help_panel=PANEL)
    ] = 10,
) -> None:
    """Find images between two images, by their representations (appendix A.5).

    \b
    robust-reps interpolate --model critters-robust --dataset critters_fine \\
      --n 4 --steps 6 --iterations 300 --out out
    """
    from . import console
    from .experiments.interpolation import interpolate as interpolate_images
    from .figures import Row, image_grid

    pairs = common.pairs()
    left, right = pairs.images.split(common.n)
    with common.store("interpolate", steps=steps) as store:
        with console.progress("Interpolating", "steps", "distance") as progress:
            found = interpolate_images(
                common.network,
                left,
                right,
                steps=steps,
                seed=common.seed,
                progress=progress,
                **common.given,
            )
        weights = found.weights.tolist()
        ends = [(pairs.names[i], pairs.names[common.n + i]) for i in range(common.n)]
        rows = [
            {"left": one, "right": other, "lambda": weight}
            for one, other in ends
            for weight in weights
        ]
        captions = [f"lambda {weight:.2g}" for weight in weights]
        grid: list[Row] = []
        for blend, images in zip(found.blend, found.images, strict=True):
            grid += [Row(blend, "pixel blend"), Row(images, "representation", captions)]
        figure = image_grid(grid, columns=len(weights))
        keep(store, "interpolation", found.synthesis, rows, figure)
    tell(
        ("left", "right", "worst distance"),
        ((*names, max(row)) for names, row in zip(ends, found.distance.tolist(), strict=True)),
        [store.path],
    )
