"""The command `robustify`: a data set of what a model sees in another."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .common import Common, tell

__all__ = ["robustify"]

PANEL = "Data"


class Start(str, Enum):
    """What the inversion of each image begins with."""

    images = "images"
    noise = "noise"


def robustify(
    model: options.Model,
    dataset: options.DataSetName,
    out: Annotated[
        Path,
        typer.Option(help="Folder of the shards.", rich_help_panel="Run", metavar="SHARDS"),
    ],
    data: options.Data = None,
    n: Annotated[
        int | None,
        typer.Option("--n", help="Number of training images; default: all.", rich_help_panel=PANEL),
    ] = None,
    start: Annotated[
        Start, typer.Option(help="Another training image, or noise.", rich_help_panel=PANEL)
    ] = Start.images,
    shard_size: Annotated[
        int, typer.Option(help="Images in a shard.", metavar="N", rich_help_panel="Run")
    ] = 256,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace shards made with other settings.", rich_help_panel="Run"
        ),
    ] = False,
    arch: options.Arch = None,
    layer: options.Layer = None,
    trust_checkpoint: options.TrustCheckpoint = False,
    eps: options.Eps = None,
    step_size: Annotated[
        float | None,
        typer.Option(
            help="Default: 0.1 at 32 pixels, more on larger images.",
            metavar="R",
            rich_help_panel="Optimisation",
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(help="Steps; default: 1000.", metavar="N", rich_help_panel="Optimisation"),
    ] = None,
    schedule: options.Schedule = options.Steps.paper,
    batch_size: options.BatchSize = None,
    precision: options.Precision = options.Number.float32,
    device: options.Device = None,
    seed: options.Seed = 0,
) -> None:
    """Make a robust data set: training images, inverted through a model (Ilyas et al. 2019).

    Writes tar shards that the webdataset library and --dataset webshards read. The same command
    goes on with what is missing; several processes, or torchrun, share the work.

    \b
    robust-reps robustify --model critters-robust --dataset critters_fine \\
      --n 324 --schedule lbfgs --iterations 60 --shard-size 54 --out shards
    python -m robustness.main --dataset webshards --data shards ...
    """
    import torch

    from ..experiments.robust_data import robustify as make
    from . import console

    if device is None and torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    common = Common(
        model=model,
        dataset=dataset,
        out=out,
        data=data,
        arch=arch,
        layer=layer,
        trust_checkpoint=trust_checkpoint,
        eps=eps,
        step_size=step_size,
        iterations=iterations,
        schedule=schedule,
        batch_size=batch_size,
        precision=precision,
        device=device,
        seed=seed,
    )
    with console.progress("Inverting", "images", "distance") as progress:
        index = make(
            common.network,
            common.data_set,
            out,
            start=start.value,
            n=n,
            shard_size=shard_size,
            overwrite=overwrite,
            seed=seed,
            progress=progress,
            **common.given,
        )
    tell(
        ("shards", "images", "mean distance"),
        [(len(index.shards), index.images, index.distance)],
        [out / "index.json"],
    )
