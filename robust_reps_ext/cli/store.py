"""The commands `store check`, `store rebuild` and `store merge`: results on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..runtime.errors import InputError
from .help import Command, Group
from .options import composed, like

__all__ = ["store"]

Results = Annotated[Path, typer.Argument(help="Folder of results, as given to --out.")]


store = typer.Typer(
    cls=Group, rich_markup_mode=None, help="Check, mend and merge results on the disk."
)


@store.command(cls=Command)
def check(out: Results) -> None:
    """Say whether what is finished is whole, and whether the cox stores hold it.

    Ends with status 1 if anything is wrong. Nothing is changed.

    \b
    robust-reps store check out
    """
    from ..results.cox_export import faults
    from ..results.merge import experiments_in
    from ..results.records import read_records

    wrong = 0
    for path in experiments_in(out):
        found = faults(path)
        wrong += len(found)
        if found:
            print("\n".join(found))
        else:
            finished = len(read_records(path)) - 1
            print(f"{path}: {finished} finished, all as recorded")
    raise typer.Exit(1 if wrong else 0)


@store.command(cls=Command)
def rebuild(out: Results) -> None:
    """Make the cox stores anew from what is finished, where they are not up to date.

    A store that cannot be read is kept beside as store.h5.damaged.

    \b
    robust-reps store rebuild out
    """
    from ..results.cox_export import bring_up_to_date, faults
    from ..results.merge import experiments_in

    for path in experiments_in(out):
        before = faults(path, files=False)
        bring_up_to_date(path)
        print(f"{path}: {'rebuilt' if before else 'was up to date'}")


@store.command(cls=Command)
@composed()
def merge(
    sources: Annotated[list[Path], typer.Argument(help="Folders of results.", metavar="DIR...")],
    out: Annotated[Path, like("out", "Folder of the results.")],
) -> None:
    """Bring together what one command made in several folders.

    Give the command once more with this --out for what is missing, and for the pictures.

    \b
    robust-reps store merge machine-1 machine-2 --out all
    """
    from ..results.merge import merge as merge_results

    if out in sources:
        raise InputError(f"--out {out} is one of the sources: give another folder")
    for path in merge_results(sources, out):
        print(path)
