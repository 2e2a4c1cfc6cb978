"""The command `metamers`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from . import console
from .common import Experiment, leave_to_first, tell, tell_page
from .options import composed, like, option

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
    against: Annotated[
        str | None, like("model", "A standard one, to make metamers of beside the robust --model.")
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
    from ..experiments.metamers.unit import keep_metamers
    from ..experiments.paper.units import ORDER
    from ..models.loading import weights_digest
    from ..report.page import write_report
    from ..runtime.errors import InputError
    from ..runtime.numbers import whole

    model = common.alone("metamers")
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
    networks = {"robust": common.network}
    if against is not None:
        networks["standard"] = common.load(against, common)
    names = {
        role: chosen_layers(network, targets.images, named) for role, network in networks.items()
    }
    more = {} if against is None else {"against": weights_digest(networks["standard"])}
    began, runs, found, judged, rows, pictures = time.monotonic(), {}, {}, {}, [], []
    # What there is of one network alone is called as in version 0.2.
    ends = {role: "" if role == "robust" else f"-{role}" for role in networks}
    with common.store("metamers", layers=names["robust"], pairs=pairs, **more) as store:
        for role, network in networks.items():

            def make(
                part: Part, given: dict[str, Any], role: str = role, network: Any = network
            ) -> tuple[Synthesis, Any]:
                name = names[role][part.first]
                given |= {"layer": layer_of(name), "first": 0}
                made = invert(network, targets.images, **given)
                told = zip(targets.names, targets.indices.tolist(), strict=True)
                return made, [{"layer": name, "label": one, "index": i} for one, i in told]

            runs[role], _ = common.in_parts(
                store, f"metamers{ends[role]}", make,
                said=("Matching", "distance"), n=len(names[role]), size=1,
            )  # fmt: skip
        leave_to_first()
        for role, network in networks.items():
            end, run = ends[role], runs[role]
            with console.progress("Pairs", "images", "correlation") as progress:
                null = null_distribution(
                    network,
                    common.validation_set,
                    layers=names[role],
                    pairs=pairs,
                    path=store.path / f"null{end}.safetensors",
                    seed=common.seed,
                    progress=progress,
                )
            one = measured(network, run, names[role], null, batch_size=common.images_at_once)
            found[role] = one
            one.save(store.path / f"found{end}.safetensors")
            pictures += [
                store.add_figure(f"metamers{end}", one.figure(channels=common.channels)),
                store.add_figure(f"success{end}", one.shares_figure()),
                store.add_figure(f"null{end}", one.null_figure()),
            ]
            one.to_frame().to_csv(store.path / f"metamers{end}.csv", index=False)
            one.resemblance_frame().to_csv(store.path / f"resemblance{end}.csv", index=False)
            if others:
                told = recognition(one, others, batch_size=common.images_at_once)
                told.to_frame().to_csv(store.path / f"recognition{end}.csv", index=False)
                pictures.append(store.add_figure(f"recognition{end}", told.figure()))
                judged[role] = told
            rows += [
                (role, share.name, share.correct, share.n, distance)
                for share, distance in zip(one.shares(), one.distance.mean(1).tolist(), strict=True)
            ]
        study = _study(common, dict(zip(networks, (model, against), strict=False)), networks)
        study["scale"] |= {"pairs": pairs, "layers": names["robust"]}
    keep_metamers(common.out, found, study, recognised=judged)
    page = write_report(common.out, ORDER, channels=common.channels)
    tell(("", "layer", "successes", "of", "mean distance"), rows, [store.path, *pictures])
    tell_page(page, began)


def _study(
    common: Experiment, names: dict[str, str | None], networks: dict[str, Any]
) -> dict[str, Any]:
    """How the metamers were made, as the page says it."""
    from ..models.loading import weights_digest

    given = common.given
    return {
        "models": {
            role: {
                "name": Path(str(names[role])).name,
                "arch": str(network.card.get("arch", "")),
                "weights": weights_digest(network),
            }
            for role, network in networks.items()
        },
        "data": {"name": str(common.dataset), "folder": str(common.data or "")},
        "seed": common.seed,
        "scale": {
            "images": common.n,
            **{name: given[name] for name in ("schedule", "iterations")},
        },
    }
