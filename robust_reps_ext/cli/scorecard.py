"""The command `scorecard`: the paper's claims as tests, with intervals, and the page of it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ..runtime.errors import InputError
from . import options

if TYPE_CHECKING:
    from ..experiments.scorecard.result import Scorecard

__all__ = ["register"]

BUNDLED_JUDGE = "critters-vgg"
NOBODY = "none"
TRIALS = "scorecard-trials"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(scorecard)


def scorecard(
    model: Annotated[
        str, typer.Option("--model", help="The robust one: file, or name.", rich_help_panel="Model")
    ],
    against: Annotated[
        str,
        typer.Option("--against", help="The standard one: file, or name.", rich_help_panel="Model"),
    ],
    dataset: options.DataSetName,
    out: options.Out,
    data: options.Data = None,
    on_bad_image: options.OnBad = options.OnBadImage.stop,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            help="A third one that says what images show; default: critters-vgg for "
            "critters_fine, else none.",
            rich_help_panel="Model",
        ),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option("--n", help="Inverted images of each seed; default: 18.", min=1),
    ] = None,
    eps: Annotated[
        float | None,
        typer.Option(
            "--eps",
            help="L2 radius that the robust one was trained against; default: a bundled model's "
            "own, else the paper's, scaled to the images.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="3 or more.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer images and steps.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew where --out holds other settings.")
    ] = False,
    trust_checkpoint: options.TrustCheckpoint = False,
    device: options.Device = None,
    seed: options.Seed = 0,
) -> None:
    """Test the paper's claims on a robust and a standard model, with intervals.

    Interrupted, the same command goes on with the models and seeds that are missing.

    \b
    robust-reps scorecard --model critters-robust --against critters-standard \\
      --dataset critters_fine --out out
    """
    from ..datasets.samples import open_data_set, validation_set
    from ..experiments.paper.units import ORDER
    from ..experiments.scorecard import scorecard as test_claims
    from ..experiments.scorecard.settings import QUICK, Amounts
    from ..models.loading import load_model
    from ..models.zoo.bundled import bundled, card
    from ..report.page import write_report
    from ..runtime.modules import own_device
    from . import console

    began = time.monotonic()
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: give a folder")
    data_set = open_data_set(dataset, data, on_bad_image=on_bad_image.value)
    names = {"robust": model, "standard": against}
    referee = judge or (BUNDLED_JUDGE if dataset == "critters_fine" else NOBODY)
    if referee != NOBODY:
        names["judge"] = referee
    where = device or own_device()
    models = {
        role: load_model(name, dataset=data_set, trust=trust_checkpoint, device=where)
        for role, name in names.items()
    }
    amounts = QUICK if quick else Amounts()
    if n is not None:
        there = len(validation_set(data_set))
        if 2 * n > there:
            raise InputError(
                f"--n {n}: beside the targets as many others are needed, and the validation set of "
                f"{dataset!r} has {there} images; give {there // 2} or fewer"
            )
        amounts = replace(amounts, images=n, gallery=max(amounts.gallery, 2 * n))
    if eps is None and model in bundled():
        eps = card(model)["eps"]
    with console.quiet(), console.progress("Scorecard", "parts") as progress:
        found = test_claims(
            models["robust"],
            models["standard"],
            data_set,
            judge=models.get("judge"),
            eps=eps,
            seeds=seeds,
            seed=seed,
            amounts=amounts,
            names=names,
            trials=out / TRIALS,
            overwrite=overwrite,
            progress=progress,
        )
        found.save(out)
        page = write_report(out, ORDER)
    _show(found)
    seconds = round(time.monotonic() - began)
    print(f"{page} ({seconds // 60} min {seconds % 60} s)")


def _show(found: Scorecard) -> None:
    from ..report.scorecard import scorecard_rows
    from . import console

    for claim in scorecard_rows({"claims": found.claims}):
        rows = [
            [one["name"], *map(one["texts"].get, ("robust", "standard")), one["verdict"]]
            for one in claim["measures"]
        ]
        console.show_table(("", "robust", "standard", ""), rows, claim["name"])
    for name, why in found.left_out.items():
        print(f"left out: {name} ({why})")
