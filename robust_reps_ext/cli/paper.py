"""The commands `paper` and `demo`: every figure of the paper, and the page that shows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..results.names import short_names
from ..runtime.errors import InputError
from . import console
from .common import leave_to_first, numbers, tell_page
from .flags import folder
from .options import (
    ANEW,
    DataOptions,
    ImagesOptions,
    LoadOptions,
    RunOptions,
    composed,
    like,
    option,
)
from .own_images import own_samples

if TYPE_CHECKING:
    from robustness.datasets import DataSet

    from ..experiments.paper.units import Unit

__all__ = ["demo", "paper"]


@composed(helps={"overwrite": ANEW}, without=("arch", "n", "save_interval"))
def paper(
    loading: LoadOptions,
    data: DataOptions,
    run: RunOptions,
    *,
    robust: Annotated[str, like("model", "Checkpoint file, or name.")],
    standard: Annotated[str, like("model", "Checkpoint file, or name.")],
    vgg: Annotated[
        str | None, like("model", "A third one, for tables, features and Fig. 10.")
    ] = None,
    googlenet: Annotated[
        str | None,
        like("model", "Of any classes, for Fig. 9: torchvision:googlenet.IMAGENET1K_V1, say."),
    ] = None,
    coordinates: Annotated[
        str | None,
        option("Of the robust one, beside random ones (Fig. 20); the first is added.", "I,I,..."),
    ] = None,
    quick: Annotated[bool, option("Minutes, few images and steps.")] = False,
    full: Annotated[bool, option("As many steps as the paper.")] = False,
    eps: Annotated[
        float | None,
        like(
            "eps",
            "L2 radius of the tables' attack; default: what the robust network was trained "
            "against, else the paper's, scaled.",
        ),
    ] = None,
) -> None:
    """Make every figure and table of the paper, and a page that shows them.

    Interrupted, the same command goes on with what is missing.

    \b
    robust-reps paper --robust critters-robust --standard critters-standard \\
      --dataset critters_fine --quick --out out
    """
    if quick and full:
        raise InputError("--quick and --full: give one of them")
    given = {"robust": robust, "standard": standard, "vgg": vgg, "googlenet": googlenet}
    names = {role: name for role, name in given.items() if name}
    selected = [] if coordinates is None else numbers("coordinates", coordinates, int)
    scale = "quick" if quick else "full" if full else "default"
    _run(names, loading, data, run, scale=scale, eps=eps, selected=selected)


@composed(
    helps={"overwrite": ANEW},
    defaults={"out": Path("demo")},
    without=("arch", "trust_checkpoint", "save_interval"),
)
def demo(
    loading: LoadOptions,
    run: RunOptions,
    own: ImagesOptions,
    *,
    data: Annotated[
        Path | None,
        option("Folder of Tiny ImageNet, of which photographs are taken.", "DIR", callback=folder),
    ] = None,
) -> None:
    """Make the paper's figures with the bundled models, in minutes.

    Of photographs first: those that come with installed packages, your own, or Tiny ImageNet's.
    Then of critters, of which every factor is known.

    \b
    robust-reps demo --out out
    robust-reps demo --images photographs --out out
    """
    from ..models.zoo.bundled import card

    if own.images and data is not None:
        raise InputError("--images and --data exclude each other: give one of them")
    pair = {role: f"photographs-{role}" for role in ("robust", "standard")}
    _run_photographs(pair, loading, _photographs(own.images, data), run)
    names = {role: f"critters-{role}" for role in ("robust", "standard", "vgg")}
    critters = DataOptions(dataset="critters_fine")
    eps = card(names["robust"])["eps"]
    _run(names, loading, critters, run, scale="quick", eps=eps)


MOST = 8
"""Photographs that the demo looks at."""
SIDE = 64


def _photographs(own: Sequence[str] | None, data: Path | None) -> DataSet:
    from ..datasets.given_images import GivenImages
    from ..datasets.photographs import available, photographs
    from ..datasets.samples import open_data_set
    from ..runtime.image_files import image_paths

    if data is not None:
        return open_data_set("tiny_imagenet", data)
    if own:
        paths = image_paths(own)
        if len(paths) < 2:
            raise InputError(f"--images {paths[0]}: the demo sets out from one image to another")
        found = own_samples(paths[:MOST], SIDE, "crop", 3)
        return GivenImages(found.images, found.names)
    names = available()[:MOST]
    called = [Path(name).stem.replace("_", " ") for name in names]
    return GivenImages(photographs(len(names), size=SIDE), called)


def _run_photographs(
    names: dict[str, str], loading: LoadOptions, photographs: DataSet, run: RunOptions
) -> None:
    from ..datasets.samples import validation_set
    from ..experiments.paper import run_paper
    from ..experiments.paper.units import PHOTOGRAPHS
    from ..models.loading import load_model
    from ..models.zoo.bundled import card
    from ..runtime.modules import own_device

    device = loading.device or own_device()
    n = min(MOST, len(validation_set(photographs)))
    robust, standard = (load_model(name, device=device) for name in names.values())
    with console.quiet() as tell:
        run_paper(
            robust,
            standard,
            photographs,
            run.out,
            units=PHOTOGRAPHS,
            scale="quick",
            images=n,
            pairs=min(3, n),
            seeds=min(3, n + 1),
            eps=card(names["robust"])["eps"],
            classes=card(names["robust"])["data_set"]["classes"],
            seed=run.seed,
            names=names,
            overwrite=run.overwrite,
            printing=run.printing,
            watch=_watch(run.out, tell),
        )


def _run(
    names: dict[str, str],
    loading: LoadOptions,
    data: DataOptions,
    run: RunOptions,
    *,
    scale: str,
    eps: float | None,
    selected: Sequence[int] = (),
) -> None:
    from ..datasets.critters import coarse_labels
    from ..experiments.paper import run_paper
    from ..experiments.paper.units import ORDER
    from ..report.page import write_report

    began = time.monotonic()
    # Fig. 9 is of a network of ImageNet, whatever the others were trained on.
    other = replace(data, dataset="", data=None, mean=None, std=None)
    models = {
        role: loading.load(name, other if role == "googlenet" else data)
        for role, name in names.items()
    }
    with console.quiet() as tell:
        run_paper(
            models["robust"],
            models["standard"],
            data.data_set,
            run.out,
            vgg=models.get("vgg"),
            googlenet=models.get("googlenet"),
            selected=selected,
            scale=scale,
            eps=eps,
            group=coarse_labels() if data.dataset == "critters_fine" else None,
            seed=run.seed,
            names=dict(zip(names, short_names(list(names.values())), strict=True)),
            overwrite=run.overwrite,
            printing=run.printing,
            watch=_watch(run.out, tell),
        )
        leave_to_first()
        page = write_report(run.out, ORDER)
    tell_page(page, began)


def _watch(out: Path, tell: Callable[[object], None]) -> Callable[[Unit], Any]:
    """A bar for each figure, and the path of its picture when it is there."""
    from ..experiments.paper.units import ORDER
    from ..results.units import finished_units

    @contextmanager
    def watch(unit: Unit) -> Iterator[Any]:
        with console.progress(f"{unit.title} ({unit.numbers})", "steps", "value") as progress:
            yield progress
        made = next(one for one in finished_units(out, ORDER) if one.manifest["id"] == unit.id)
        tell(made.path / f"{unit.id}.png")

    return watch
