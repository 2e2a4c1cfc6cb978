"""The commands `paper` and `demo`: every figure of the paper, and the page that shows them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..runtime.errors import InputError
from . import options
from .common import check_folders

if TYPE_CHECKING:
    from ..experiments.paper.units import Unit

__all__ = ["register"]

Robust = Annotated[
    str, typer.Option("--robust", help="Checkpoint file, or name.", rich_help_panel="Model")
]
Standard = Annotated[
    str, typer.Option("--standard", help="Checkpoint file, or name.", rich_help_panel="Model")
]
Vgg = Annotated[
    str | None,
    typer.Option("--vgg", help="A third one, for tables and features.", rich_help_panel="Model"),
]
Attack = Annotated[
    float | None,
    typer.Option(
        "--eps", help="L2 radius of the tables' attack; default: the paper's, scaled to the images."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(paper)
    app.command()(demo)


def paper(
    robust: Robust,
    standard: Standard,
    dataset: options.DataSetName,
    out: options.Out,
    data: options.Data = None,
    on_bad_image: options.OnBad = options.OnBadImage.stop,
    vgg: Vgg = None,
    quick: Annotated[bool, typer.Option("--quick", help="Minutes, few images and steps.")] = False,
    full: Annotated[bool, typer.Option("--full", help="As many steps as the paper.")] = False,
    eps: Attack = None,
    trust_checkpoint: options.TrustCheckpoint = False,
    device: options.Device = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
) -> None:
    """Make every figure and table of the paper, and a page that shows them.

    Interrupted, the same command goes on with what is missing.

    \b
    robust-reps paper --robust critters-robust --standard critters-standard \\
      --dataset critters_fine --quick --out out
    """
    if quick and full:
        raise InputError("--quick and --full: give one of them")
    names = {"robust": robust, "standard": standard, **({"vgg": vgg} if vgg else {})}
    _run(
        names,
        dataset,
        out,
        data=data,
        scale="quick" if quick else "full" if full else "default",
        eps=eps,
        trust=trust_checkpoint,
        device=device,
        seed=seed,
        overwrite=overwrite,
        on_bad_image=on_bad_image.value,
    )


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path("demo"),
    device: options.Device = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
) -> None:
    """Make the paper's figures with the bundled models, in minutes.

    \b
    robust-reps demo --out out
    """
    from ..models.zoo.bundled import bundled, card

    names = {"robust": "critters-robust", "standard": "critters-standard"}
    if "critters-vgg" in bundled():
        names["vgg"] = "critters-vgg"
    missing = [name for name in names.values() if name not in bundled()]
    if missing:
        raise InputError(
            f"the package holds no model {missing[0]!r}: use robust-reps paper with your own"
        )
    _run(
        names,
        "critters_fine",
        out,
        scale="quick",
        eps=card(names["robust"])["eps"],
        device=device,
        seed=seed,
        overwrite=overwrite,
    )


def _run(
    names: dict[str, str],
    dataset: str,
    out: Path,
    *,
    scale: str,
    eps: float | None,
    device: str | None,
    seed: int,
    overwrite: bool,
    data: Path | None = None,
    trust: bool = False,
    on_bad_image: str = "stop",
) -> None:
    import torch

    from ..datasets.samples import open_data_set
    from ..experiments.paper import run_paper
    from ..experiments.paper.units import ORDER
    from ..models.loading import load_model
    from ..report.page import write_report
    from ..runtime.modules import own_device
    from . import console

    began = time.monotonic()
    check_folders(out=out, data=data)
    if eps is not None and not 0 <= eps < math.inf:
        raise InputError(f"--eps {eps}: give a radius, 0 or more")
    data_set = open_data_set(dataset, data, on_bad_image=on_bad_image)
    where = device or own_device()
    models = {
        role: load_model(name, dataset=data_set, trust=trust, device=where)
        for role, name in names.items()
    }
    with console.quiet() as tell:
        run_paper(
            models["robust"],
            models["standard"],
            data_set,
            out,
            vgg=models.get("vgg"),
            scale=scale,
            eps=eps,
            # Critters' fine classes are nine animals, each with 18 coats.
            group=torch.arange(162) // 18 if dataset == "critters_fine" else None,
            seed=seed,
            names=names,
            overwrite=overwrite,
            watch=_watch(out, tell),
        )
        page = write_report(out, ORDER)
    seconds = round(time.monotonic() - began)
    print(f"{page} ({seconds // 60} min {seconds % 60} s)")


def _watch(out: Path, tell: Callable[[object], None]) -> Callable[[Unit], Any]:
    """A bar for each figure, and the path of its picture when it is there."""
    from ..experiments.paper.units import ORDER
    from ..results.units import finished_units
    from . import console

    @contextmanager
    def watch(unit: Unit) -> Iterator[Any]:
        with console.progress(f"{unit.title} ({unit.numbers})", "steps", "value") as progress:
            yield progress
        made = next(one for one in finished_units(out, ORDER) if one.manifest["id"] == unit.id)
        skipped = made.manifest["facts"].get("skipped")
        tell(f"{unit.numbers} skipped: {skipped}" if skipped else made.path / f"{unit.id}.png")

    return watch
