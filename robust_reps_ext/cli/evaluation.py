"""The command `evaluate`: accuracies of models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

__all__ = ["evaluate"]


@composed(
    helps={
        "eps": "L2 radius; default: what the networks were trained against, else the paper's 3 at "
        "224 pixels, scaled.",
        "step_size": "Default: eps / 8.",
    },
    without=("iterations", "schedule", "save_interval"),
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
    attack_steps: Annotated[str, option("PGD steps of each attack.", "N,N", PGD)] = "20,100",
) -> None:
    """Measure accuracy on clean images and under PGD (Tables 4, 5).

    On critters_fine also that of the nine animals, with an attack that aims at the animal.

    \b
    robust-reps evaluate --model critters-robust --model critters-standard \\
      --dataset critters_fine --eps 1.5 --attack-steps 20 --out out
    """
    from ..datasets.critters import coarse_labels
    from ..experiments.sweeps import accuracies
    from ..experiments.threat import attack_of, check_attack
    from ..models.loading import weights_digest
    from ..results.plots import accuracy_figure, line_of_rows

    steps = numbers("attack-steps", attack_steps, int)
    networks = {name: loading.load(name, data) for name in model}
    groups: dict[str, torch.Tensor | None] = {f"{data.data_set.num_classes} classes": None}
    if data.dataset == "critters_fine":
        groups["9 animals"] = coarse_labels()
    images, _ = validation_images(data, n, run.seed)
    check_attack(pgd.eps, steps)
    called = {Path(name).name: network for name, network in networks.items()}
    attack = attack_of(called, images[0][0], eps=pgd.eps, step_size=pgd.step_size)
    settings: dict[str, Any] = {"eps": attack.eps, "step_size": pgd.step_size}
    settings |= {"attack_steps": steps, "n": n}
    if attack.constraint != "2":  # the only one of earlier versions, which did not name it
        settings["constraint"] = attack.constraint
    provenance = {
        "dataset": data.dataset,
        "data": str(data.data or ""),
        "seed": run.seed,
        "models": {
            name: {"weights": weights_digest(network), **network.card}
            for name, network in networks.items()
        },
    }
    with run.resume("evaluate", settings, provenance) as store:
        rows = accuracies(
            store,
            networks,
            images,
            eps=attack.eps,
            attack_steps=steps,
            step_size=pgd.step_size,
            constraint=attack.constraint,
            groups=groups,
            precision=pgd.precision.value,
            batch_size=pgd.batch_size or pgd.images_at_once,
            watch=lambda what: console.progress(what, "images"),
        )
        of = {name: [row for row in rows if row["model"] == name] for name in networks}
        names = [f"{row['labels']}, {row['attack']}" for row in of[model[0]]]
        lines = [line_of_rows(some, Path(name).name) for name, some in of.items()]
        picture = store.add_figure("accuracy", accuracy_figure(names, lines, str(attack)))
    print(f"attack: {attack}, steps of {attack.step_size:.4g} ({attack.why})")
    columns = [name for name in rows[0] if name != "by_class"]
    tell(columns, ([row[name] for name in columns] for row in rows), [store.path, picture])
