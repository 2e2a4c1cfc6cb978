"""The command `metamers`."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..results.table_files import write_table
from . import console
from .common import Experiment, leave_to_first, tell, tell_page
from .options import UNTIL, composed, like, option

if TYPE_CHECKING:
    from robustness.attacker import AttackerModel

    from ..datasets.samples import Samples
    from ..experiments.metamers import Metamers
    from ..results.store import ExperimentStore, Part
    from ..results.synthesis import Synthesis

__all__ = ["metamers"]


@dataclass(frozen=True)
class Tested:
    """A network, and the layers at which metamers of it are made."""

    role: str
    network: AttackerModel
    layers: list[str]

    @property
    def end(self) -> str:
        """Of its files' names; those of one network alone are called as in version 0.2."""
        return "" if self.role == "robust" else f"-{self.role}"


@composed(
    helps={
        "model": "Checkpoint file, or name of a bundled model.",
        "iterations": "Default: 200; with --schedule, the schedule's: 10,000 by paper, 24,000 by "
        "feather, " + UNTIL,
    },
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
    is --schedule feather).

    \b
    robust-reps metamers --model critters-robust --dataset critters_fine \\
      --n 4 --pairs 1000 --out out
    """
    from ..experiments.metamers import DEFAULT, chosen_layers, recognition
    from ..experiments.metamers.unit import keep_metamers
    from ..experiments.paper.units import ORDER
    from ..models.loading import weights_digest
    from ..report.page import write_report
    from ..runtime.errors import InputError
    from ..runtime.numbers import whole

    began, model = time.monotonic(), common.alone("metamers")
    if common.layer is not None:
        raise InputError("--layer: metamers are made at several layers: give --layers")
    if not common.dataset:
        raise InputError(
            "the null distribution is of a data set's validation images: give --dataset"
        )
    pairs = whole("pairs", pairs, 1)
    if common.schedule is None and common.iterations is None:
        common = replace(common, iterations=DEFAULT["iterations"])
    targets = common.samples()
    others = {name: common.load(name, common) for name in judges.split(",")} if judges else {}
    named = layers if layers == "all" else layers.split(",")
    networks, more = {"robust": common.network}, {}
    if against is not None:
        networks["standard"] = common.load(against, common)
        more["against"] = weights_digest(networks["standard"])
    each = [
        Tested(role, network, chosen_layers(network, targets.images, named))
        for role, network in networks.items()
    ]
    with common.store("metamers", layers=each[0].layers, pairs=pairs, **more) as store:
        runs = [_matched(common, store, one, targets) for one in each]
        leave_to_first()
        found, recognised, pictures = {}, {}, []
        for one, run in zip(each, runs, strict=True):
            found[one.role] = _measured(common, store, one, run, pairs)
            pictures += _written(common, store, one, found[one.role])
            if others:
                told = recognition(found[one.role], others, batch_size=common.images_at_once)
                write_table(told.to_frame(), store.path / f"recognition{one.end}.csv")
                pictures.append(store.add_figure(f"recognition{one.end}", told.figure()))
                recognised[one.role] = told
        study = _study(common, dict(zip(networks, (model, against), strict=False)), networks)
        study["scale"] |= {
            "iterations": common.iterations or runs[0].settings["iterations"],
            "pairs": pairs,
            "layers": each[0].layers,
        }
    keep_metamers(common.out, found, study, recognised=recognised)
    page = write_report(common.out, ORDER, channels=common.channels)
    rows = [
        (role, share.name, share.correct, share.n, distance)
        for role, one in found.items()
        for share, distance in zip(one.shares(), one.distance.mean(1).tolist(), strict=True)
    ]
    tell(("", "layer", "successes", "of", "mean distance"), rows, [store.path, *pictures])
    tell_page(page, began)


def _matched(
    common: Experiment, store: ExperimentStore, one: Tested, targets: Samples
) -> Synthesis:
    """The metamers of one network, a layer after the other."""
    from ..experiments.inversion import invert
    from ..experiments.metamers import layer_of

    def make(part: Part, given: dict[str, Any]) -> tuple[Synthesis, Any]:
        name = one.layers[part.first]
        given |= {"layer": layer_of(name), "first": 0}
        made = invert(one.network, targets.images, **given)
        told = zip(targets.names, targets.indices.tolist(), strict=True)
        return made, [{"layer": name, "label": label, "index": i} for label, i in told]

    said, n = ("Matching", "distance"), len(one.layers)
    return common.in_parts(store, f"metamers{one.end}", make, said=said, n=n, size=1)[0]


def _measured(
    common: Experiment, store: ExperimentStore, one: Tested, run: Synthesis, pairs: int
) -> Metamers:
    """Whether they are more like their targets than pairs of different images are alike."""
    from ..experiments.metamers import measured, null_distribution

    with console.progress("Pairs", "images", "correlation") as progress:
        null = null_distribution(
            one.network,
            common.validation_set,
            layers=one.layers,
            pairs=pairs,
            path=store.path / f"null{one.end}.safetensors",
            seed=common.seed,
            progress=progress,
        )
    return measured(one.network, run, one.layers, null, batch_size=common.images_at_once)


def _written(
    common: Experiment, store: ExperimentStore, one: Tested, found: Metamers
) -> list[Path]:
    """Keep what was found, as tensors, tables and pictures; the paths of the pictures."""
    found.save(store.path / f"found{one.end}.safetensors")
    write_table(found.to_frame(), store.path / f"metamers{one.end}.csv")
    write_table(found.resemblance_frame(), store.path / f"resemblance{one.end}.csv")
    return [
        store.add_figure(f"metamers{one.end}", found.figure(channels=common.channels)),
        store.add_figure(f"success{one.end}", found.shares_figure()),
        store.add_figure(f"null{one.end}", found.null_figure()),
    ]


def _study(
    common: Experiment, names: dict[str, str | None], networks: dict[str, Any]
) -> dict[str, Any]:
    """How the metamers were made, as the page says it."""
    from ..models.loading import weights_digest

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
        "scale": {"images": common.n, "schedule": common.given["schedule"]},
    }
