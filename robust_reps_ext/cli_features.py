"""The commands about single coordinates: `visualize`, `add-feature` and `activations`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer

from .cli_common import AllOrN, Common, counted, tell
from .cli_results import class_name, keep

__all__ = ["activations", "add_feature", "visualize"]

PANEL = "Experiment"


class Parameterization(str, Enum):
    """What a step of a visualisation moves: pixels, or a decorrelated Fourier spectrum."""

    pixels = "pixels"
    fourier = "fourier"


def visualize(
    common: Common,
    *,
    coordinates: Annotated[
        str,
        typer.Option(
            help="Such as 3,50; or random:8, drawn by the seed.",
            metavar="I,I,...|random:K",
            rich_help_panel=PANEL,
        ),
    ] = "random:8",
    transform: Annotated[
        str | None,
        typer.Option(
            help="Random moves before each step: jitter,rotate,scale; or jitter:8,rotate:5.",
            metavar="NAME[:X],...",
            rich_help_panel=PANEL,
        ),
    ] = None,
    parameterization: Annotated[
        Parameterization,
        typer.Option(help="What the steps move.", rich_help_panel=PANEL),
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

    from . import console
    from .experiments.visualization import visualize as visualize_coordinates
    from .figures import Row, image_grid
    from .synthesis import noise

    images = common.samples(common.n)
    chosen = common.coordinates(coordinates, images.images)
    regularizers: dict[str, Any] = {
        "transform": transform,
        "parameterization": parameterization.value,
    }
    seeds = torch.cat([noise(images.images, seed=common.seed), images.images])
    with common.store("visualize", coordinates=chosen, **regularizers) as store:
        with console.progress("Visualising", "steps", "value") as progress:
            found = visualize_coordinates(
                common.network,
                coordinates=chosen,
                seeds=seeds,
                **regularizers,
                seed=common.seed,
                progress=progress,
                **common.given,
            )
        classes = common.class_names
        predicted = [
            [class_name(classes, label) for label in row] for row in found.predicted.tolist()
        ]
        starts = ["noise"] * common.n + list(images.names)
        rows = [
            {"seed_image": start, "coordinate": i, "predicted": label}
            for start, labels in zip(starts, predicted, strict=True)
            for i, label in zip(chosen, labels, strict=True)
        ]
        grid = [
            Row(
                torch.cat([seeds[s][None], found.images[s]]),
                captions=[start, *(f"{i}: {one}" for i, one in zip(chosen, labels, strict=True))],
            )
            for s, (start, labels) in enumerate(zip(starts, predicted, strict=True))
        ]
        figure = image_grid(grid, columns=1 + len(chosen))
        keep(store, "features", found.synthesis, rows, figure)
    means = found.value.mean(dim=0).tolist()
    tell(("coordinate", "mean value"), zip(chosen, means, strict=True), [store.path])


def add_feature(
    common: Common,
    *,
    coordinate: Annotated[
        int, typer.Option(help="Which coordinate of R(x) to raise.", rich_help_panel=PANEL)
    ],
) -> None:
    """Raise a coordinate in images until it leads (section 4.2.1).

    \b
    robust-reps add-feature --model critters-robust --dataset critters_fine \\
      --coordinate 3 --n 8 --out out
    """
    from . import console
    from .experiments.addition import add_feature as add_to_images
    from .models.representation import representation

    images = common.samples(common.n)
    with common.store("add-feature", coordinate=coordinate) as store:
        with console.progress("Adding", "steps", "value") as progress:
            found = add_to_images(
                common.network,
                images.images,
                coordinate,
                seed=common.seed,
                progress=progress,
                **common.given,
            )
        latent = representation(common.network, found.images, layer=common.layer)
        leads = (latent.argmax(dim=1) == coordinate).tolist()
        rows = [
            {"label": label, "index": index, "coordinate": coordinate, "leads": bool(lead)}
            for label, index, lead in zip(images.names, images.indices.tolist(), leads, strict=True)
        ]
        keep(store, "added", found, rows, found.figure())
    tell(
        ("image", "label", f"R(x)_{coordinate}", "leads"),
        zip(
            images.indices.tolist(),
            images.names,
            found.objective.tolist(),
            ("yes" if lead else "no" for lead in leads),
            strict=True,
        ),
        [store.path],
    )


def activations(
    common: Common,
    *,
    coordinates: Annotated[
        str,
        typer.Option(
            help="Such as 3,50; or random:8, drawn by the seed.",
            metavar="I,I,...|random:K",
            rich_help_panel=PANEL,
        ),
    ] = "random:4",
    k: Annotated[int, typer.Option("--k", help="Images at each end.", rich_help_panel=PANEL)] = 3,
    n: AllOrN = None,
) -> None:
    """Find the images that activate coordinates most and least (Fig. 8).

    Goes once through the validation set, or through --n of its images; beside them stands what
    raises the coordinate from a grey image.

    \b
    robust-reps activations --model critters-robust --dataset critters_fine \\
      --coordinates 3,50 --out out
    """
    import torch

    from . import console
    from .experiments.activations import most_activating
    from .experiments.visualization import visualize as visualize_coordinates
    from .figures import Row, image_grid

    loader, positions = common.validation(n)
    like = next(iter(loader))[0][:1]
    chosen = common.coordinates(coordinates, like)
    with common.store("activations", coordinates=chosen, k=k, n=n) as store:
        with console.progress("Looking", "images") as progress:
            found = most_activating(
                common.network,
                counted(loader, len(positions), progress),
                coordinates=chosen,
                k=k,
                layer=common.layer,
            )
        with console.progress("Visualising", "steps", "value") as progress:
            features = visualize_coordinates(
                common.network,
                coordinates=chosen,
                seeds=torch.full_like(like, 0.5),
                seed=common.seed,
                progress=progress,
                **common.given,
            )
        classes = common.class_names
        ends = {"most": found.most, "least": found.least}
        rows: list[dict[str, Any]] = [{"coordinate": i, "seen": found.seen} for i in chosen]
        grid = []
        for c, row in enumerate(rows):
            captions = ["from grey"]
            for end, kept in ends.items():
                labels = [class_name(classes, label) for label in kept.label[c].tolist()]
                values = kept.value[c].tolist()
                row |= {
                    end: labels,
                    f"{end}_index": [positions[i] for i in kept.index[c].tolist()],
                    f"{end}_value": values,
                }
                captions += [
                    f"{end}: {value:.3g}\n{label}"
                    for value, label in zip(values, labels, strict=True)
                ]
            shown = [features.images[0, c][None], found.most.images[c], found.least.images[c]]
            grid.append(Row(torch.cat(shown), f"coordinate {chosen[c]}", captions))
        figure = image_grid(grid, columns=1 + 2 * k)
        keep(store, "activations", features.synthesis, rows, figure)
    tell(
        ("coordinate", "most", "least"),
        ((row["coordinate"], "; ".join(row["most"]), "; ".join(row["least"])) for row in rows),
        [store.path],
    )
