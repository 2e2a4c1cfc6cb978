"""The command `evaluate`: accuracies of models."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .common import AllOrN, Common, counted, load, numbers, tell

if TYPE_CHECKING:
    import torch

    from ..experiments.accuracy import Accuracy

__all__ = ["evaluate"]

PAPER_EPS = 3.0
FINE_IN_COARSE = 18
# Images whose counts are kept together.
CHUNK = 1024


def evaluate(
    model: Annotated[
        list[str],
        typer.Option(
            help="Checkpoint file, or name of a bundled model; may be given several times.",
            metavar="FILE|NAME",
            rich_help_panel="Model",
        ),
    ],
    dataset: options.DataSetName,
    out: options.Out,
    data: options.Data = None,
    on_bad_image: options.OnBad = options.OnBadImage.stop,
    n: AllOrN = None,
    arch: options.Arch = None,
    trust_checkpoint: options.TrustCheckpoint = False,
    eps: Annotated[
        float | None,
        typer.Option(
            help="L2 radius; default: the paper's 3 at 224 pixels, and as much less as images "
            "are smaller.",
            rich_help_panel="Attack",
        ),
    ] = None,
    step_size: Annotated[
        float | None, typer.Option(help="Default: eps / 8.", rich_help_panel="Attack")
    ] = None,
    attack_steps: Annotated[
        str,
        typer.Option(help="PGD steps of each attack.", metavar="N,N", rich_help_panel="Attack"),
    ] = "20,100",
    batch_size: options.BatchSize = None,
    precision: options.Precision = options.Number.float32,
    device: options.Device = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
) -> None:
    """Measure accuracy on clean images and under PGD (Tables 4, 5).

    On critters_fine also that of the nine animals, with an attack that aims at the animal.

    \b
    robust-reps evaluate --model critters-robust --model critters-standard \\
      --dataset critters_fine --eps 1.5 --attack-steps 20 --out out
    """
    import torch

    from ..experiments.accuracy import added_up, check_attack
    from ..experiments.accuracy import evaluate as measure
    from ..models.loading import weights_digest
    from ..results.plots import Line, accuracy_figure
    from ..results.store import ExperimentStore
    from . import console

    steps = numbers("attack-steps", attack_steps, int)
    common = Common(
        model=model[0],
        dataset=dataset,
        out=out,
        data=data,
        on_bad_image=on_bad_image,
        arch=arch,
        trust_checkpoint=trust_checkpoint,
        batch_size=batch_size,
        precision=precision,
        device=device,
        seed=seed,
    )
    networks = {name: load(name, common.data_set, common) for name in model}
    groups: dict[str, torch.Tensor | None] = {f"{common.data_set.num_classes} classes": None}
    if dataset == "critters_fine":
        classes = torch.arange(common.data_set.num_classes)
        groups["9 animals"] = classes // FINE_IN_COARSE
    loader, positions = common.validation(n)
    size = next(iter(loader))[0].shape[-2:]
    radius = PAPER_EPS * math.sqrt(math.prod(size)) / 224 if eps is None else eps
    check_attack(radius, steps)
    with ExperimentStore.resume(
        out,
        experiment="evaluate",
        settings={"eps": radius, "step_size": step_size, "attack_steps": steps, "n": n},
        provenance={
            "dataset": dataset,
            "data": str(data or ""),
            "seed": seed,
            "models": {
                name: {"weights": weights_digest(network), **network.card}
                for name, network in networks.items()
            },
        },
        overwrite=overwrite,
    ) as store:
        rows: list[dict[str, Any]] = []
        for k, (name, network) in enumerate(networks.items()):
            for labels, group in groups.items():
                said = {"model": name, "labels": labels}
                whole = f"{k}-{labels.replace(' ', '-')}"
                with store.parts(whole, len(positions), CHUNK) as parts:
                    for part in parts:
                        some = positions[part.images]
                        with console.progress(f"{name}, {labels}", "images") as progress:
                            counts = measure(
                                network,
                                counted(common.batches(some), len(some), progress),
                                eps=radius,
                                attack_steps=steps,
                                step_size=step_size,
                                group=group,
                                precision=precision.value,
                            )
                        counted_here = [
                            {**said, "attack": one.name, "correct": one.correct, "n": one.n}
                            for one in counts
                        ]
                        store.add_rows(part, counted_here, table="counts")
                rows += [{**said, **_accuracy(one)} for one in added_up(store.rows(whole))]
        names = [f"{row['labels']}, {row['attack']}" for row in rows if row["model"] == model[0]]
        lines = [
            Line(
                y=[row["accuracy"] for row in rows if row["model"] == name],
                low=[row["low"] for row in rows if row["model"] == name],
                high=[row["high"] for row in rows if row["model"] == name],
                label=Path(name).name,
            )
            for name in networks
        ]
        with store.parts("accuracy", len(rows), len(rows)) as parts:
            for part in parts:
                store.add_rows(part, [{**row, "name": "accuracy"} for row in rows])
        picture = store.add_figure("accuracy", accuracy_figure(names, lines))
    print(f"L2 eps {radius:.4g}")
    tell(tuple(rows[0]), (row.values() for row in rows), [store.path, picture])


def _accuracy(one: Accuracy) -> dict[str, Any]:
    low, high = one.interval()
    return {
        "attack": one.name,
        "accuracy": one.share,
        "low": low,
        "high": high,
        "correct": one.correct,
        "n": one.n,
    }
