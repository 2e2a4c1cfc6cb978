"""The command `evaluate`: accuracies of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..results.names import as_word, short_names
from . import console
from .common import AllOrN, numbers, tell, validation_images
from .options import (
    PGD,
    DataOptions,
    LoadOptions,
    PgdOptions,
    RunOptions,
    composed,
    like,
    option,
)

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from robustness.attacker import AttackerModel

    from ..experiments.attacks import Attack
    from ..results.accuracies import ThreatModel

__all__ = ["evaluate"]


class Attacks(str, Enum):
    """What images are attacked with, see `robust_reps_ext.experiments.accuracy.evaluate`."""

    pgd = "pgd"
    apgd = "apgd"
    standard = "standard"


class Ball(str, Enum):
    """Where attacked images stay, in upstream's words."""

    l2 = "2"
    linf = "inf"


@composed(
    helps={
        "eps": "Radius; default: what the networks were trained against, else L2 3 at 224 pixels, "
        "scaled.",
        "step_size": "Of PGD; default: eps / 8.",
    },
    without=("iterations", "schedule", "paper", "save_interval"),
)
def evaluate(
    loading: LoadOptions,
    data: DataOptions,
    pgd: PgdOptions,
    run: RunOptions,
    *,
    model: Annotated[
        list[str],
        like("model", "Checkpoint file, or name of a bundled model; may be given several times."),
    ],
    n: AllOrN = None,
    attack: Annotated[
        Attacks,
        option("PGD, Auto-PGD, or the worst case of Auto-PGD on two losses.", panel=PGD),
    ] = Attacks.pgd,
    attack_steps: Annotated[
        str | None, option("Steps of each attack; default: 20,100, Auto-PGD 100.", "N,N", PGD)
    ] = None,
    constraint: Annotated[
        Ball | None, option("Norm of the ball; default: as --eps, 2 with it.", panel=PGD)
    ] = None,
    radii: Annotated[
        str | None, option("Radii, ascending, instead of --eps: a curve.", "R,R,...", PGD)
    ] = None,
) -> None:
    """Measure accuracy on clean images and under attack (Tables 4, 5).

    On critters_fine also that of the nine animals, with an attack that aims at the animal. With
    --attack standard an image counts that withstands Auto-PGD on the cross-entropy and on the DLR
    loss towards nine other labels. OUT/robustbench has a JSON file for each model.

    \b
    robust-reps evaluate --model critters-robust --model critters-standard \\
      --dataset critters_fine --eps 1.5 --attack-steps 20 --out out
    """
    from ..datasets.critters import coarse_labels
    from ..experiments.attacks import check_attack
    from ..experiments.sweeps import accuracies
    from ..experiments.threat import attack_of
    from ..models.loading import weights_digest
    from ..runtime.errors import InputError

    steps = None if attack_steps is None else numbers("attack-steps", attack_steps, int)
    lengths = None if radii is None else numbers("radii", radii, float)
    if lengths is not None and pgd.eps is not None:
        raise InputError("--eps is what --radii give here: leave one of them out")
    given = list(dict.fromkeys(model))
    called = dict(zip(short_names(given), given, strict=True))
    networks = {name: loading.load(of, data) for name, of in called.items()}
    groups: dict[str, torch.Tensor | None] = {f"{data.data_set.num_classes} classes": None}
    if data.dataset == "critters_fine":
        groups["9 animals"] = coarse_labels()
    classes = next(iter(groups))
    images, _ = validation_images(data, n, run.seed)
    norm = None if constraint is None else constraint.value
    chosen: dict[str, Any] = {"attack": attack.value, "radii": lengths}
    made = check_attack(pgd.eps, steps, step_size=pgd.step_size, constraint=norm, **chosen)
    within = attack_of(
        networks,
        images[0][0],
        eps=made.radii[-1] if made.radii else None,
        step_size=pgd.step_size,
        constraint=norm,
    )
    if lengths is None:
        made = made.within(within.eps, within.constraint)
    settings: dict[str, Any] = {
        "eps": within.eps,
        "step_size": pgd.step_size,
        "attack_steps": list(made.steps),
        "n": n,
        # What version 0.1 did not know is kept where it is not as it was then.
        **({} if attack is Attacks.pgd else {"attack": attack.value}),
        **({} if within.constraint == "2" else {"constraint": within.constraint}),
        **({} if lengths is None else {"radii": list(made.radii)}),
        **({} if pgd.precision.value == "float32" else {"precision": pgd.precision.value}),
    }
    provenance = {
        "dataset": data.dataset,
        "data": str(data.data or ""),
        "seed": run.seed,
        "models": {
            called[name]: {"weights": weights_digest(network), **network.card}
            for name, network in networks.items()
        },
    }
    with run.resume("evaluate", settings, provenance) as store:
        rows = accuracies(
            store,
            networks,
            images,
            eps=within.eps,
            attack_steps=made.steps,
            step_size=pgd.step_size,
            constraint=within.constraint,
            groups=groups,
            precision=pgd.precision.value,
            batch_size=pgd.batch_size or pgd.images_at_once,
            seed=run.seed,
            watch=lambda what: console.progress(what, "images"),
            **chosen,
        )
        picture = store.add_figure("accuracy", _figure(rows, made.radii, within))
        of_classes = [row for row in rows if row["labels"] == classes]
        _write_robustbench(store.path, networks, of_classes, data.dataset, made.radii[-1])
    print(f"attack: {attack.value}, {_told(made, within)} ({within.why})")
    columns = [name for name in rows[0] if name != "by_class"]
    tell(columns, ([row[name] for name in columns] for row in rows), [store.path, picture])


def _told(made: Attack, within: ThreatModel) -> str:
    """Radii, and of PGD the length of its steps."""
    told = f"{within.norm} eps {', '.join(f'{one:.4g}' for one in made.radii)}"
    if made.name != Attacks.pgd.value:
        return told
    return told + (
        ", steps of eps / 8" if made.step_size is None else f", steps of {made.step_size:.4g}"
    )


def _write_robustbench(
    folder: Path,
    networks: Mapping[str, AttackerModel],
    rows: Sequence[dict[str, Any]],
    data: str,
    eps: float,
) -> None:
    """An entry for each network, of the accuracies on the classes themselves."""
    from ..results.robustbench import robustbench_entry, write_robustbench

    for name, network in networks.items():
        entry = robustbench_entry(
            name,
            [row for row in rows if row["model"] == name],
            dataset=data,
            architecture=str(network.card.get("arch", "")),
            eps=eps,
        )
        write_robustbench(folder / "robustbench" / f"{as_word(name)}.json", entry)


def _figure(rows: list[dict[str, Any]], radii: tuple[float, ...], within: ThreatModel) -> Figure:
    """Bars for each model; of several radii curves, named by what tells them apart."""
    from ..results.plots import accuracy_figure, line_of_rows, robustness_figure

    models = dict.fromkeys(row["model"] for row in rows)
    of = {name: [row for row in rows if row["model"] == name] for name in models}
    if len(radii) < 2:
        names = [f"{row['labels']}, {row['attack']}" for row in of[rows[0]["model"]]]
        lines = [line_of_rows(some, name) for name, some in of.items()]
        return accuracy_figure(names, lines, str(within))
    keys = ("model", "labels", "attack")
    curves: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row["attack"] != "clean":
            curves.setdefault(tuple(row[key] for key in keys), []).append(row)
    tell_apart = [i for i in range(len(keys)) if len({curve[i] for curve in curves}) > 1]
    lines = [
        line_of_rows(some, ", ".join(curve[i] for i in tell_apart))
        for curve, some in curves.items()
    ]
    return robustness_figure(radii, lines, within.constraint)
