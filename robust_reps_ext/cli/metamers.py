"""The command `metamers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from . import console
from .common import Experiment, leave_to_first, tell
from .options import composed, option

if TYPE_CHECKING:
    from ..results.store import Part
    from ..results.synthesis import Synthesis

__all__ = ["metamers"]


@composed(
    defaults={"iterations": 200},
    helps={"model": "Checkpoint file, or name of a bundled model."},
    without=("name", "paper"),
)
def metamers(
    common: Experiment,
    *,
    layers: Annotated[
        str, option("Layers by name, or all: the ends of stages and penultimate.", "NAME,...|all")
    ] = "all",
    pairs: Annotated[int, option("Pairs of validation images in the null distribution.")] = 10_000,
    judges: Annotated[
        str | None, option("Networks that are shown the metamers.", "FILE|NAME,...")
    ] = None,
) -> None:
    """Make images that a layer takes for given ones, and test whether it does.

    A metamer is a success where it is more like its target, to its layer, than any pair of
    different images, and the network sees the same class in it (Feather et al. 2023; their own way
    is --schedule feather --iterations 24000).

    \b
    robust-reps metamers --model critters-robust --dataset critters_fine \\
      --n 4 --pairs 1000 --out out
    """
    from ..experiments.inversion import invert
    from ..experiments.metamers import (
        chosen_layers,
        layer_of,
        measured,
        null_distribution,
        recognition,
    )
    from ..runtime.errors import InputError
    from ..runtime.numbers import whole

    common.alone("metamers")
    if common.layer is not None:
        raise InputError("--layer: metamers are made at several layers: give --layers")
    if not common.dataset:
        raise InputError(
            "the null distribution is of a data set's validation images: give --dataset"
        )
    pairs = whole("pairs", pairs, 1)
    targets = common.samples()
    others = {name: common.load(name, common) for name in judges.split(",")} if judges else {}
    named = layers if layers == "all" else layers.split(",")
    names = chosen_layers(common.network, targets.images, named)

    def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
        name = names[part.first]
        given |= {"layer": layer_of(name), "first": 0}
        found = invert(common.network, targets.images, **given)
        told = zip(targets.names, targets.indices.tolist(), strict=True)
        return found, [{"layer": name, "label": one, "index": i} for one, i in told]

    with common.store("metamers", layers=names, pairs=pairs) as store:
        run, _ = common.in_parts(
            store, "metamers", make, said=("Matching", "distance"), n=len(names), size=1
        )
        leave_to_first()
        with console.progress("Pairs", "images", "correlation") as progress:
            null = null_distribution(
                common.network,
                common.validation_set,
                layers=names,
                pairs=pairs,
                path=store.path / "null.safetensors",
                seed=common.seed,
                progress=progress,
            )
        found = measured(common.network, run, names, null, batch_size=common.images_at_once)
        found.save(store.path / "found.safetensors")
        pictures = [
            store.add_figure("metamers", found.figure(channels=common.channels)),
            store.add_figure("success", found.shares_figure()),
            store.add_figure("null", found.null_figure()),
        ]
        found.to_frame().to_csv(store.path / "metamers.csv", index=False)
        if others:
            told = recognition(found, others, batch_size=common.images_at_once)
            told.to_frame().to_csv(store.path / "recognition.csv", index=False)
            pictures.append(store.add_figure("recognition", told.figure()))
    shares = found.shares()
    tell(
        ("layer", "successes", "of", "mean distance"),
        zip(
            names,
            (one.correct for one in shares),
            (one.n for one in shares),
            found.distance.mean(1).tolist(),
            strict=True,
        ),
        [store.path, *pictures],
    )
