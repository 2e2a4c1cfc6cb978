"""The options that the commands share, each declared once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "Arch",
    "BatchSize",
    "Data",
    "DataSetName",
    "Device",
    "Eps",
    "FastestBatchSize",
    "Iterations",
    "Layer",
    "Layout",
    "Model",
    "N",
    "Number",
    "OnBad",
    "OnBadImage",
    "Out",
    "Overwrite",
    "Precision",
    "SaveInterval",
    "Schedule",
    "Seed",
    "Start",
    "StepSize",
    "Steps",
    "TrustCheckpoint",
]


class Layout(str, Enum):
    """How critters lie in a folder."""

    imagenet = "imagenet"
    folder = "folder"


class OnBadImage(str, Enum):
    """What an image that cannot be read does to the run."""

    stop = "stop"
    skip = "skip"


class Start(str, Enum):
    """What a synthesis starts from."""

    noise = "noise"
    images = "images"
    grey = "grey"


class Number(str, Enum):
    """The numbers that the network computes with."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class Steps(str, Enum):
    """How the length of the steps goes."""

    paper = "paper"
    cosine_momentum = "cosine-momentum"
    lbfgs = "lbfgs"


def _option(name: str, help: str, panel: str, metavar: str | None = None) -> Any:
    return typer.Option(name, help=help, rich_help_panel=panel, metavar=metavar)


Model = Annotated[
    str, _option("--model", "Checkpoint file, or name of a bundled model.", "Model", "FILE|NAME")
]
Arch = Annotated[
    str | None, _option("--arch", "Architecture; default: what the weights fit.", "Model", "NAME")
]
Layer = Annotated[
    str | None,
    _option("--layer", "Where to read the representation; default: penultimate.", "Model", "NAME"),
]
TrustCheckpoint = Annotated[
    bool, _option("--trust-checkpoint", "Run whatever code the checkpoint holds.", "Model")
]
DataSetName = Annotated[
    str, _option("--dataset", "Data set that the model was trained on.", "Data", "NAME")
]
Data = Annotated[
    Path | None,
    _option("--data", "Folder of the data set; critters do without one.", "Data", "DIR"),
]
OnBad = Annotated[OnBadImage, _option("--on-bad-image", "At an image that cannot be read.", "Data")]
N = Annotated[int, _option("--n", "Number of validation images.", "Data", "N")]
Eps = Annotated[
    float | None, _option("--eps", "L2 radius; default: the paper's.", "Optimisation", "R")
]
StepSize = Annotated[
    float | None, _option("--step-size", "Default: the paper's.", "Optimisation", "R")
]


def _whole_or_auto(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a whole number nor auto.") from None


Iterations = Annotated[
    Any,
    typer.Option(
        "--iterations",
        help="Steps; default: the paper's, 10,000; auto: until the objective stops changing.",
        rich_help_panel="Optimisation",
        metavar="N|auto",
        parser=_whole_or_auto,
    ),
]
FastestBatchSize = Annotated[
    Any,
    typer.Option(
        "--batch-size",
        help="Images at once, by default 32; auto: as many as are fastest.",
        rich_help_panel="Optimisation",
        metavar="N|auto",
        parser=_whole_or_auto,
    ),
]
BatchSize = Annotated[
    int | None, _option("--batch-size", "Images at once, by default 32.", "Optimisation", "N")
]
Precision = Annotated[
    Number, _option("--precision", "What the network computes with.", "Optimisation")
]
Schedule = Annotated[
    Steps, _option("--schedule", "Steps of constant length, or faster ones.", "Optimisation")
]
Device = Annotated[
    str | None, _option("--device", "cpu, cuda, cuda:1; default: CUDA if there.", "Run", "NAME")
]
Seed = Annotated[
    int,
    typer.Option(
        help="Chooses images and noise.",
        rich_help_panel="Run",
        metavar="N",
        min=0,
        max=2**63 - 1,
    ),
]
SaveInterval = Annotated[
    float,
    _option("--save-interval", "Seconds between two snapshots of an unfinished part.", "Run", "S"),
]
Overwrite = Annotated[
    bool, _option("--overwrite", "Remove what --out holds of this command; begin anew.", "Run")
]
Out = Annotated[Path, _option("--out", "Folder of the results, a cox store.", "Run", "DIR")]
