"""What `--help` says: whole words in 80 columns, options in groups, each default as a number."""

from __future__ import annotations

import inspect
import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["Command", "Group"]

# Ends that no one reaches, such as the 19 digits of the largest seed.
ENDLESS = re.compile(r";? ?-?\d*<=?x<=?\d{10,}")
# At which no line is broken; what is shown has plain ones.
HYPHEN = "\N{NON-BREAKING HYPHEN}"
ORDER = ("Arguments", "Model", "Data", "Experiment", "Optimisation", "Run", "Options")


class Command(TyperCommand):
    """A command whose options stand under the name of their group."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the groups."""
        _write(self, ctx, formatter)


class Group(TyperGroup):
    """Commands, each with the whole of its first sentence."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, and then the commands."""
        _write(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, with the first paragraph of each."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, " ".join(inspect.cleandoc(one.help or "").partition("\n\n")[0].split()))
            for name, one in found
            if one is not None and not one.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _write(command: Any, ctx: Any, formatter: Any) -> None:
    groups: dict[str, list[tuple[str, str]]] = {}
    for one in command.get_params(ctx):
        record = one.get_help_record(ctx)
        if record is not None:
            argument = one.param_type_name == "argument"
            name = getattr(one, "rich_help_panel", None) or ORDER[0 if argument else -1]
            groups.setdefault(name, []).append((record[0], _short(record[1])))
    for name in sorted(groups, key=ORDER.index):
        with formatter.section(name):
            formatter.write_dl(groups[name])
    formatter.buffer = [part.replace(HYPHEN, "-") for part in formatter.buffer]


def _short(text: str) -> str:
    """Without ranges that say nothing, and with hyphens at which no line is broken."""
    return ENDLESS.sub("", text).replace("  [", " [").replace(" []", "").replace("-", HYPHEN)
