"""The command `scorecard`: the paper's claims as tests, with intervals, and the page of it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from ..results.names import short_names
from ..runtime.errors import InputError
from . import console
from .common import leave_to_first, tell_page
from .options import ANEW, DataOptions, LoadOptions, RunOptions, composed, like, option

if TYPE_CHECKING:
    from ..experiments.scorecard.result import Scorecard

__all__ = ["scorecard"]

NOBODY = "none"
TRIALS = "scorecard-trials"


@composed(helps={"overwrite": ANEW}, without=("arch", "save_interval"))
def scorecard(
    loading: LoadOptions,
    data: DataOptions,
    run: RunOptions,
    *,
    model: Annotated[str, like("model", "The robust one: file, or name.")],
    against: Annotated[str, like("model", "The standard one: file, or name.")],
    judge: Annotated[
        str | None,
        like(
            "model",
            "A third one that says what images show; default: critters-vgg for critters_fine, "
            "photographs-judge for bundled models of photographs, else none.",
        ),
    ] = None,
    n: Annotated[int | None, like("n", "Inverted images of each seed; default: 18.", min=1)] = None,
    eps: Annotated[
        float | None,
        like(
            "eps",
            "L2 radius that the robust one was trained against; default: as its checkpoint tells, "
            "else 3 at 224 pixels, scaled to the images.",
        ),
    ] = None,
    seeds: Annotated[int, option("3 or more.")] = 3,
    quick: Annotated[bool, option("Fewer images and steps.")] = False,
) -> None:
    """Test the paper's claims on a robust and a standard model, with intervals.

    Interrupted, the same command goes on with the models and seeds that are missing; several
    processes, or torchrun, share the work.

    \b
    robust-reps scorecard --model critters-robust --against critters-standard \\
      --dataset critters_fine --out out
    """
    from ..experiments.paper.units import ORDER
    from ..experiments.scorecard import scorecard as test_claims
    from ..experiments.scorecard.settings import QUICK, Amounts
    from ..report.page import write_report

    began = time.monotonic()
    names = {"robust": model, "standard": against}
    referee = judge or _bundled_judge(model, data.dataset)
    if referee != NOBODY:
        names["judge"] = referee
    models = {role: loading.load(name, data) for role, name in names.items()}
    amounts = QUICK if quick else Amounts()
    if n is not None:
        there = len(data.validation_set)
        if 2 * n > there:
            raise InputError(
                f"--n {n}: beside the targets as many others are needed, and the validation set of "
                f"{data.dataset!r} has {there} images; give {there // 2} or fewer"
            )
        amounts = replace(amounts, images=n, gallery=max(amounts.gallery, 2 * n))
    with console.quiet(), console.progress("Scorecard", "parts") as progress:
        found = test_claims(
            models["robust"],
            models["standard"],
            data.data_set,
            judge=models.get("judge"),
            eps=eps,
            seeds=seeds,
            seed=run.seed,
            amounts=amounts,
            names=dict(zip(names, short_names(list(names.values())), strict=True)),
            trials=run.out / TRIALS,
            overwrite=run.overwrite,
            progress=progress,
        )
        leave_to_first()
        found.save(run.out, run.printing)
        page = write_report(run.out, ORDER)
    _show(found)
    tell_page(page, began)


def _bundled_judge(model: str, dataset: str) -> str:
    """The judge that the package has for a data set, or for the classes of a bundled model."""
    from ..models.zoo.bundled import bundled

    if dataset == "critters_fine":
        return "critters-vgg"
    known = model in bundled() and model.startswith("photographs-")
    return "photographs-judge" if known and dataset == "tiny_imagenet" else NOBODY


def _show(found: Scorecard) -> None:
    from ..report.scorecard import scorecard_rows

    for claim in scorecard_rows({"claims": found.claims}):
        rows = [
            [one["name"], *map(one["texts"].get, ("robust", "standard")), one["verdict"]]
            for one in claim["measures"]
        ]
        console.show_table(("", "robust", "standard", ""), rows, claim["name"])
    for name, why in found.left_out.items():
        print(f"left out: {name} ({why})")
