"""The commands `paper` and `demo`: every figure of the paper, and the page that shows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..runtime.errors import InputError
from . import console
from .common import leave_to_first, numbers, tell_page
from .options import DataOptions, LoadOptions, RunOptions, composed, like, option

if TYPE_CHECKING:
    from ..experiments.paper.units import Unit

__all__ = ["demo", "paper"]


@composed(without=("arch", "n", "save_interval"))
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
        like("model", "That of Fig. 9, as torchvision:googlenet.IMAGENET1K_V1; default: standard."),
    ] = None,
    coordinates: Annotated[
        str | None,
        option("Of the robust one, beside random ones (Fig. 20); the first is added.", "I,I,..."),
    ] = None,
    quick: Annotated[bool, option("Minutes, few images and steps.")] = False,
    full: Annotated[bool, option("As many steps as the paper.")] = False,
    eps: Annotated[
        float | None,
        like("eps", "L2 radius of the tables' attack; default: the paper's, scaled to the images."),
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


@composed(defaults={"out": Path("demo")}, without=("arch", "trust_checkpoint", "save_interval"))
def demo(loading: LoadOptions, run: RunOptions) -> None:
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
    data = DataOptions(dataset="critters_fine")
    _run(names, loading, data, run, scale="quick", eps=card(names["robust"])["eps"])


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
    models = {role: loading.load(name, data) for role, name in names.items()}
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
            names=names,
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
