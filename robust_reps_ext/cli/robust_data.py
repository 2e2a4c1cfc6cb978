"""The command `robustify`: a data set of what a model sees in another."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from . import console
from .common import Experiment, tell
from .options import ANEW, DATA, RUN, Steps, composed, like, option

__all__ = ["robustify"]


class Kind(str, Enum):
    """Which of the four data sets of Ilyas et al. 2019, or that of Talbot et al. 2025."""

    robust = "robust"
    non_robust = "non-robust"
    random = "random"
    next = "next"
    enhanced = "enhanced"


class Start(str, Enum):
    """What the inversion of each image begins with."""

    images = "images"
    noise = "noise"


@composed(
    helps={
        "model": "Checkpoint file, or name of a bundled model.",
        "out": "Folder of the shards.",
        "overwrite": ANEW,
        "step_size": "Default: 0.1 at 32 pixels, enhanced 0.5 at 224; scaled to the images.",
        "iterations": "Default: 1000, to a class 100, enhanced 40; auto: until the objective stops "
        "changing.",
    },
    # An image that cannot be read stops the run, or shards would differ; no snapshots are written.
    without=(
        "on_bad_image",
        "save_interval",
        "channels",
        "images",
        "name",
        "paper",
        "figure_format",
        "width",
        "dpi",
    ),
    defaults={"schedule": Steps.paper},
    required=("dataset",),
)
def robustify(
    common: Experiment,
    *,
    n: Annotated[int | None, like("n", "Number of training images; default: all.")] = None,
    kind: Annotated[
        Kind,
        option(
            "Inverted through a robust, or a standard, model; moved towards a random, or the next, "
            "class and labelled so; or towards each one's own.",
            panel=DATA,
        ),
    ] = Kind.robust,
    start: Annotated[Start, option("Another training image, or noise.", panel=DATA)] = Start.images,
    shard_size: Annotated[int, option("Images in a shard.", "N", RUN)] = 256,
) -> None:
    """Make a robust data set: training images, inverted through a model (Ilyas et al. 2019).

    --kind makes their other three: inverted through a standard model (non-robust), or moved a
    little towards a class by its gradient, and labelled so (random, next). Or training images whose
    own class is made plainer (enhanced; Talbot et al. 2025).

    Writes tar shards that the webdataset library and --dataset webshards read. The same command
    goes on with what is missing; several processes, or torchrun, share the work.

    \b
    robust-reps robustify --model critters-robust --dataset critters_fine \\
      --n 324 --schedule lbfgs --iterations 60 --shard-size 54 --out shards
    python -m robustness.main --dataset webshards --data shards ...
    """
    from ..experiments.robust_data import robustify as make

    common.alone("robustify")
    moved = ("Moving", "images", "cross-entropy")
    doing = {
        Kind.random: moved,
        Kind.next: moved,
        Kind.enhanced: ("Enhancing", "images", "logit"),
    }.get(kind, ("Inverting", "images", "distance"))
    with console.progress(*doing) as progress:
        index = make(
            common.network,
            common.data_set,
            common.out,
            kind=kind.value,
            start=start.value,
            n=n,
            shard_size=shard_size,
            overwrite=common.overwrite,
            seed=common.seed,
            progress=progress,
            **common.given,
        )
    tell(
        ("shards", "images", "mean distance"),
        [(len(index.shards), index.images, index.distance)],
        [common.out / "index.json"],
    )
