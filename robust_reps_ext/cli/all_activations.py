"""The page of all coordinates that `robust-reps activations --all` makes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..results.names import as_word
from . import console
from .common import Experiment, validation_images
from .labels import named

if TYPE_CHECKING:
    from ..report.activations import ModelActivations
    from ..results.store import Part
    from ..results.synthesis import Synthesis

__all__ = ["write_pages"]


def write_pages(models: Sequence[Experiment], k: int, n: int | None, raised: bool) -> None:
    """A page of every coordinate of each model, and of several models one of all side by side."""
    from ..report.activations import write_activations

    def page(path: Path, shown: Sequence[ModelActivations]) -> Path:
        images, _ = validation_images(models[0], n, models[0].seed)
        return write_activations(
            path,
            shown,
            lambda index: images[index][0],
            names=models[0].label_names,
            data=models[0].dataset,
            channels=models[0].channels,
        )

    folders, found = zip(*(_found(one, k, n, raised) for one in models), strict=True)
    pages = [
        page(path / "activations.html", [one]) for path, one in zip(folders, found, strict=True)
    ]
    if len(found) > 1:
        pages.append(page(models[0].out / "activations.html", found))
    for one in found:
        print(f"{one.name}: {len(one.found.coordinates)} coordinates, {one.found.seen} images")
    for path in pages:
        print(path)


def _found(
    common: Experiment, k: int, n: int | None, raised: bool
) -> tuple[Path, ModelActivations]:
    """The images at both ends of every coordinate, found part by part; and their folder."""
    import torch

    from ..experiments.activations import ALL
    from ..experiments.sweeps import all_activations
    from ..experiments.visualization import visualize as visualize_coordinates
    from ..report.activations import ModelActivations
    from ..results.activations import to_rows

    images, positions = validation_images(common, n, common.seed)
    words = f"n{len(images)}" + (f"-seed{common.seed}" if common.seed else "")
    words += "-raised" if raised else ""
    name = f"activations-{as_word(common.short_name)}-all-k{k}-{words}"
    # Folders of earlier versions do not say that nothing is raised.
    more = {"raised": True} if raised else {}

    def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
        given["first"] = 0  # every part begins with the same grey
        chosen = whole.coordinates[part.images].tolist()
        grey = torch.full_like(images[0][0][None], 0.5)
        found = visualize_coordinates(common.network, coordinates=chosen, seeds=grey, **given)
        return found.synthesis, [{"coordinate": i} for i in chosen]

    with common.store("activations", name=name, coordinates=ALL, k=k, n=n, **more) as store:
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
                store.add_rows(part, named(to_rows(whole), common.label_names, positions))
        up = None
        if raised:
            up = common.in_parts(store, "raised", make, said=("Raising", "value"), n=size)[0].images
    return store.path, ModelActivations(whole, common.short_name, common.network.card, up)
