"""How an option is declared, and what folders are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from ..runtime.errors import InputError

__all__ = ["folder", "option"]


def option(
    help: str, metavar: str | None = None, panel: str | None = None, flag: str = "", **more: Any
) -> Any:
    """An option, which is called as its parameter unless it has a flag; `more` is Typer's."""
    info = typer.Option(help=help, metavar=metavar, rich_help_panel=panel, **more)
    info.param_decls = (flag,) if flag else ()
    return info


def folder(given: typer.CallbackParam, path: Path | None) -> Path | None:
    """The path of an option; a file is refused, what is not there yet is not."""
    if path is not None and path.exists() and not path.is_dir():
        raise InputError(f"{given.opts[0]} {path} is a file: give a folder")
    return path
