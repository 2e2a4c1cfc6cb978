"""The command `robust-reps`: each command a few lines over what Python offers."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..results.locks import rank_and_world
from ..runtime.environment import __version__
from ..runtime.errors import InputError, one_line
from ..runtime.signals import exit_status, raising
from . import (
    console,
    directions,
    editing,
    enhancement,
    evaluation,
    explore,
    features,
    inversion,
    metamers,
    models,
    paper,
    robust_data,
    scorecard,
    store,
    study,
)
from .help import Command, Group
from .own_images import with_repeated_flag

__all__ = ["app", "main"]

INPUT_ERROR = 2
USAGE_ERROR: Any = typer.BadParameter.__base__  # of the click that this Typer is built on


class OneLine(Group):
    """Commands, of whose usage errors one line is said, not Typer's box under the usage."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        with _in_one_line():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        with _in_one_line(ctx):
            return super().invoke(ctx)


@contextmanager
def _in_one_line(ctx: Any = None) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(str(error)) from error  # of an EOFError Typer makes something else
    except USAGE_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        command = error.ctx.command if error.ctx else app
        inner = sorted(getattr(command, "commands", ()))
        known = f"choose {', '.join(inner)}; " if inner else ""
        where = "robust-reps" if ctx is None else f"{ctx.command_path} {ctx.invoked_subcommand}"
        where = error.ctx.command_path if error.ctx else where  # not every one says where it is of
        said = " ".join(error.format_message().split()).rstrip(".")
        raise InputError(f"{said}; {known}{where} --help says more") from None


app = typer.Typer(
    cls=OneLine,
    epilog="Training is robustness' own command: python -m robustness.main --help",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; what is the user's to mend ends it with one line and status 2."""
    try:
        with _plain_messages(), raising(), _one_voice():
            app(with_repeated_flag(sys.argv[1:]))
    except InputError as error:
        _stop(str(error), INPUT_ERROR)
    except (KeyboardInterrupt, SystemExit) as end:
        interrupt = _interrupt_behind(end)
        if interrupt is None:
            raise
        kept = "; with the same --out, the same command goes on" if "--out" in sys.argv else ""
        _stop(f"interrupted{kept}", exit_status(interrupt))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" for {error.filename}" if error.filename else ""
        _stop(f"no space is left{where}: free some, or write to another folder", INPUT_ERROR)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"robust-reps {__version__}")
        raise typer.Exit


@app.callback()
def robust_reps(
    version: Annotated[
        bool, typer.Option("--version", help="Print it.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Representations of robust networks: what they hold, seen as images."""


class Layout(str, Enum):
    """How critters lie in a folder."""

    imagenet = "imagenet"
    folder = "folder"


@app.command(cls=Command)
def critters(
    folder: Annotated[Path, typer.Argument(help="Folder to write.", metavar="DIR")],
    layout: Annotated[
        Layout, typer.Option(help="ImageNet's 1000 class folders, or one for each animal.")
    ] = Layout.imagenet,
    size: Annotated[
        int | None, typer.Option(help="Pixels; default 224 for imagenet, 64 for folder.")
    ] = None,
    per_class: Annotated[int, typer.Option(help="Training images in each class.")] = 20,
    val_per_class: Annotated[
        int | None, typer.Option(help="Validation images in each class; default: a quarter.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed draws the same images.")] = 0,
) -> None:
    """Draw critters, small animals with known factors, into a folder of images.

    \b
    robust-reps critters DIR --layout imagenet --size 224 --per-class 20
    python -m robustness.main --dataset restricted_imagenet --data DIR ...
    """
    from ..datasets.critters.imagenet_layout import write_imagenet_layout, write_plain_layout

    imagenet = layout is Layout.imagenet
    write = write_imagenet_layout if imagenet else write_plain_layout
    with console.progress("Drawing", "images") as progress:
        write(
            folder,
            per_class=per_class,
            val_per_class=val_per_class,
            size=(224 if imagenet else 64) if size is None else size,
            seed=seed,
            progress=progress,
        )
    print(folder)


@app.command(cls=Command)
def preset(
    name: Annotated[str | None, typer.Argument(help="Which one; default: list them.")] = None,
) -> None:
    """Print where a training configuration lies, for --config-path.

    \b
    python -m robustness.main --out-dir runs \\
      --config-path "$(robust-reps preset critters_robust)"
    """
    from ..upstream.training.presets import preset_names, preset_path

    print("\n".join(preset_names()) if name is None else preset_path(name))


@app.command(cls=Command)
def doctor(
    mends: Annotated[
        bool, typer.Option("--mends", help="List every mend of robustness and cox.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: all of it.")] = False,
) -> None:
    """Tell versions, device, whether robustness and cox are mended, and what is missing.

    Ends with status 1 if a mend failed.

    \b
    robust-reps doctor
    robust-reps doctor --mends
    """
    from .doctor import examine

    found = examine()
    if as_json:
        print(json.dumps(asdict(found) | {"healthy": found.healthy}, indent=2))
    else:
        console.show_examination(found, mends=mends)
    raise typer.Exit(0 if found.healthy else 1)


for room in (
    *(inversion, features, directions, editing, enhancement, evaluation, metamers, robust_data),
    *(paper, scorecard, study, explore),
):
    for name, command in vars(room).items():
        if name in room.__all__:
            app.command(name.replace("_", "-"), cls=Command)(command)
app.add_typer(models.models_app, name="models")
app.add_typer(store.store, name="store")


@contextmanager
def _plain_messages() -> Iterator[None]:
    """Warnings and log lines without file names and line numbers."""
    formatted = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    logging.basicConfig(format="%(message)s")
    logging.getLogger("robust_reps_ext").setLevel(logging.INFO)
    try:
        yield
    finally:
        warnings.formatwarning = formatted


@contextmanager
def _one_voice() -> Iterator[None]:
    """Of the processes that torchrun has made, only the first shows results."""
    if rank_and_world()[0] == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


def _interrupt_behind(end: BaseException | None) -> KeyboardInterrupt | None:
    """The interrupt that Typer has turned into an exit of its own."""
    while end is not None and not isinstance(end, KeyboardInterrupt):
        end = end.__cause__ or end.__context__
    return end


def _stop(message: str, status: int) -> None:
    rank, world = rank_and_world()
    of = f"rank {rank}: " if world > 1 else ""
    print(f"error: {of}{one_line(message)}", file=sys.stderr)
    sys.exit(status)
